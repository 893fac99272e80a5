//! The options for issuing a session token.

use crate::error::Error;
use crate::model::label::Label;
use crate::model::session_lifetime::Lifetime;
use crate::model::token_secret::SecretType;

/// The options with which [`Requester`](crate::Requester) issues a session token.
///
/// Without options, the token belongs to the session that all clients of the user share, is reused while it is valid, and
/// has the configured lifetime.
///
/// ```
/// use symbolon::TokenOptions;
///
/// let options = TokenOptions::new().device("Phone")?.expires_in(3600)?;
/// # Ok::<(), symbolon::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TokenOptions {
    /// The lifetime of a new token. `None` means the configured lifetime.
    pub(crate) lifetime: Option<Lifetime>,
    pub(crate) session: RequestedSession,
}

/// The session for which a token is issued.
#[derive(Clone, Debug)]
pub(crate) enum RequestedSession {
    /// The session that all clients of the user share. `fresh` replaces the current token instead of reusing it.
    Shared { fresh: bool },
    /// A new session for the device with this name.
    Device(Label),
}

impl Default for RequestedSession {
    fn default() -> Self {
        Self::Shared { fresh: false }
    }
}

impl TokenOptions {
    /// Returns the default options.
    ///
    /// ```
    /// let options = symbolon::TokenOptions::new();
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests a new session for the device with this name.
    ///
    /// ```
    /// let options = symbolon::TokenOptions::new().device("Phone")?;
    /// # Ok::<(), symbolon::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::BadUserInput`] unless the name has 1 to 64 characters, and no control characters or invisible
    /// characters.
    pub fn device(self, name: &str) -> Result<Self, Error> {
        let device = Label::parse("device", name);
        let device = device.map_err(|error| Error::BadUserInput(error.message.into()))?;
        Ok(Self {
            session: RequestedSession::Device(device),
            ..self
        })
    }

    /// Sets the lifetime of a new token, in seconds. The lifetime of a token that is reused does not change.
    ///
    /// ```
    /// let options = symbolon::TokenOptions::new().expires_in(3600)?;
    /// # Ok::<(), symbolon::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::BadUserInput`] unless the lifetime is between 120 seconds and 30 days.
    pub fn expires_in(self, seconds: i64) -> Result<Self, Error> {
        Ok(Self {
            lifetime: Some(Lifetime::from_seconds(seconds)?),
            ..self
        })
    }

    /// Requests a new token for the shared session. The current token of the shared session is revoked. Has no effect on
    /// a device session, which always has a new token.
    ///
    /// ```
    /// let options = symbolon::TokenOptions::new().fresh();
    /// ```
    #[must_use]
    pub fn fresh(self) -> Self {
        match self.session {
            RequestedSession::Shared { .. } => Self {
                session: RequestedSession::Shared { fresh: true },
                ..self
            },
            RequestedSession::Device(_) => self,
        }
    }
}

/// A request for a session token.
#[derive(Clone, Debug)]
pub(crate) struct TokenRequest {
    /// The name of the endpoint in the metrics.
    pub(crate) endpoint: &'static str,
    pub(crate) options: TokenOptions,
}

impl TokenRequest {
    /// Parses the options of a request to `endpoint`. Fails if `device` is invalid, or is combined with `fresh`.
    pub(crate) fn parse(
        endpoint: &'static str,
        lifetime: Option<i64>,
        fresh: bool,
        device: Option<&str>,
    ) -> Result<Self, Error> {
        let mut options = TokenOptions::new();
        if let Some(device) = device {
            if fresh {
                let message = "A device session is always new. Remove `fresh` or `device`.";
                return Err(Error::BadUserInput(message.to_owned()));
            }
            options = options.device(device)?;
        }
        if let Some(seconds) = lifetime {
            options = options.expires_in(seconds)?;
        }
        if fresh {
            options = options.fresh();
        }
        Ok(Self { endpoint, options })
    }
}

/// A device session to be started.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewDeviceSession<'a> {
    /// The type of the token, which determines whether the session can be renewed.
    pub(super) secret: SecretType,
    pub(super) device: &'a Label,
    /// `None` means the configured lifetime.
    pub(super) lifetime: Option<Lifetime>,
}
