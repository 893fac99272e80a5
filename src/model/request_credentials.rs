//! The credentials of a request.

use std::fmt;

use crate::model::token_secret::SecretType;

/// The credentials in an `Authorization` header, before they are verified.
#[derive(Clone, Debug, Default)]
pub(crate) enum Credentials {
    /// The header is missing or empty, or contains the placeholder of a page without a token, such as `Bearer null`.
    #[default]
    None,
    /// The header contains neither valid Basic credentials nor a Bearer token.
    Malformed,
    /// HTTP Basic ([RFC 7617](https://www.rfc-editor.org/rfc/rfc7617)).
    Basic(UserPass),
    /// A Bearer token ([RFC 6750](https://www.rfc-editor.org/rfc/rfc6750)).
    Bearer(BearerToken),
}

/// The user-id and the password of Basic credentials.
#[derive(Clone)]
pub(crate) struct UserPass {
    /// The user-id without the ASCII whitespace at both ends, which people copy or type by mistake.
    pub(crate) username: String,
    /// The text after the first colon.
    pub(crate) password: String,
}

impl UserPass {
    pub(crate) fn new(username: &str, password: &str) -> Self {
        let username = username.trim_matches(|c: char| c.is_ascii_whitespace());
        Self {
            username: username.to_owned(),
            password: password.to_owned(),
        }
    }

    /// Returns the password as a token if the password has the prefix of an access token.
    pub(crate) fn access_token(&self) -> Option<BearerToken> {
        let token = BearerToken(self.password.clone());
        (token.token_type() == TokenType::AccessToken).then_some(token)
    }
}

impl fmt::Debug for UserPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserPass(redacted)")
    }
}

/// A Bearer token of any type, as the client sent it.
#[derive(Clone)]
pub(crate) struct BearerToken(pub(crate) String);

/// The type of a Bearer token.
///
/// ```
/// use symbolon::TokenType;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let symbolon = symbolon::Symbolon::open(config).await?;
/// # use poem::{Endpoint, Request, http::Method};
/// # let ada = symbolon::Registration {
/// #     username: "ada".to_owned(),
/// #     email: Some("ada@example.org".to_owned()),
/// #     password: "correct horse".to_owned(),
/// # };
/// # symbolon.operator().add_user(&ada, symbolon::Role::User).await?;
/// # let credentials = "Basic YWRhOmNvcnJlY3QgaG9yc2U=";
/// # let sign_in = Request::builder().method(Method::POST).uri_str("/tokens");
/// # let sign_in = sign_in.header("Host", "localhost").header("Authorization", credentials);
/// # let response = symbolon.own_routes().get_response(sign_in.finish()).await;
/// # let body: serde_json::Value = response.into_body().into_json().await?;
/// # let authorization = format!("Bearer {}", body["token"].as_str().unwrap_or_default());
/// let sessions = symbolon.operator().sessions(None).await?;
/// assert_eq!(sessions[0].token_type, TokenType::SharedSession);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenType {
    /// The token of the session that all clients of a user share.
    SharedSession,
    /// The token of a session of one device.
    DeviceSession,
    /// A named, long-lived token.
    AccessToken,
}

impl BearerToken {
    /// Returns the type that the prefix of the token indicates. The token may be invalid.
    pub(crate) fn token_type(&self) -> TokenType {
        if SecretType::AccessToken.matches(&self.0) {
            TokenType::AccessToken
        } else if SecretType::DeviceSession.matches(&self.0)
            || SecretType::Impersonation.matches(&self.0)
        {
            TokenType::DeviceSession
        } else {
            TokenType::SharedSession
        }
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(redacted)")
    }
}
