//! Close codes (RFC 6455, section 7.4, and graphql-transport-ws). Clients use the code to decide whether to
//! reconnect.

use std::borrow::Cow;

use crate::error::Error;
use crate::service::token_watch::TokenEnd;

/// The code and the reason of a close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CloseReason {
    pub(super) code: u16,
    /// A text of at most [`MAX_TEXT_BYTES`] bytes.
    pub(super) text: Cow<'static, str>,
}

/// The maximum length of the reason of a close frame, in bytes (RFC 6455, section 5.5).
const MAX_TEXT_BYTES: usize = 123;

impl CloseReason {
    /// After the code 1000, clients reconnect only when they need the connection again.
    pub(super) const IDLE: Self = Self::new(1000, "There has been no subscription for a minute.");
    pub(super) const SHUTDOWN: Self = Self::new(1001, "The server is shutting down.");
    pub(super) const PROTOCOL_ERROR: Self = Self::new(1002, "The frame violates RFC 6455.");
    pub(super) const INVALID_TEXT: Self = Self::new(1007, "The text is not valid UTF-8.");
    pub(super) const TOO_LARGE: Self = Self::new(1009, "The message is too large.");
    pub(super) const INTERNAL: Self = Self::new(1011, "Internal server error.");
    pub(super) const UNAVAILABLE: Self = Self::new(1013, "The service is temporarily unavailable.");
    pub(super) const INVALID_MESSAGE: Self =
        Self::new(4400, "The message is not valid in graphql-transport-ws.");
    pub(super) const NOT_INITIALISED: Self =
        Self::new(4401, "The first message must be connection_init.");
    pub(super) const INIT_TIMEOUT: Self =
        Self::new(4408, "connection_init was not received in time.");
    pub(super) const REPEATED_INIT: Self =
        Self::new(4429, "connection_init was sent more than once.");
    pub(super) const TOO_MANY_SOCKETS: Self = Self::new(4429, "The user has too many WebSockets.");

    const fn new(code: u16, text: &'static str) -> Self {
        Self {
            code,
            text: Cow::Borrowed(text),
        }
    }

    /// Returns the close reason for an operation whose id belongs to a running operation. The protocol specifies the
    /// text. A long id is shortened.
    pub(super) fn id_in_use(id: &str) -> Self {
        let (before, after) = ("Subscriber for ", " already exists");
        let end = id.floor_char_boundary(MAX_TEXT_BYTES - before.len() - after.len());
        Self {
            code: 4409,
            text: Cow::Owned(format!("{before}{}{after}", &id[..end])),
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
