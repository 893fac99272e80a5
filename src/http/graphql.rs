//! `/graphql`: one operation as a JSON body, one answer.

use async_graphql::{
    ObjectType, Request as Operation, Response as Answer, Schema, SubscriptionType,
};
use async_graphql_poem::GraphQLResponse;
use poem::error::ReadBodyError;
use poem::http::{StatusCode, header};
use poem::{Endpoint, FromRequest, IntoResponse, Request, RequestBody, Response};

use crate::error::Error;
use crate::graphql::errors::{apply_contract, refused};
use crate::http::context::RequestContext;
use crate::http::to_its_end;

/// A larger body is not read.
const BODY_LIMIT: usize = 64 * 1024;

/// Executes operations on a schema.
#[derive(Clone)]
pub(super) struct GraphqlEndpoint<Q, M, S> {
    schema: Schema<Q, M, S>,
}

impl<Q, M, S> GraphqlEndpoint<Q, M, S> {
    pub(super) fn new(schema: Schema<Q, M, S>) -> Self {
        Self { schema }
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
        let mut no_body = RequestBody::default();
        let context = RequestContext::from_request(&request, &mut no_body).await?;
        let (status, answer) = match operation(&mut request).await {
            Ok(operation) => {
                let operation = operation.data(context.authentication.clone());
                (StatusCode::OK, self.execute(operation, &context.id).await)
            }
            Err(error) => {
                // A document that is no GraphQL was still answered as GraphQL has it.
                let status = match error {
                    Error::GraphqlParseFailed(_) => StatusCode::OK,
                    _ => StatusCode::from_u16(error.answer().status)
                        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                };
                (status, refused(&error, &context.id))
            }
        };
        Ok(GraphQLResponse(answer)
            .with_status(status)
            .with_header(header::CACHE_CONTROL, "no-store")
            .into_response())
    }
}

impl<Q, M, S> GraphqlEndpoint<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    async fn execute(&self, operation: Operation, request_id: &str) -> Answer {
        let schema = self.schema.clone();
        match to_its_end(async move { schema.execute(operation).await }).await {
            Ok(mut answer) => {
                apply_contract(&mut answer, request_id);
                answer
            }
            Err(error) => refused(&error, request_id),
        }
    }
}

/// Reads the body, parsed down to its document.
async fn operation(request: &mut Request) -> Result<Operation, Error> {
    // Nothing else: a browser sends every other type to any host without asking that host first.
    let json = request
        .content_type()
        .and_then(|value| value.split(';').next());
    if json.is_none_or(|value| !value.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Error::UnsupportedMediaType);
    }
    let body = request.take_body().into_bytes_limit(BODY_LIMIT).await;
    let body = body.map_err(|error| match error {
        ReadBodyError::PayloadTooLarge => Error::PayloadTooLarge,
        _ => Error::BadRequest("The body did not arrive whole.".to_owned()),
    })?;
    let mut operation: Operation = serde_json::from_slice(&body).map_err(|error| {
        Error::BadRequest(format!(
            "The body is not one GraphQL request in JSON: {error}."
        ))
    })?;
    match operation.parsed_query() {
        Ok(_) => Ok(operation),
        Err(error) => {
            let line = error.message.lines().next().unwrap_or_default();
            let at = error.locations.first().map(ToString::to_string);
            Err(Error::GraphqlParseFailed(at.map_or_else(
                || format!("The document is not GraphQL: {}.", line.trim()),
                |at| format!("The document is not GraphQL at {at}."),
            )))
        }
    }
}
