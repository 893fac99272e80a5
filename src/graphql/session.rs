//! The sessions of a user.

use std::sync::Arc;

use async_graphql::connection::EmptyFields;
use async_graphql::{ID, Object};

use crate::graphql::connection::Connection;
use crate::graphql::timestamp::Timestamp;
use crate::model::pagination::Page;
use crate::model::session_summary::SessionSummary;
use crate::model::token_digest::TokenDigest;

/// A live session in the list of the sessions of a user.
pub(crate) struct Session {
    summary: Arc<SessionSummary>,
    is_current: bool,
}

/// A live session of a user: the session that all clients of the user share, or the session of one
/// device.
#[Object]
impl Session {
    /// The ID of the session: the first 12 hexadecimal digits of the SHA-256 digest of its token, as in the
    /// audit trail. A new token means a new session with another ID.
    async fn id(&self) -> ID {
        self.summary.digest.prefix().into()
    }

    /// The name of the device. Null for the shared session.
    async fn device(&self) -> Option<&str> {
        self.summary.device.as_deref()
    }

    /// Whether the request is authenticated by the token of this session.
    async fn current(&self) -> bool {
        self.is_current
    }

    /// The time at which the token was issued. Null if an earlier version of the server issued the token.
    async fn created_at(&self) -> Option<Timestamp> {
        self.summary.created_at.map(Timestamp)
    }

    /// The time at which the session was last used, accurate to one minute. Null if the session has not been
    /// used yet.
    async fn last_used_at(&self) -> Option<Timestamp> {
        self.summary.last_used_at.map(Timestamp)
    }

    /// The time at which the session expires.
    async fn expires_at(&self) -> Timestamp {
        self.summary.expires_at.into()
    }

    /// The IP address of the client to which the token was issued. Null if the address is unknown.
    async fn address(&self) -> Option<&str> {
        self.summary.address.as_deref()
    }

    /// The `User-Agent` header of the client to which the token was issued, truncated to 256 characters. Null
    /// if the client sent no such header, or if the header contains characters other than printable ASCII.
    async fn user_agent(&self) -> Option<&str> {
        self.summary.user_agent.as_deref()
    }
}

/// All live sessions of a user, on one page.
pub(crate) type SessionConnection = Connection<Session>;

impl SessionConnection {
    /// Creates the list of all sessions. `current` is the digest of the token of the request.
    pub(super) fn all(sessions: Vec<Arc<SessionSummary>>, current: Option<TokenDigest>) -> Self {
        let page = Page {
            items: (0..).zip(sessions).collect(),
            has_previous: false,
            has_next: false,
        };
        Self::new("session", page, EmptyFields, |(position, summary)| {
            let is_current = current == Some(summary.digest);
            let session = Session {
                summary,
                is_current,
            };
            (position, session)
        })
    }
}
