//! Live session tokens and access tokens, which the operator can list.

use chrono::{DateTime, Utc};

use crate::model::request_credentials::TokenType;
use crate::model::user::User;

/// A live session token or access token.
///
/// ```
/// use symbolon::LiveToken;
///
/// fn line(token: &LiveToken) -> String {
///     let expires_at = token.expires_at.map_or("never".to_owned(), |at| at.to_rfc3339());
///     let name = token.name.as_deref().unwrap_or("shared session");
///     format!("{}\t{name}\t{expires_at}", token.user.username)
/// }
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
/// for session in symbolon.operator().sessions(None).await? {
///     println!("{}", line(&session));
///     # assert!(line(&session).starts_with("ada\tshared session\t"));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LiveToken {
    /// The type of the token.
    pub token_type: TokenType,
    /// The id of an access token or a device session. `None` for a shared session.
    pub id: Option<i64>,
    /// The name of the access token or the device. `None` for a shared session.
    pub name: Option<String>,
    /// The user who owns the token.
    pub user: User,
    /// The first 12 hexadecimal digits of the SHA-256 digest of the token, as in the audit trail.
    pub token: String,
    /// The time at which the token expires. `None` if the token does not expire.
    pub expires_at: Option<DateTime<Utc>>,
}
