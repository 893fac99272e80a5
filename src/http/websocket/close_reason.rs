//! Why a socket is closed: a code, after which graphql-transport-ws clients come back or stop, and
//! words for people.

use crate::error::Error;
use crate::service::token_watch::TokenEnd;

/// What the server says last. The protocol leaves 123 bytes for the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CloseReason {
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

impl CloseReason {
    pub(super) const STOPPING: Self = Self::new(1001, "The server is stopping. Come back.");
    pub(super) const TOO_LARGE: Self = Self::new(1009, "The message is too large.");
    pub(super) const INTERNAL: Self = Self::new(1011, "Something went wrong on our side.");
    pub(super) const NOT_INITIALISED: Self =
        Self::new(4408, "There was no connection_init in time.");
    /// After the code 1000 clients connect again once they need to.
    pub(super) const IDLE: Self = Self::new(1000, "There was no subscription for a minute.");
    pub(super) const TOO_MANY_SOCKETS: Self =
        Self::new(4429, "The account has too many sockets. Close one of them.");
    pub(super) const NOT_WEBSOCKET: Self =
        Self::new(1002, "The message is not of the WebSocket protocol.");
    pub(super) const BUSY: Self = Self::new(1013, "Too busy at the moment. Come back shortly.");
    const NOT_OF_PROTOCOL: Self =
        Self::new(4400, "The message is not one of graphql-transport-ws.");
    const TOO_EARLY: Self = Self::new(4401, "Subscriptions come after connection_init.");
    const TOO_OFTEN: Self = Self::new(4429, "There may be one connection_init only.");

    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }

    /// For the codes that async-graphql closes with; some are not the protocol's, and its words may be
    /// too long.
    pub(super) fn of_library(code: u16) -> Self {
        match code {
            1002 => Self::NOT_OF_PROTOCOL,
            1011 => Self::TOO_EARLY,
            4429 => Self::TOO_OFTEN,
            _ => Self::INTERNAL,
        }
    }
}

impl From<TokenEnd> for CloseReason {
    fn from(ended: TokenEnd) -> Self {
        match ended {
            TokenEnd::Expired => {
                Self::new(4403, "The token has expired. Come back with a new one.")
            }
            TokenEnd::Revoked => Self::new(
                4401,
                "The token is not valid, or was revoked. Sign in again.",
            ),
            TokenEnd::RoleChanged => {
                Self::new(4403, "The role of the user has changed. Come back.")
            }
        }
    }
}

/// For a token that could not be looked at.
impl From<&Error> for CloseReason {
    fn from(error: &Error) -> Self {
        match error {
            Error::ServiceUnavailable { .. } => Self::BUSY,
            _ => Self::INTERNAL,
        }
    }
}
