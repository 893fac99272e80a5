//! Execute a known query without what the library does for extensions: it would take a copy of the
//! document apart, and carry each step and each field through all extensions there are.
//!
//! This leans on what async-graphql has for its own macros, so it holds for the versions that
//! `Cargo.toml` allows.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::extensions::Extensions;
use async_graphql::resolver_utils::resolve_container;
use async_graphql::{
    Context, Data, EmptyMutation, EmptySubscription, IntrospectionMode, Object, ObjectType,
    QueryEnv, QueryEnvInner, Response, Schema,
};
use futures_util::FutureExt;

use crate::graphql::context::Call;
use crate::graphql::execution::Prepared;
use crate::graphql::variables;
use crate::service::Services;
use crate::service::authentication::Authentication;

/// The root of the queries, and what each execution has of the library.
pub(super) struct FastPath<Q> {
    query: Arc<Q>,
    none: Extensions,
    no_data: Arc<Data>,
}

impl<Q: ObjectType> FastPath<Q> {
    pub(super) fn new(query: Arc<Q>) -> Option<Self> {
        Some(Self {
            query,
            none: no_extensions()?,
            no_data: Arc::default(),
        })
    }

    /// The response, if the document is such a query.
    pub(super) async fn execute(
        &self,
        prepared: &Prepared,
        services: &Arc<Services>,
        authentication: &Authentication,
    ) -> Option<Response> {
        let document = &prepared.document;
        let (known, operation) = document.fast_path()?;
        let selected = document.selection_set()?;
        let variables = prepared.variables.clone();
        let registry = &known.schema.registry;
        if let Err(error) = variables::check(registry, &operation.node, &variables) {
            return Some(Response::from_errors(vec![error]));
        }
        let mut data = Data::default();
        data.insert(Call::new(
            Arc::clone(services),
            authentication.clone(),
            Arc::clone(document),
        ));
        let env = QueryEnv::new(QueryEnvInner {
            extensions: self.none.clone(),
            variables,
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
        let context = env.create_context(&known.schema, None, selected, None);
        let resolved = resolve_container(&context, &*self.query).await;
        let errors = taken(&env.errors);
        if known.has_nullable && (resolved.is_err() || !errors.is_empty()) {
            known.has_erred();
            return None;
        }
        let mut response = match resolved {
            Ok(value) => Response::new(value),
            Err(error) => Response::from_errors(vec![error]),
        };
        response.errors.extend(errors);
        response.http_headers = taken(&env.http_headers);
        Some(response)
    }
}

fn taken<T: Default>(of: &Mutex<T>) -> T {
    std::mem::take(&mut *of.lock().unwrap_or_else(PoisonError::into_inner))
}

/// What stands for no extensions in the library, which makes it for resolvers only.
fn no_extensions() -> Option<Extensions> {
    struct Probe(Mutex<Option<Extensions>>);

    #[Object]
    impl Probe {
        async fn probe(&self, ctx: &Context<'_>) -> bool {
            let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *found = Some(ctx.query_env.extensions.clone());
            true
        }
    }

    let probe = Arc::new(Probe(Mutex::default()));
    let schema = Schema::new(Arc::clone(&probe), EmptyMutation, EmptySubscription);
    schema.execute("{ probe }").now_or_never()?;
    taken(&probe.0)
}
