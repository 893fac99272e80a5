//! One-time tokens, with which a user sets a password without signing in, and the links that contain them.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use url::{Url, form_urlencoded};

use crate::model::CLOCK_TOLERANCE;
use crate::model::token_digest::TokenDigest;
use crate::model::token_secret::TokenSecret;
use crate::model::user::UserId;

/// The purpose of a one-time token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenPurpose {
    /// To replace a forgotten password.
    Reset,
    /// To choose the first password of a user whom an admin has created.
    Invitation,
}

impl TokenPurpose {
    /// Returns the name in the database.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reset => "RESET",
            Self::Invitation => "INVITATION",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Reset, Self::Invitation]
            .into_iter()
            .find(|purpose| purpose.name() == name)
    }
}

/// The stored data of a one-time token.
#[derive(Clone, Debug)]
pub(crate) struct OneTimeToken {
    pub(crate) user: UserId,
    pub(crate) purpose: TokenPurpose,
    pub(crate) digest: TokenDigest,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    /// `None` if the token is unused.
    pub(crate) used_at: Option<DateTime<Utc>>,
}

impl OneTimeToken {
    /// Returns whether the token has expired. A token that was issued later than `now` has expired as well, because a
    /// clock was wrong.
    pub(crate) fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.expires_at <= now || self.created_at > now + CLOCK_TOLERANCE
    }
}

/// A link that contains a one-time token. The person who opens the link chooses a new password for the user of the
/// token. A link can be used once. The server does not store the link.
#[derive(Clone)]
#[non_exhaustive]
pub struct OneTimeLink {
    url: String,
    token: TokenSecret,
    /// The time at which the link expires.
    pub expires_at: DateTime<Utc>,
}

impl OneTimeLink {
    /// Returns the URL. The fragment contains the token and the username. Browsers do not send the fragment to
    /// servers.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the token, for the argument `token` of the mutation `resetPassword`.
    #[must_use]
    pub fn token(&self) -> &str {
        self.token.reveal()
    }
}

/// The output contains neither the URL nor the token.
impl fmt::Debug for OneTimeLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneTimeLink")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// The page that a link opens, and the lifetime of the link.
#[derive(Clone, Debug)]
pub(crate) struct LinkTarget<'a> {
    page: &'a str,
    lifetime: TimeDelta,
}

impl LinkTarget<'_> {
    /// Returns the link with the token `secret`, which is issued at `now` to the user with the name `username`.
    pub(crate) fn link(
        &self,
        secret: TokenSecret,
        username: &str,
        now: DateTime<Utc>,
    ) -> OneTimeLink {
        let fragment = form_urlencoded::Serializer::new(String::new())
            .append_pair("token", secret.reveal())
            .append_pair("username", username)
            .finish();
        OneTimeLink {
            url: format!("{}#{fragment}", self.page),
            token: secret,
            expires_at: now + self.lifetime,
        }
    }
}

/// The pages that links open, and the lifetimes of links.
#[derive(Clone, Debug)]
pub(crate) struct LinkSettings {
    /// The page of reset links. `None` if it is not configured.
    pub(crate) reset_page: Option<String>,
    /// Whether `reset_page` is a page of the application instead of the page `/reset` of the server.
    pub(crate) has_own_reset_page: bool,
    /// The page of invitations. `None` if it is not configured.
    pub(crate) invitation_page: Option<String>,
    pub(crate) reset_lifetime: TimeDelta,
    pub(crate) invitation_lifetime: TimeDelta,
}

impl LinkSettings {
    /// Returns whether the page for invitations is configured.
    pub(crate) fn has_invitation_page(&self) -> bool {
        self.invitation_page.is_some()
    }

    /// Returns `None` if no page is configured for links with this purpose.
    pub(crate) fn target(&self, purpose: TokenPurpose) -> Option<LinkTarget<'_>> {
        let (page, lifetime) = match purpose {
            TokenPurpose::Reset => (&self.reset_page, self.reset_lifetime),
            TokenPurpose::Invitation => (&self.invitation_page, self.invitation_lifetime),
        };
        let page = page.as_deref()?;
        Some(LinkTarget { page, lifetime })
    }
}

/// Parses an absolute `http` or `https` URL without credentials and fragment. Returns `None` if the URL is invalid.
pub(crate) fn parse_page(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_http = matches!(url.scheme(), "http" | "https");
    let has_credentials = !url.username().is_empty() || url.password().is_some();
    (is_http && !has_credentials && url.fragment().is_none()).then_some(url)
}
