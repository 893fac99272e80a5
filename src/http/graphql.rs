//! `/graphql`: one operation a request, after the GraphQL over HTTP specification.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_graphql::Variables;
use async_graphql::parser::types::OperationType;
use async_graphql::{ObjectType, Response as ErrorDetails, ServerError, SubscriptionType, Value};
use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, Request, Response};
use serde::{Deserialize, Serialize};
use tokio::task::yield_now;

use crate::error::Error;
use crate::graphql::Schema;
use crate::graphql::document_cache::DocumentCache;
use crate::graphql::errors::refused;
use crate::graphql::execution::{Executor, Operation, Outcome};
use crate::http::error_responses::{Challenge, refuse};
use crate::http::request_context::RequestContext;
use crate::http::request_log::ExecutedOperation;
use crate::http::{AppState, error_responses, request_body, websocket};

/// Answers the operations of a schema.
pub(super) struct GraphqlEndpoint<Q, M, S> {
    state: Arc<AppState>,
    executor: Arc<Executor<Q, M, S>>,
}

impl<Q, M, S> GraphqlEndpoint<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    pub(super) fn new(state: Arc<AppState>, schema: Schema<Q, M, S>) -> Self {
        let documents = Arc::new(DocumentCache::new(state.document_cache));
        state.metrics.show(&documents);
        let limits = state.limits.clone();
        let executor = Executor::new(
            Arc::clone(&state.services),
            schema,
            documents,
            limits,
            state.request_timeout(),
        );
        Self {
            state,
            executor: Arc::new(executor),
        }
    }

    async fn answer(
        &self,
        request: &mut Request,
        context: &RequestContext,
    ) -> Result<Outcome, Error> {
        let operation = match *request.method() {
            Method::POST => self.posted(request).await?,
            Method::GET => from_query(request)?,
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
                let why = "Subscriptions are not served here.".to_owned();
                return Err(Error::GraphqlValidationFailed(why));
            }
        }
        let document = Arc::clone(&prepared.document);
        let authentication = context.authentication.clone();
        // All requests that can run now come as far as this before the first one is answered: one look at
        // the changes of other processes serves them all, a processor does the same work many times faster
        // than different work by turns, and a client that reads the first answer is awake for the rest.
        if !authentication.recall().await {
            yield_now().await;
        }
        let outcome = (self.executor)
            .execute(prepared, authentication, &context.id)
            .await;
        if outcome.refused.is_none() {
            let ok = outcome.response.is_ok();
            context.worked_on(ExecutedOperation { document, ok });
        }
        Ok(outcome)
    }

    async fn posted(&self, request: &mut Request) -> Result<Operation, Error> {
        // Nothing else: a browser sends other types to any host without asking that host first.
        let json = request
            .content_type()
            .and_then(|value| value.split(';').next());
        if json.is_none_or(|value| !value.trim().eq_ignore_ascii_case("application/json")) {
            return Err(Error::UnsupportedMediaType);
        }
        let body = request_body::read(request, &self.state).await?;
        // An array would do for a struct, and so would a batch of operations.
        if body.trim_ascii_start().first() != Some(&b'{') {
            let why = "The body has to be one JSON object, with one operation.";
            return Err(Error::BadRequest(why.to_owned()));
        }
        from_json::<Parameters>(&body, "body")?.try_into()
    }
}

impl<Q, M, S> Endpoint for GraphqlEndpoint<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    type Output = Response;

    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn keeps its arguments twice"
    )]
    fn call(&self, mut request: Request) -> impl Future<Output = poem::Result<Response>> + Send {
        async move {
            let context = RequestContext::of(&request)?;
            if !S::is_empty() && websocket::is_asked_for(&request) {
                let upgraded = websocket::upgrade(&request, &context, &self.state, &self.executor);
                return Ok(
                    upgraded.unwrap_or_else(|error| refuse(&error, Challenge::Bearer, &context.id))
                );
            }
            let accepted = MediaType::accepted_by(request.headers());
            let answered = match accepted {
                Some(_) => self.answer(&mut request, &context).await,
                None => Err(Error::NotAcceptable),
            };
            let outcome = answered.unwrap_or_else(|error| Outcome {
                response: refused(&error, &context.id),
                refused: Some(error),
            });
            Ok(respond(accepted.unwrap_or(MediaType::Json), outcome))
        }
    }
}

/// The parameters of a request (section "Request Parameters"); unknown ones are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<Variables>,
    #[serde(rename = "extensions")]
    _extensions: Option<BTreeMap<String, Value>>,
}

impl TryFrom<Parameters> for Operation {
    type Error = Error;

    fn try_from(parameters: Parameters) -> Result<Self, Error> {
        let missing = || Error::BadRequest("The parameter query is missing.".to_owned());
        Ok(Self {
            document: parameters.query.ok_or_else(missing)?,
            name: parameters.operation_name,
            variables: parameters.variables.unwrap_or_default(),
        })
    }
}

/// Reads the parameters from the URL; those that are maps are JSON there.
fn from_query(request: &Request) -> Result<Operation, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct InUrl {
        query: Option<String>,
        operation_name: Option<String>,
        variables: Option<String>,
        extensions: Option<String>,
    }
    let malformed = |_| Error::BadRequest("The query string is malformed.".to_owned());
    let url: InUrl = request.params().map_err(malformed)?;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let map = |text: Option<String>, name| {
        let text = given(text);
        text.map(|text| from_json(text.as_bytes(), name))
            .transpose()
    };
    Parameters {
        query: url.query,
        operation_name: given(url.operation_name),
        variables: map(url.variables, "parameter variables")?.flatten(),
        _extensions: match given(url.extensions) {
            Some(text) => from_json(text.as_bytes(), "parameter extensions")?,
            None => None,
        },
    }
    .try_into()
}

fn from_json<'a, T: Deserialize<'a>>(text: &'a [u8], what: &str) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|error| {
        // The parser's own bound on its stack.
        if error.to_string().starts_with("recursion limit exceeded") {
            return Error::LimitExceeded("nesting");
        }
        Error::BadRequest(format!("The {what} is not what it should be: {error}."))
    })
}

/// The two media types of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum MediaType {
    GraphqlResponse,
    Json,
}

impl MediaType {
    /// The one that the client prefers (RFC 9110, section 12.5.1); `None` if it takes neither. One
    /// that says nothing, or takes anything, gets JSON: it may not know the other one.
    fn accepted_by(headers: &HeaderMap) -> Option<Self> {
        let mut best = None;
        let mut any = false;
        for value in headers.get_all(header::ACCEPT) {
            for range in value.to_str().unwrap_or_default().split(',') {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default().to_ascii_lowercase();
                any |= !name.is_empty();
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
            .or((!any).then_some(Self::Json))
    }

    fn name(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }

    /// The status of a request that was refused whole. Under JSON, clients take every other status
    /// than 200 for something that is no GraphQL server.
    fn status(self, error: &Error) -> StatusCode {
        match (self, error) {
            (
                Self::Json,
                Error::GraphqlParseFailed(_)
                | Error::GraphqlValidationFailed(_)
                | Error::BadUserInput(_),
            ) => StatusCode::OK,
            _ => error_responses::status(error),
        }
    }
}

/// An answer on the wire. Without `data` if nothing was executed.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: &'a BTreeMap<String, Value>,
}

fn respond(media_type: MediaType, outcome: Outcome) -> Response {
    let ErrorDetails {
        data,
        errors,
        extensions,
        http_headers,
        ..
    } = outcome.response;
    let body = Body {
        data: outcome.refused.is_none().then_some(&data),
        errors: &errors,
        extensions: &extensions,
    };
    let status = match &outcome.refused {
        Some(error) => media_type.status(error),
        None => StatusCode::OK,
    };
    let mut response = match serde_json::to_vec(&body) {
        Ok(body) => Response::builder().status(status).body(body),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into()
        }
    };
    let headers = response.headers_mut();
    headers.extend(http_headers);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(media_type.name()),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
    if let Some(error) = &outcome.refused {
        error_responses::add_headers(error, headers);
    }
    response
}
