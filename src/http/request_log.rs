//! One line and one count for each request.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use poem::Request;
use poem::http::{Method, StatusCode};

use crate::graphql::document::Document;
use crate::http::{AppState, client_address};
use crate::model::user::UserId;

/// What an executed operation asked for: names of the schema, and its own.
#[derive(Clone, Debug)]
pub(super) struct ExecutedOperation {
    pub(super) document: Arc<Document>,
    /// Whether all of it succeeded.
    pub(super) ok: bool,
}

/// A request as it came in.
#[derive(Debug)]
pub(super) struct RequestLog {
    at: Instant,
    client: Option<IpAddr>,
    method: Method,
    path: String,
}

impl RequestLog {
    pub(super) fn of(request: &Request, state: &AppState) -> Self {
        Self {
            at: Instant::now(),
            client: client_address::client(request, state),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
        }
    }

    /// Where it comes from.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// Logs and counts its answer. Nothing that a client wrote is in it but the path, the name of the
    /// operation, and an id that is one.
    pub(super) fn answered(
        &self,
        state: &AppState,
        request_id: &str,
        status: StatusCode,
        work: Option<&ExecutedOperation>,
        user: Option<UserId>,
    ) {
        let after = self.at.elapsed();
        state.metrics.responded(status, after);
        if let Some(work) = work {
            state.metrics.count_root_fields(&work.document, work.ok);
        }
        tracing::info!(
            target: "symbolon::request",
            request_id,
            client = self.client.map(|address| tracing::field::display(Client(address))),
            method = self.method.as_str(),
            path = self.path,
            status = status.as_u16(),
            duration_us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX),
            operation = work.map(|work| work.document.kind()),
            name = work.and_then(|work| work.document.name.as_deref()),
            fields = work.map(|work| work.document.fields.as_str()),
            user_id = user.map(tracing::field::display),
            "request"
        );
    }
}

/// An address. As the standard library writes it, it takes a fourth of the time of a line.
struct Client(IpAddr);

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IpAddr::V4(address) = self.0 else {
            return self.0.fmt(f);
        };
        let [first, rest @ ..] = address.octets();
        let mut digits = itoa::Buffer::new();
        f.write_str(digits.format(first))?;
        rest.iter().try_for_each(|byte| {
            f.write_str(".")?;
            f.write_str(digits.format(*byte))
        })
    }
}
