//! Executes operations, with limits, a document cache, a fast path, a time limit and error codes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use apollo_compiler::validation::Valid;
use async_graphql::{
    Name, ObjectType, Request, Response, SchemaEnv, SubscriptionType, Value, Variables,
};
use futures_util::{FutureExt, Stream, StreamExt, stream};

use crate::config::Limits;
use crate::error::Error;
use crate::graphql::context::ResolverContext;
use crate::graphql::document::Document;
use crate::graphql::document_cache::{DocumentCache, Key};
use crate::graphql::document_limits::check_variables;
use crate::graphql::errors::{request_error_response, set_error_codes};
use crate::graphql::fast_path::FastPath;
use crate::graphql::schema::Schema;
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
    /// The key for inserting the document into the cache. `None` if the cache already contains the
    /// document.
    key: Option<Key>,
    text: String,
    variables: Variables,
}

impl Prepared {
    /// Returns an upper bound on the memory that a subscription with this operation occupies, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.document.bytes() + self.variables.iter().map(variable_bytes).sum::<usize>()
    }

    /// Creates the request that async-graphql executes.
    fn request(self, services: Arc<Services>, authentication: Authentication) -> Request {
        let document = self.document;
        let mut request = Request::new(self.text).variables(self.variables);
        request.set_parsed_query(document.parsed());
        request.data(ResolverContext::new(services, authentication, document))
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
    env: Arc<OnceLock<SchemaEnv>>,
    definitions: Option<Arc<Valid<apollo_compiler::Schema>>>,
    fast_path: Option<Arc<FastPath<Q>>>,
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
        limits: Limits,
        timeout: Duration,
    ) -> Self {
        Self {
            services,
            schema: schema.library,
            env: schema.env,
            definitions: schema.definitions,
            fast_path: schema.query.and_then(FastPath::new).map(Arc::new),
            documents,
            limits,
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
        let (Some(env), Some(definitions)) = (self.env.get(), &self.definitions) else {
            return Err(Error::internal("the environment of the schema is not set"));
        };
        let (document, key) = self.documents.get_or_parse(
            &text,
            name.as_deref(),
            &self.limits,
            definitions,
            &env.registry,
        )?;
        let variables = coerce(&env.registry, document.operation(), variables)?;
        Ok(Prepared {
            document,
            key,
            text,
            variables,
        })
    }

    /// Executes an operation. If the execution exceeds the time limit, returns an error response,
    /// while the execution continues in the background.
    pub(crate) async fn execute(
        &self,
        mut prepared: Prepared,
        authentication: Authentication,
        request_id: &str,
    ) -> Outcome {
        let new_key = prepared.key.take();
        let document = Arc::clone(&prepared.document);
        let fast_path = self.fast_path.clone();
        let schema = self.schema.clone();
        let services = Arc::clone(&self.services);
        let work = async move {
            if let Some(fast_path) = fast_path
                && let Some(response) = fast_path
                    .execute(
                        &prepared.document,
                        &prepared.variables,
                        &services,
                        &authentication,
                    )
                    .await
            {
                return response;
            }
            // This future is boxed, to keep the future of the fast path small.
            Box::pin(schema.execute(prepared.request(services, authentication))).await
        };
        let executed = run_to_completion(self.timeout, work.boxed()).await;
        if let Some(key) = new_key {
            self.documents.insert_valid(key, &document);
        }
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
        mut prepared: Prepared,
        authentication: Authentication,
        request_id: Arc<str>,
    ) -> impl Stream<Item = Response> + Send + use<Q, M, S> {
        let mut new_key = prepared.key.take();
        let document = Arc::clone(&prepared.document);
        let documents = Arc::clone(&self.documents);
        let request = prepared.request(Arc::clone(&self.services), authentication);
        let mut events = self.schema.execute_stream(request);
        stream::poll_fn(move |cx| {
            let polled = events.poll_next_unpin(cx);
            // The first poll validates the document.
            if let Some(key) = new_key.take() {
                documents.insert_valid(key, &document);
            }
            polled.map(|event| {
                event.map(|mut event| {
                    set_error_codes(&mut event, &request_id);
                    event
                })
            })
        })
    }
}

/// Estimates the memory of a variable, in bytes.
fn variable_bytes((name, value): (&Name, &Value)) -> usize {
    let mut bytes = name.len() + size_of::<(Name, Value)>();
    let mut values = vec![value];
    while let Some(value) = values.pop() {
        bytes += size_of::<Value>();
        match value {
            Value::String(text) => bytes += text.len(),
            Value::List(items) => values.extend(items),
            Value::Object(fields) => {
                let names = fields.keys().map(|name| name.len() + 2 * size_of::<Name>());
                bytes += names.sum::<usize>();
                values.extend(fields.values());
            }
            _ => {}
        }
    }
    bytes
}
