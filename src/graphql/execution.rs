//! Executes operations, with limits, a document cache, a time limit and error codes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_graphql::{Data, ObjectType, Request, Response, SubscriptionType, Variables};
use futures_util::{FutureExt, Stream, StreamExt};

use crate::config::Limits;
use crate::error::Error;
use crate::graphql::complexity_check::check_complexity;
use crate::graphql::context::ResolverContext;
use crate::graphql::direct_execution::DirectExecution;
use crate::graphql::document::Document;
use crate::graphql::document_cache::DocumentCache;
use crate::graphql::document_limits::check_variables;
use crate::graphql::errors::{request_error_response, set_error_codes};
use crate::graphql::schema::Schema;
use crate::graphql::schema_definitions::Definitions;
use crate::graphql::variables::coerce;
use crate::service::request_authentication::Authentication;
use crate::service::{Services, run_to_completion};

/// An operation as the client sent it.
#[derive(Debug, Default)]
pub(crate) struct Operation {
    pub(crate) document: String,
    pub(crate) name: Option<String>,
    pub(crate) variables: Variables,
}

/// A parsed operation that is within the limits.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) document: Arc<Document>,
    text: String,
    pub(crate) variables: Variables,
}

impl Prepared {
    /// Creates the request that async-graphql executes.
    fn request(self, data: Data) -> Request {
        let document = self.document.parsed(&self.variables);
        let mut request = Request::new(self.text).variables(self.variables);
        request.set_parsed_query(document);
        request.data = data;
        request
    }
}

/// The result of an operation.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) response: Response,
    /// The error that caused the operation to be refused. `None` if fields were executed.
    pub(crate) request_error: Option<Error>,
}

/// Executes the operations of a schema, within the limits.
pub(crate) struct Executor<Q, M, S> {
    services: Arc<Services>,
    schema: async_graphql::Schema<Arc<Q>, M, S>,
    definitions: Arc<Definitions>,
    /// `None` if the application has added extensions.
    direct: Option<Arc<DirectExecution<Q>>>,
    documents: Arc<DocumentCache>,
    limits: Limits,
    timeout: Duration,
}

impl<Q, M, S> Executor<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    pub(crate) fn new(
        services: Arc<Services>,
        schema: Schema<Q, M, S>,
        documents: Arc<DocumentCache>,
        timeout: Duration,
    ) -> Self {
        let env = &schema.definitions.env;
        let direct = schema.query.map(|query| DirectExecution::new(query, env));
        Self {
            services,
            schema: schema.library,
            definitions: schema.definitions,
            direct: direct.flatten().map(Arc::new),
            documents,
            limits: schema.limits,
            timeout,
        }
    }

    /// Checks an operation and its variables. Parses and validates the document unless the cache contains it.
    pub(crate) fn prepare(&self, operation: Operation) -> Result<Prepared, Error> {
        let Operation {
            document: text,
            name,
            variables,
        } = operation;
        check_variables(&variables, &self.limits)?;
        let cached = self.documents.get(&text, name.as_deref());
        let document = if let Some(document) = &cached {
            Arc::clone(document)
        } else {
            let name = name.as_deref();
            let parsed = Document::parse(&text, name, &self.limits, &self.definitions)?;
            Arc::new(parsed)
        };
        let operation = &document.operation.definition.node;
        let variables = coerce(&self.definitions.env.registry, operation, variables)?;
        let is_known = cached.is_some()
            && !document
                .operation
                .properties
                .complexity_depends_on_variables;
        // If the application has added extensions, async-graphql checks the complexity when it executes the document.
        if self.direct.is_some() && !is_known {
            check_complexity(&self.schema, &document, &variables)?;
        }
        if cached.is_none() {
            self.documents.insert(&text, name, &document);
        }
        Ok(Prepared {
            document,
            text,
            variables,
        })
    }

    /// Executes an operation. If the execution exceeds the time limit, returns an error response,
    /// while the execution continues in the background.
    pub(crate) async fn execute(
        &self,
        prepared: Prepared,
        authentication: Authentication,
        request_id: &str,
    ) -> Outcome {
        let data = self.data(&prepared, authentication);
        let direct = self.direct.clone();
        let direct = direct.filter(|_| prepared.document.is_direct());
        let schema = self.schema.clone();
        let work = async move {
            match direct {
                Some(direct) => {
                    let (document, variables) = (prepared.document, prepared.variables);
                    direct.execute(&document.operation, variables, data).await
                }
                // This future is boxed, to keep the future of direct execution small.
                None => Box::pin(schema.execute(prepared.request(data))).await,
            }
        };
        let executed = run_to_completion(self.timeout, work.boxed()).await;
        match executed {
            Ok(mut response) => Outcome {
                request_error: set_error_codes(&mut response, request_id),
                response,
            },
            Err(error) => Outcome {
                response: request_error_response(&error, request_id),
                request_error: Some(error),
            },
        }
    }

    /// Executes a subscription, and returns the stream of its events.
    pub(crate) fn subscribe(
        &self,
        prepared: Prepared,
        authentication: Authentication,
        request_id: Arc<str>,
    ) -> impl Stream<Item = Response> + Send + use<Q, M, S> {
        let data = self.data(&prepared, authentication);
        let events = self.schema.execute_stream(prepared.request(data));
        events.map(move |mut event| {
            set_error_codes(&mut event, &request_id);
            event
        })
    }

    fn data(&self, prepared: &Prepared, authentication: Authentication) -> Data {
        let mut data = Data::default();
        data.insert(ResolverContext {
            services: Arc::clone(&self.services),
            authentication,
            document: Arc::clone(&prepared.document),
            representations: prepared.document.representations(&prepared.variables),
            loader: OnceLock::new(),
        });
        data
    }
}
