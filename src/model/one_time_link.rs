//! Links that contain one-time tokens, and the pages that the links open.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use url::{Url, form_urlencoded};

use crate::model::one_time_token::TokenPurpose;
use crate::model::token_secret::TokenSecret;

/// A link that contains a one-time token. The person who opens the link chooses a new password for the user of the
/// token. A link can be used once. The server does not store the link.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// config.public_url = Some("https://login.example.org".to_owned());
/// # let operator = symbolon::Symbolon::open(config).await?.operator();
/// # let ada = symbolon::Registration {
/// #     username: "ada".to_owned(),
/// #     email: Some("ada@example.org".to_owned()),
/// #     password: "correct horse".to_owned(),
/// # };
/// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
/// let (user, link) = operator.create_reset_link(ada.id).await?;
/// println!(
///     "Hello {},\n\nchoose a new password before {}:\n{}",
///     user.username, link.expires_at, link.url()
/// );
/// # Ok(())
/// # }
/// ```
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
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// config.public_url = Some("https://login.example.org".to_owned());
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// let (_, link) = operator.create_reset_link(ada.id).await?;
    /// let (page, fragment) = link.url().split_once('#').unwrap_or_default();
    /// assert_eq!(page, "https://login.example.org/reset");
    /// assert!(fragment.ends_with("&username=ada"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the token, for the argument `token` of the mutation `resetPassword`.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// config.public_url = Some("https://login.example.org".to_owned());
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// # let operator = symbolon.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// let (_, link) = operator.create_reset_link(ada.id).await?;
    /// let mutation = r#"mutation ($token: String!, $new: String!) {
    ///     resetPassword(token: $token, newPassword: $new) { userErrors { message } }
    /// }"#;
    /// let variables = serde_json::json!({ "token": link.token(), "new": "battery staple" });
    /// # let request = poem::Request::builder().method(poem::http::Method::POST).uri_str("/graphql");
    /// # let request = request.header("Host", "localhost").content_type("application/json");
    /// # let request = request.body(serde_json::json!({ "query": mutation, "variables": variables }).to_string());
    /// # let routes = symbolon.own_routes();
    /// # let response = poem::Endpoint::get_response(&routes, request).await.into_body().into_string().await?;
    /// # assert_eq!(response, r#"{"data":{"resetPassword":{"userErrors":[]}}}"#);
    /// # Ok(())
    /// # }
    /// ```
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
