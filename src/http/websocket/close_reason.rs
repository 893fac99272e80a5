//! Close codes (RFC 6455, section 7.4, and graphql-transport-ws). Clients use the code to decide whether to
//! reconnect.

use crate::error::Error;
use crate::service::token_watch::TokenEnd;

/// The code and the reason of a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CloseReason {
    pub(super) code: u16,
    /// A sentence of at most 123 bytes (RFC 6455, section 5.5).
    pub(super) text: &'static str,
}

impl CloseReason {
    /// After the code 1000, clients reconnect only when they need the connection again.
    pub(super) const IDLE: Self = Self::new(1000, "There has been no subscription for a minute.");
    pub(super) const SHUTDOWN: Self = Self::new(1001, "The server is shutting down.");
    pub(super) const PROTOCOL_ERROR: Self = Self::new(1002, "The frame violates RFC 6455.");
    pub(super) const TOO_LARGE: Self = Self::new(1009, "The message is too large.");
    pub(super) const INTERNAL: Self = Self::new(1011, "Internal server error.");
    pub(super) const UNAVAILABLE: Self = Self::new(1013, "The service is temporarily unavailable.");
    const INVALID_MESSAGE: Self =
        Self::new(4400, "The message is not valid in graphql-transport-ws.");
    const NOT_INITIALISED: Self = Self::new(4401, "The first message must be connection_init.");
    pub(super) const INIT_TIMEOUT: Self =
        Self::new(4408, "connection_init was not received in time.");
    const REPEATED_INIT: Self = Self::new(4429, "connection_init was sent more than once.");
    pub(super) const TOO_MANY_SOCKETS: Self = Self::new(4429, "The user has too many WebSockets.");

    const fn new(code: u16, text: &'static str) -> Self {
        Self { code, text }
    }

    /// Returns the close reason for a close code of async-graphql. Some codes of async-graphql differ from
    /// the protocol graphql-transport-ws, and the texts of async-graphql can exceed 123 bytes.
    pub(super) fn from_async_graphql(code: u16) -> Self {
        match code {
            1002 => Self::INVALID_MESSAGE,
            1011 => Self::NOT_INITIALISED,
            4429 => Self::REPEATED_INIT,
            _ => Self::INTERNAL,
        }
    }
}

impl From<TokenEnd> for CloseReason {
    fn from(end: TokenEnd) -> Self {
        match end {
            TokenEnd::Expired => Self::new(4403, "The token has expired."),
            TokenEnd::Revoked => Self::new(4401, "The token is invalid or was revoked."),
            TokenEnd::RoleChanged => Self::new(4403, "The role of the user has changed."),
        }
    }
}

/// Returns the close reason for an error that prevented the verification of the token.
impl From<&Error> for CloseReason {
    fn from(error: &Error) -> Self {
        match error {
            Error::ServiceUnavailable { .. } => Self::UNAVAILABLE,
            _ => Self::INTERNAL,
        }
    }
}
