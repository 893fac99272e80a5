//! Executes operations, with limits, a document cache, a time limit and error codes.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{
    Data, IntrospectionMode, Name, ObjectType, Request, Response, SubscriptionType, Value,
    Variables,
};
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
    /// The rest of the request: the data of the application and the introspection mode.
    pub(super) request: Request,
    /// The data that the operations of a WebSocket of another server share.
    pub(super) session: Option<Arc<Data>>,
    pub(crate) document: Arc<Document>,
    text: String,
    variables: Variables,
}

impl Prepared {
    /// Returns an upper bound on the memory that a subscription with this operation occupies, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.document.bytes + self.variables.iter().map(variable_bytes).sum::<usize>()
    }

    /// Creates the request that async-graphql executes.
    fn into_request(self) -> Request {
        let document = self.document.parsed(&self.variables);
        let mut request = self.request.variables(self.variables);
        request.query = self.text;
        request.set_parsed_query(document);
        request
    }

    /// Returns whether the operation can be executed directly.
    fn is_direct(&self) -> bool {
        self.request.introspection_mode == IntrospectionMode::Enabled && self.document.is_direct()
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
pub(crate) struct OperationExecutor<Q, M, S> {
    services: Arc<Services>,
    schema: async_graphql::Schema<Arc<Q>, M, S>,
    definitions: Option<Arc<Definitions>>,
    /// `None` if the application has added extensions.
    direct: Option<Arc<DirectExecution<Q>>>,
    documents: Arc<DocumentCache>,
    limits: Limits,
    timeout: Duration,
}

impl<Q, M, S> OperationExecutor<Q, M, S>
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
        let direct = schema.definitions.as_ref().zip(schema.query);
        let direct = direct.and_then(|(it, query)| DirectExecution::new(query, it.env.clone()));
        Self {
            services,
            schema: schema.library,
            definitions: schema.definitions,
            direct: direct.map(Arc::new),
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
        let Some(definitions) = &self.definitions else {
            return Err(Error::internal("the definitions of the schema are not set"));
        };
        let cached = self.documents.get(&text, name.as_deref());
        let document = if let Some(document) = &cached {
            Arc::clone(document)
        } else {
            let name = name.as_deref();
            let parsed = Document::parse(&text, name, &self.limits, definitions)?;
            Arc::new(parsed)
        };
        let operation = &document.operation.definition.node;
        let variables = coerce(&definitions.env.registry, operation, variables)?;
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
            request: Request::new(String::new()),
            session: None,
            document,
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
        self.add_context(&mut prepared, authentication);
        let direct = self.direct.clone().filter(|_| prepared.is_direct());
        let schema = self.schema.clone();
        let work = async move {
            match direct {
                Some(direct) => {
                    let (document, variables) = (prepared.document, prepared.variables);
                    let (data, session) = (prepared.request.data, prepared.session);
                    let operation = &document.operation;
                    direct.execute(operation, variables, data, session).await
                }
                // These futures are boxed, to keep the future of direct execution small.
                None => match prepared.session.take() {
                    Some(session) => {
                        let request = prepared.into_request();
                        let mut events = schema.execute_stream_with_session_data(request, session);
                        events.next().await.unwrap_or_default()
                    }
                    None => Box::pin(schema.execute(prepared.into_request())).await,
                },
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
        mut prepared: Prepared,
        authentication: Authentication,
        request_id: Arc<str>,
    ) -> impl Stream<Item = Response> + Send + use<Q, M, S> {
        self.add_context(&mut prepared, authentication);
        let session = prepared.session.take().unwrap_or_default();
        let request = prepared.into_request();
        let events = self
            .schema
            .execute_stream_with_session_data(request, session);
        events.map(move |mut event| {
            set_error_codes(&mut event, &request_id);
            event
        })
    }

    /// Adds the data that the guards and resolvers of Symbolon use.
    fn add_context(&self, prepared: &mut Prepared, authentication: Authentication) {
        prepared.request.data.insert(ResolverContext::new(
            Arc::clone(&self.services),
            authentication,
            Arc::clone(&prepared.document),
        ));
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
