//! The options for issuing a session token.

use crate::error::Error;
use crate::model::label::Label;
use crate::model::session_lifetime::Lifetime;

/// The options of a sign-in that issues a token.
#[derive(Clone, Debug)]
pub(crate) struct SessionTokenOptions {
    /// The name of the endpoint in the metrics.
    pub(crate) endpoint: &'static str,
    /// The lifetime of a new token. `None` means the configured lifetime.
    pub(crate) lifetime: Option<Lifetime>,
    pub(crate) session: RequestedSession,
}

/// The session for which a sign-in issues a token.
#[derive(Clone, Debug)]
pub(crate) enum RequestedSession {
    /// The session that all clients of the user share. `fresh` replaces the current token instead of reusing it.
    Shared { fresh: bool },
    /// A new session for the device with this name.
    Device(Label),
}

impl SessionTokenOptions {
    /// Parses the options of a request to `endpoint`. Fails if `device` is invalid, or is combined with `fresh`.
    pub(crate) fn parse(
        endpoint: &'static str,
        lifetime: Option<i64>,
        fresh: bool,
        device: Option<&str>,
    ) -> Result<Self, Error> {
        let session = match device {
            None => RequestedSession::Shared { fresh },
            Some(_) if fresh => {
                let message = "A device session is always new. Remove `fresh` or `device`.";
                return Err(Error::BadUserInput(message.to_owned()));
            }
            Some(device) => {
                let device = Label::parse("device", device);
                let device = device.map_err(|error| Error::BadUserInput(error.message.into()));
                RequestedSession::Device(device?)
            }
        };
        Ok(Self {
            endpoint,
            lifetime: lifetime.map(Lifetime::from_seconds).transpose()?,
            session,
        })
    }
}
