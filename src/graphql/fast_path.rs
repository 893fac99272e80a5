//! A fast path for validated queries, which executes their resolvers without the extensions of
//! async-graphql. If a schema has extensions, async-graphql copies the document for each request, and
//! calls each extension for each field.
//!
//! The fast path uses items that async-graphql makes public only for its macros. `Cargo.toml` therefore
//! restricts the version of async-graphql.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::extensions::Extensions;
use async_graphql::resolver_utils::resolve_container;
use async_graphql::{
    Context, Data, EmptyMutation, EmptySubscription, IntrospectionMode, Object, ObjectType,
    QueryEnv, QueryEnvInner, Response, Schema, Variables,
};
use futures_util::FutureExt;

use crate::graphql::context::ResolverContext;
use crate::graphql::document::Document;
use crate::service::Services;
use crate::service::request_authentication::Authentication;

/// The query root, and values of async-graphql that all executions share.
pub(super) struct FastPath<Q> {
    query: Arc<Q>,
    extensions: Extensions,
    no_data: Arc<Data>,
}

impl<Q: ObjectType> FastPath<Q> {
    pub(super) fn new(query: Arc<Q>) -> Option<Self> {
        Some(Self {
            query,
            extensions: no_extensions()?,
            no_data: Arc::default(),
        })
    }

    /// Executes a query. Returns `None` if async-graphql must execute the query instead. This is the case
    /// if the query has not been validated, if it contains introspection or directives, or if an error
    /// occurs in a document with nullable fields.
    pub(super) async fn execute(
        &self,
        document: &Arc<Document>,
        variables: &Variables,
        services: &Arc<Services>,
        authentication: &Authentication,
    ) -> Option<Response> {
        let (validated, operation) = document.fast_path()?;
        let selection_set = document.selection_set();
        let mut data = Data::default();
        data.insert(ResolverContext::new(
            Arc::clone(services),
            authentication.clone(),
            Arc::clone(document),
        ));
        let env = QueryEnv::new(QueryEnvInner {
            extensions: self.extensions.clone(),
            variables: variables.clone(),
            operation_name: None,
            operation: operation.clone(),
            fragments: document.fragments().clone(),
            uploads: Vec::new(),
            session_data: Arc::clone(&self.no_data),
            query_data: Arc::new(data),
            http_headers: Mutex::default(),
            introspection_mode: IntrospectionMode::Enabled,
            errors: Mutex::default(),
        });
        let context = env.create_context(&validated.schema, None, selection_set, None);
        let resolved = resolve_container(&context, &*self.query).await;
        let errors = take(&env.errors);
        if validated.has_nullable && (resolved.is_err() || !errors.is_empty()) {
            validated.mark_erred();
            return None;
        }
        let mut response = match resolved {
            Ok(value) => Response::new(value),
            Err(error) => Response::from_errors(vec![error]),
        };
        response.errors.extend(errors);
        response.http_headers = take(&env.http_headers);
        Some(response)
    }
}

fn take<T: Default>(mutex: &Mutex<T>) -> T {
    std::mem::take(&mut *mutex.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Returns an empty set of extensions. [`Extensions`] has no public constructor, so a resolver copies
/// the set from its context.
fn no_extensions() -> Option<Extensions> {
    struct Probe(Mutex<Option<Extensions>>);

    #[Object]
    impl Probe {
        async fn probe(&self, ctx: &Context<'_>) -> bool {
            let mut extensions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *extensions = Some(ctx.query_env.extensions.clone());
            true
        }
    }

    let probe = Arc::new(Probe(Mutex::default()));
    let schema = Schema::new(Arc::clone(&probe), EmptyMutation, EmptySubscription);
    schema.execute("{ probe }").now_or_never()?;
    take(&probe.0)
}
