//! `/graphql`: executes one operation per request, according to the GraphQL over HTTP specification.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_graphql::Variables;
use async_graphql::parser::types::OperationType;
use async_graphql::{ObjectType, ServerError, SubscriptionType, Value};
use async_graphql_poem::GraphQLResponse;
use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::web::Json;
use poem::{Endpoint, IntoResponse, Request, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::yield_now;

use crate::error::Error;
use crate::graphql::Schema;
use crate::graphql::document_cache::DocumentCache;
use crate::graphql::errors::request_error_response;
use crate::graphql::execution::{Operation, OperationExecutor, Outcome};
use crate::http::error_responses::{self, Challenge, error_response};
use crate::http::middleware::RequestContext;
use crate::http::request_body;
use crate::http::request_log::ExecutedOperation;
use crate::http::state::AppState;
use crate::http::websocket;

/// Returns an executor of the operations of a schema, with a document cache of its own.
pub(super) fn operation_executor<Q, M, S>(
    state: &AppState,
    schema: Schema<Q, M, S>,
) -> Arc<OperationExecutor<Q, M, S>>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let documents = Arc::new(DocumentCache::new(state.document_cache));
    state.metrics.add_document_cache(&documents);
    Arc::new(OperationExecutor::new(
        Arc::clone(&state.services),
        schema,
        documents,
        state.limits.clone(),
        state.request_timeout(),
    ))
}

/// The endpoint that executes the operations of a schema.
pub(super) struct GraphqlEndpoint<Q, M, S> {
    state: Arc<AppState>,
    executor: Arc<OperationExecutor<Q, M, S>>,
}

impl<Q, M, S> GraphqlEndpoint<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    pub(super) fn new(state: Arc<AppState>, schema: Schema<Q, M, S>) -> Self {
        let executor = operation_executor(&state, schema);
        Self { state, executor }
    }

    async fn execute(
        &self,
        request: &mut Request,
        context: &RequestContext,
    ) -> Result<Outcome, Error> {
        let operation = match *request.method() {
            Method::POST => self.parse_body(request).await?,
            Method::GET => parse_query_string(request)?,
            _ => return Err(Error::MethodNotAllowed("GET, POST")),
        };
        let prepared = self.executor.prepare(operation)?;
        match prepared.document.operation_type {
            OperationType::Query => {}
            OperationType::Mutation if request.method() == Method::GET => {
                return Err(Error::MethodNotAllowed("POST"));
            }
            OperationType::Mutation => context.refuse_cross_site()?,
            OperationType::Subscription => {
                let message = "Subscriptions require a WebSocket.".to_owned();
                return Err(Error::GraphqlValidationFailed(message));
            }
        }
        let document = Arc::clone(&prepared.document);
        let authentication = context.authentication.clone();
        // Waits, in `load_cached_identity` or in `yield_now`, until the tasks of all other requests that are
        // ready to run have reached this point. All of these requests then share one check for changes by other processes.
        // In addition, the processor executes the same code several times in succession, and a client that
        // the first response wakes up can read several responses. With 64 connections, the same
        // instructions take two thirds of the time that they take without this wait (bench/README.md).
        if !authentication.load_cached_identity().await {
            yield_now().await;
        }
        let outcome = self
            .executor
            .execute(prepared, authentication, &context.id)
            .await;
        if outcome.request_error.is_none() {
            let ok = outcome.response.is_ok();
            context.set_executed_operation(ExecutedOperation { document, ok });
        }
        Ok(outcome)
    }

    async fn parse_body(&self, request: &mut Request) -> Result<Operation, Error> {
        // Browsers can send some other media types to any host without a preflight request.
        let media_type = request
            .content_type()
            .and_then(|value| value.split(';').next());
        if media_type.is_none_or(|name| !name.trim().eq_ignore_ascii_case("application/json")) {
            return Err(Error::UnsupportedMediaType);
        }
        let body = request.take_body();
        let body = request_body::read(request.headers(), body, &self.state).await?;
        // Serde would also deserialize a JSON array into the struct, but batches of operations are not
        // supported.
        if body.trim_ascii_start().first() != Some(&b'{') {
            let message = "The body must be a JSON object with one operation.";
            return Err(Error::BadRequest(message.to_owned()));
        }
        parse_json::<Parameters>(&body, "body")?.try_into()
    }
}

impl<Q, M, S> Endpoint for GraphqlEndpoint<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let context = RequestContext::of(&request)?;
        if !S::is_empty() && websocket::is_upgrade_request(&request) {
            let response = websocket::upgrade(&request, &context, &self.state, &self.executor);
            return Ok(response
                .unwrap_or_else(|error| error_response(&error, Challenge::Bearer, &context.id)));
        }
        let accepted = MediaType::negotiate(request.headers());
        let result = match accepted {
            Some(_) => self.execute(&mut request, &context).await,
            None => Err(Error::NotAcceptable),
        };
        let outcome = result.unwrap_or_else(|error| Outcome {
            response: request_error_response(&error, &context.id),
            request_error: Some(error),
        });
        Ok(response(accepted.unwrap_or(MediaType::Json), outcome))
    }
}

/// The parameters of a request (GraphQL over HTTP, section "Request Parameters"). Unknown parameters
/// are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<Variables>,
    extensions: Option<BTreeMap<String, Value>>,
}

impl TryFrom<Parameters> for Operation {
    type Error = Error;

    fn try_from(parameters: Parameters) -> Result<Self, Error> {
        let is_persisted = parameters
            .extensions
            .is_some_and(|it| it.contains_key("persistedQuery"));
        let document = match parameters.query {
            Some(document) => document,
            None if is_persisted => return Err(Error::PersistedQueryNotSupported),
            None => {
                let message = "The parameter `query` is missing.";
                return Err(Error::BadRequest(message.to_owned()));
            }
        };
        Ok(Self {
            document,
            name: parameters.operation_name,
            variables: parameters.variables.unwrap_or_default(),
        })
    }
}

/// Parses the parameters in the URL. The values of `variables` and `extensions` are JSON. If
/// `operationName`, `variables` or `extensions` is empty, the parameter counts as missing.
fn parse_query_string(request: &Request) -> Result<Operation, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct QueryString {
        query: Option<String>,
        operation_name: Option<String>,
        variables: Option<String>,
        extensions: Option<String>,
    }
    fn parse_map<T: DeserializeOwned>(
        text: Option<String>,
        name: &str,
    ) -> Result<Option<T>, Error> {
        match text {
            Some(text) if !text.is_empty() => parse_json(text.as_bytes(), name),
            _ => Ok(None),
        }
    }
    let malformed = |_| Error::BadRequest("The query string is malformed.".to_owned());
    let parameters: QueryString = request.params().map_err(malformed)?;
    Parameters {
        query: parameters.query,
        operation_name: parameters.operation_name.filter(|name| !name.is_empty()),
        variables: parse_map(parameters.variables, "parameter `variables`")?,
        extensions: parse_map(parameters.extensions, "parameter `extensions`")?,
    }
    .try_into()
}

fn parse_json<'a, T: Deserialize<'a>>(text: &'a [u8], what: &str) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|error| {
        // serde_json refuses more than 128 levels of nesting, to limit its use of the stack.
        if error.to_string().starts_with("recursion limit exceeded") {
            return Error::LimitExceeded("nesting");
        }
        Error::BadRequest(format!("The {what} is invalid: {error}."))
    })
}

/// The media type of a response.
#[derive(Clone, Copy, Debug, PartialEq)]
enum MediaType {
    GraphqlResponse,
    Json,
}

impl MediaType {
    /// Returns the media type that the client prefers (RFC 9110, section 12.5.1), or `None` if the client
    /// accepts neither. The default is JSON, which every client supports.
    fn negotiate(headers: &HeaderMap) -> Option<Self> {
        let mut best = None;
        let mut has_range = false;
        for value in headers.get_all(header::ACCEPT) {
            for range in value.to_str().unwrap_or_default().split(',') {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default().to_ascii_lowercase();
                has_range |= !name.is_empty();
                let quality = parts.find_map(|part| part.strip_prefix("q="));
                let quality = quality.map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0));
                let media_type = match name.as_str() {
                    "application/graphql-response+json" => Self::GraphqlResponse,
                    "application/json" | "application/*" | "*/*" => Self::Json,
                    _ => continue,
                };
                if quality > best.map_or(0.0, |(_, best)| best) {
                    best = Some((media_type, quality));
                }
            }
        }
        best.map(|(media_type, _)| media_type)
            .or((!has_range).then_some(Self::Json))
    }

    fn name(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }

    /// Returns the status of the response to a request that was not executed. With `application/json`, the
    /// status for an invalid document is 200, because clients assume that other statuses were sent by an
    /// intermediary.
    fn status(self, error: &Error) -> StatusCode {
        match (self, error) {
            (
                Self::Json,
                Error::GraphqlParseFailed(_)
                | Error::GraphqlValidationFailed(_)
                | Error::InvalidDocument(_)
                | Error::InvalidVariables(_)
                | Error::BadUserInput(_),
            ) => StatusCode::OK,
            _ => error_responses::status(error),
        }
    }
}

/// The body of the response to a request that was not executed. It has no `data`.
#[derive(Serialize)]
struct RequestErrorBody<'a> {
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: &'a BTreeMap<String, Value>,
}

fn response(media_type: MediaType, outcome: Outcome) -> Response {
    let mut response = match &outcome.request_error {
        None => GraphQLResponse(outcome.response).into_response(),
        Some(error) => {
            let body = RequestErrorBody {
                errors: &outcome.response.errors,
                extensions: &outcome.response.extensions,
            };
            let response = Json(body).with_status(media_type.status(error));
            response.into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(media_type.name()),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
    if let Some(error) = &outcome.request_error {
        error_responses::add_headers(error, headers);
    }
    response
}
