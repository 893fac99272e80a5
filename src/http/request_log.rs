//! Logs and counts each request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use poem::Request;
use poem::http::{Method, StatusCode};

use crate::graphql::document::Document;
use crate::http::client_address::client_address;
use crate::http::state::AppState;
use crate::model::user::UserId;

/// A GraphQL operation that was executed.
#[derive(Clone, Debug)]
pub(super) struct ExecutedOperation {
    pub(super) document: Arc<Document>,
    /// Whether the response contains no errors.
    pub(super) ok: bool,
}

/// The properties of a request that are written to the log.
#[derive(Debug)]
pub(super) struct RequestLog {
    received_at: Instant,
    pub(super) client: Option<IpAddr>,
    method: Method,
    path: String,
}

impl RequestLog {
    pub(super) fn new(request: &Request, state: &AppState) -> Self {
        Self {
            received_at: Instant::now(),
            client: client_address(request, &state.http, &state.ignored_header_warning),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
        }
    }

    /// Logs and counts the response. The log line contains only these texts from the client: the method,
    /// the path, the name of the operation, and a valid request id.
    pub(super) fn log_response(
        &self,
        state: &AppState,
        request_id: &str,
        status: StatusCode,
        operation: Option<&ExecutedOperation>,
        user: Option<UserId>,
    ) {
        let duration = self.received_at.elapsed();
        state.metrics.count_response(status, duration);
        if let Some(operation) = operation {
            state
                .metrics
                .count_root_fields(&operation.document, operation.ok);
        }
        let document = operation.map(|operation| &operation.document);
        tracing::info!(
            target: "symbolon::request",
            request_id,
            client = self.client.map(tracing::field::display),
            method = self.method.as_str(),
            path = self.path,
            status = status.as_u16(),
            duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            operation = document.map(|document| document.operation_keyword()),
            name = document.and_then(|document| document.name.as_deref()),
            fields = document.map(|document| document.fields.as_str()),
            user_id = user.map(tracing::field::display),
            "request"
        );
    }
}
