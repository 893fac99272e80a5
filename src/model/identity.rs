//! The identity of the caller of a request.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::model::scopes::Scopes;
use crate::model::user::User;

/// The user who sent a request, the type of the credential, and the scopes of the credential.
///
/// A resolver gets the identity from [`ContextExt::identity`](crate::ContextExt::identity). A poem route extracts the
/// identity of a valid Bearer token: the extractor `Identity` refuses all other requests, and `Option<Identity>` is then
/// `None`.
///
/// ```
/// use poem::{get, handler};
/// use symbolon::{Identity, Role};
///
/// #[handler]
/// fn home(identity: Option<Identity>) -> String {
///     match identity {
///         Some(identity) if identity.user().role == Role::Admin => "all notes".to_owned(),
///         Some(identity) => format!("the notes of {}", identity.user().username),
///         None => "public notes".to_owned(),
///     }
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
/// let app = symbolon.own_routes().at("/home", get(home));
/// # let app = poem::EndpointExt::with(app, symbolon.middleware());
/// # let request = Request::builder().uri_str("/home").header("Host", "localhost");
/// # let request = request.header("Authorization", authorization).finish();
/// # let body = app.get_response(request).await.into_body().into_string().await?;
/// // The response to a request with the token of the user `ada`:
/// assert_eq!(body, "the notes of ada");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    user: Arc<User>,
    expires_at: Option<DateTime<Utc>>,
    credential: CredentialKind,
}

/// The type of the credential that authenticated a request.
#[derive(Clone, Debug, PartialEq)]
enum CredentialKind {
    Password,
    Session,
    AccessToken(AccessTokenGrant),
}

/// The access token that authenticated a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AccessTokenGrant {
    pub(crate) id: i64,
    pub(crate) scopes: Scopes,
}

impl Identity {
    /// Creates the identity of a request with Basic credentials.
    pub(crate) fn from_password(user: User) -> Self {
        Self::new(user, None, CredentialKind::Password)
    }

    /// Creates the identity of a request with a session token, which has all scopes.
    pub(crate) fn from_session(user: User, expires_at: DateTime<Utc>) -> Self {
        Self::new(user, Some(expires_at), CredentialKind::Session)
    }

    /// Creates the identity of a request with an access token.
    pub(crate) fn from_access_token(
        user: User,
        expires_at: Option<DateTime<Utc>>,
        grant: AccessTokenGrant,
    ) -> Self {
        Self::new(user, expires_at, CredentialKind::AccessToken(grant))
    }

    fn new(user: User, expires_at: Option<DateTime<Utc>>, credential: CredentialKind) -> Self {
        Self {
            user: Arc::new(user),
            expires_at,
            credential,
        }
    }

    /// Returns the user.
    ///
    /// ```
    /// use poem::handler;
    /// # use poem::get;
    /// use symbolon::Identity;
    ///
    /// #[handler]
    /// fn whoami(identity: Identity) -> String {
    ///     identity.user().username.clone()
    /// }
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
    /// # let app = poem::Route::new().at("/", get(whoami));
    /// # let app = poem::EndpointExt::with(app, symbolon.middleware());
    /// # let request = Request::builder().uri_str("/").header("Host", "localhost");
    /// # let request = request.header("Authorization", &authorization).finish();
    /// # let response = app.get_response(request).await;
    /// # assert_eq!(response.into_body().into_string().await?, "ada");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    pub(crate) fn shared_user(&self) -> Arc<User> {
        Arc::clone(&self.user)
    }

    /// Returns the time at which the token expires. Returns `None` for a password and for an access token that does
    /// not expire.
    ///
    /// ```
    /// use poem::handler;
    /// # use poem::get;
    /// use symbolon::Identity;
    ///
    /// #[handler]
    /// fn token(identity: Identity) -> String {
    ///     let expires_at = identity.expires_at().map(|at| at.to_rfc3339());
    ///     expires_at.unwrap_or("never".to_owned())
    /// }
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
    /// # let app = poem::Route::new().at("/", get(token));
    /// # let app = poem::EndpointExt::with(app, symbolon.middleware());
    /// # let request = Request::builder().uri_str("/").header("Host", "localhost");
    /// # let request = request.header("Authorization", &authorization).finish();
    /// # let response = app.get_response(request).await;
    /// # assert_ne!(response.into_body().into_string().await?, "never");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at
    }

    /// Returns the id of the access token, or `None` if the credential is not an access token.
    ///
    /// ```
    /// use symbolon::Identity;
    ///
    /// /// Returns the name of the caller for a log.
    /// fn label(identity: &Identity) -> String {
    ///     let name = &identity.user().username;
    ///     match identity.access_token() {
    ///         Some(id) => format!("{name}, access token {id}"),
    ///         None => name.clone(),
    ///     }
    /// }
    /// # use poem::{get, handler};
    /// # #[handler]
    /// # fn whoami(identity: Identity) -> String { label(&identity) }
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
    /// # let app = poem::Route::new().at("/", get(whoami));
    /// # let app = poem::EndpointExt::with(app, symbolon.middleware());
    /// # let request = Request::builder().uri_str("/").header("Host", "localhost");
    /// # let request = request.header("Authorization", &authorization).finish();
    /// # let response = app.get_response(request).await;
    /// # assert_eq!(response.into_body().into_string().await?, "ada");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn access_token(&self) -> Option<i64> {
        self.grant().map(|grant| grant.id)
    }

    pub(crate) fn has_session_token(&self) -> bool {
        matches!(self.credential, CredentialKind::Session)
    }

    pub(crate) fn used_password(&self) -> bool {
        matches!(self.credential, CredentialKind::Password)
    }

    fn grant(&self) -> Option<&AccessTokenGrant> {
        match &self.credential {
            CredentialKind::AccessToken(grant) => Some(grant),
            CredentialKind::Password | CredentialKind::Session => None,
        }
    }

    /// Returns the scopes of the credential. The scope `*` includes all scopes. A session token and a password have this
    /// scope. Scopes restrict the authority that the role of the user grants, and never extend this authority.
    ///
    /// ```
    /// use poem::handler;
    /// # use poem::get;
    /// use symbolon::Identity;
    ///
    /// #[handler]
    /// fn permissions(identity: Identity) -> String {
    ///     // `*` for a session token, and `notes:read notes:write` for an access token with these scopes.
    ///     identity.scopes().join(" ")
    /// }
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
    /// # let app = poem::Route::new().at("/", get(permissions));
    /// # let app = poem::EndpointExt::with(app, symbolon.middleware());
    /// # let request = Request::builder().uri_str("/").header("Host", "localhost");
    /// # let request = request.header("Authorization", &authorization).finish();
    /// # let response = app.get_response(request).await;
    /// # assert_eq!(response.into_body().into_string().await?, "*");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        match self.grant() {
            Some(grant) => grant.scopes.as_slice(),
            None => Scopes::all(),
        }
    }

    /// Returns whether the scopes of the credential include `scope`.
    ///
    /// ```
    /// use poem::{IntoResponse, Response, handler, http::StatusCode};
    /// # use poem::get;
    /// use symbolon::Identity;
    ///
    /// #[handler]
    /// fn export(identity: Identity) -> Response {
    ///     if !identity.has_scope("notes:read") {
    ///         return StatusCode::FORBIDDEN.into_response();
    ///     }
    ///     "all notes".into_response()
    /// }
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
    /// # let app = poem::Route::new().at("/", get(export));
    /// # let app = poem::EndpointExt::with(app, symbolon.middleware());
    /// # let request = Request::builder().uri_str("/").header("Host", "localhost");
    /// # let request = request.header("Authorization", &authorization).finish();
    /// # let response = app.get_response(request).await;
    /// # assert_eq!(response.into_body().into_string().await?, "all notes");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes()
            .iter()
            .any(|granted| granted == "*" || granted == scope)
    }
}
