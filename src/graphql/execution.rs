//! The one way into a schema: check, parse, check, execute.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Name, ObjectType, Request, Response, SubscriptionType, Value, Variables};
use futures_util::{FutureExt, Stream, StreamExt, stream};

use crate::config::Limits;
use crate::error::Error;
use crate::graphql::context::Call;
use crate::graphql::document_cache::{Document, DocumentCache, Key};
use crate::graphql::document_limits::check_variables;
use crate::graphql::errors::{apply_contract, refused};
use crate::graphql::fast_path::FastPath;
use crate::graphql::schema::Schema;
use crate::service::authentication::Authentication;
use crate::service::{Services, run_to_completion};

/// An operation as a client sends it.
#[derive(Debug, Default)]
pub(crate) struct Operation {
    pub(crate) document: String,
    pub(crate) name: Option<String>,
    pub(crate) variables: Variables,
}

/// An operation that may be executed.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) document: Arc<Document>,
    /// For a document that is new.
    key: Option<Key>,
    text: String,
    pub(super) variables: Variables,
}

impl Prepared {
    /// The memory that a subscription keeps, at most.
    pub(crate) fn bytes(&self) -> usize {
        self.document.bytes() + self.variables.iter().map(variable_bytes).sum::<usize>()
    }

    /// For the library to execute.
    fn request(self, services: Arc<Services>, authentication: Authentication) -> Request {
        let document = self.document;
        let mut request = Request::new(self.text).variables(self.variables);
        request.set_parsed_query(document.parsed());
        request.data(Call::new(services, authentication, document))
    }
}

/// What came of an operation.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) response: Response,
    /// Why it was refused, if it was before anything was executed.
    pub(crate) refused: Option<Error>,
}

/// A schema behind its limits.
pub(crate) struct Executor<Q, M, S> {
    services: Arc<Services>,
    schema: async_graphql::Schema<Arc<Q>, M, S>,
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
            fast_path: schema.query.and_then(FastPath::new).map(Arc::new),
            documents,
            limits,
            timeout,
        }
    }

    /// Parses an operation, unless it is known, and checks it against the limits.
    pub(crate) fn prepare(&self, operation: Operation) -> Result<Prepared, Error> {
        let Operation {
            document: text,
            name,
            mut variables,
        } = operation;
        check_variables(&variables, &self.limits)?;
        let (document, key) = (self.documents).find(&text, name.as_deref(), &self.limits)?;
        // Nothing uses the others, and a subscription would keep them.
        let mut declared = Variables::default();
        for name in document.variables() {
            if let Some((name, value)) = variables.remove_entry(name) {
                declared.insert(name, value);
            }
        }
        Ok(Prepared {
            document,
            key,
            text,
            variables: declared,
        })
    }

    /// Executes an operation. Whatever takes longer than the time limit goes on to its end; only the
    /// waiting ends.
    pub(crate) async fn execute(
        &self,
        mut prepared: Prepared,
        authentication: Authentication,
        request_id: &str,
    ) -> Outcome {
        let new = prepared.key.take();
        let document = Arc::clone(&prepared.document);
        let fast_path = self.fast_path.clone();
        let schema = self.schema.clone();
        let services = Arc::clone(&self.services);
        let work = async move {
            if let Some(fast_path) = fast_path
                && let Some(response) = fast_path
                    .execute(&prepared, &services, &authentication)
                    .await
            {
                return response;
            }
            // A new document is rare, and whatever else comes here takes its time.
            Box::pin(schema.execute(prepared.request(services, authentication))).await
        };
        let executed = run_to_completion(self.timeout, work.boxed()).await;
        if let Some(key) = new {
            self.documents.keep(key, &document);
        }
        match executed {
            Ok(mut response) => Outcome {
                refused: apply_contract(&mut response, request_id),
                response,
            },
            Err(error) => Outcome {
                response: refused(&error, request_id),
                refused: Some(error),
            },
        }
    }

    /// The events of a subscription, until it ends or is dropped.
    pub(crate) fn subscribe(
        &self,
        mut prepared: Prepared,
        authentication: Authentication,
        request_id: Arc<str>,
    ) -> impl Stream<Item = Response> + Send + use<Q, M, S> {
        let mut new = prepared.key.take();
        let document = Arc::clone(&prepared.document);
        let documents = Arc::clone(&self.documents);
        let request = prepared.request(Arc::clone(&self.services), authentication);
        let mut events = self.schema.execute_stream(request);
        stream::poll_fn(move |cx| {
            let polled = events.poll_next_unpin(cx);
            // The first poll has validated the document. Subscriptions with the same text share it.
            if let Some(key) = new.take() {
                documents.keep(key, &document);
            }
            polled.map(|event| {
                event.map(|mut event| {
                    apply_contract(&mut event, &request_id);
                    event
                })
            })
        })
    }
}

/// The memory that the value of a variable takes, about.
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
