//! An application with sign-in methods of its own: OAuth, magic links, and impersonation by admins.
//!
//! ```sh
//! OAUTH_URL=https://provider.example cargo run --example sign_in_methods
//! ```
//!
//! The first argument sets the address to listen on (`-- 127.0.0.1:9000`). The default is `127.0.0.1:8000`.
//!
//! - `GET /oauth/start` redirects the browser to the provider, which redirects it to `GET /oauth/callback`. A user of the
//!   provider who is new is registered.
//! - `POST /magic-link/:username` sends a mail with a link to the user. `POST /magic-link` with the token
//!   in a JSON body signs in.
//! - `POST /impersonate/:username` requires the HTTP Basic credentials of an admin.
//!
//! Each of them returns a session token.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

use std::env;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{TimeDelta, Utc};
use poem::error::BadRequest;
use poem::http::{HeaderMap, StatusCode, header};
use poem::web::{Data, Json, Path, Query};
use poem::{EndpointExt, IntoResponse, Response, get, handler, post};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use symbolon::sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use symbolon::sea_orm_migration::prelude::{
    DbErr, MigrationName, MigrationTrait, MigratorTrait, SchemaManager,
};
use symbolon::{
    Config, Error, HookError, HookTransaction, Hooks, MutationError, Registration, Requester, Role,
    SessionToken, Symbolon, TokenOptions, Unauthenticated, User, UserId, async_trait,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use url::Url;
use url::form_urlencoded::Serializer;

/// The tables of this application. A deletion of a user deletes the rows of the user.
const TABLES: [&str; 2] = [
    "CREATE TABLE oauth_account (
        subject VARCHAR(255) PRIMARY KEY,
        user_id BIGINT NOT NULL REFERENCES symbolon_user (id) ON DELETE CASCADE
    )",
    "CREATE TABLE magic_link (
        user_id BIGINT PRIMARY KEY REFERENCES symbolon_user (id) ON DELETE CASCADE,
        digest VARCHAR(43) NOT NULL UNIQUE,
        created_at BIGINT NOT NULL
    )",
];

/// The lifetime of a magic link.
const LINK_LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// The time between two mails to one user.
const LINK_INTERVAL: TimeDelta = TimeDelta::minutes(1);

struct App {
    symbolon: Symbolon,
    database: DatabaseConnection,
    provider: Provider,
}

/// An OAuth provider (RFC 6749) at which this application is registered.
struct Provider {
    url: Url,
    client_id: String,
    client_secret: String,
    /// A real application enables a TLS feature of reqwest.
    http: reqwest::Client,
}

/// The user at the provider.
#[derive(Deserialize)]
struct ProviderUser {
    /// The id, which never changes. The login name can change, and another user can get it.
    id: i64,
    login: String,
}

/// Returns an error whose cause is logged, and not sent to the client.
fn internal(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Internal(Arc::new(cause))
}

/// Returns a text that cannot be guessed.
fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

fn digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

impl Provider {
    /// Returns the URL to which the browser is redirected. `verifier` proves later that this application has started the
    /// sign-in (PKCE, RFC 7636).
    fn authorization_url(&self, state: &str, verifier: &str) -> Result<Url, url::ParseError> {
        let mut url = self.url.join("/authorize")?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("state", state)
            .append_pair("code_challenge", &digest(verifier))
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// Exchanges the code for an access token of the provider, and reads the user.
    async fn user(&self, code: &str, verifier: &str) -> poem::Result<ProviderUser> {
        let url = |path| self.url.join(path).map_err(internal);
        let form = Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("code_verifier", verifier)
            .finish();
        let exchange = self
            .http
            .post(url("/token")?)
            .basic_auth(&self.client_id, Some(&self.client_secret))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let response = exchange.send().await.map_err(internal)?;
        let refused = |_| Error::BadRequest("The provider refuses the sign-in.".to_owned());
        let response = response.error_for_status().map_err(refused)?;
        let granted: Value = response.json().await.map_err(internal)?;
        let token = granted["access_token"].as_str().unwrap_or_default();
        let user = self.http.get(url("/user")?).bearer_auth(token);
        let user = user.send().await.map_err(internal)?;
        let user = user.error_for_status().map_err(internal)?;
        Ok(user.json().await.map_err(internal)?)
    }
}

/// The account of a new user at the provider, which is stored in the transaction of the registration.
struct OauthAccount {
    subject: String,
}

#[async_trait]
impl Hooks for OauthAccount {
    async fn after_register(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        let insert = Statement::from_sql_and_values(
            transaction.get_database_backend(),
            "INSERT INTO oauth_account (subject, user_id) VALUES ($1, $2)",
            [self.subject.clone().into(), user.id.into()],
        );
        transaction.execute_raw(insert).await?;
        Ok(())
    }
}

impl App {
    fn statement<const N: usize>(
        &self,
        sql: &str,
        values: [symbolon::sea_orm::Value; N],
    ) -> Statement {
        Statement::from_sql_and_values(self.database.get_database_backend(), sql, values)
    }

    /// Returns the id in the first column of the first row.
    async fn find_user(&self, select: Statement) -> poem::Result<Option<UserId>> {
        let row = self.database.query_one_raw(select).await;
        let Some(row) = row.map_err(internal)? else {
            return Ok(None);
        };
        let id: i64 = row.try_get_by_index(0).map_err(internal)?;
        Ok(Some(id.into()))
    }

    /// Returns the user of this application for a user of the provider. Registers a user who is new.
    async fn user_for(&self, requester: &Requester, known: &ProviderUser) -> poem::Result<UserId> {
        let subject = known.id.to_string();
        let select = "SELECT user_id FROM oauth_account WHERE subject = $1";
        let select = self.statement(select, [subject.clone().into()]);
        if let Some(id) = self.find_user(select).await? {
            return Ok(id);
        }
        // A user of this application who has the same name is another user. The registration fails in this case.
        let new = Registration {
            username: known.login.clone(),
            email: None,
            password: random_text(),
        };
        match requester
            .register_with(&new, OauthAccount { subject })
            .await
        {
            Ok(user) => Ok(user.id),
            Err(MutationError::Error(error)) => Err(error.into()),
            Err(refused) => Err(BadRequest(refused)),
        }
    }

    /// Sends a mail with a link to a user with this name. At most one link per user is valid. Symbolon does not verify e-mail
    /// addresses: a real application sends links only to an address that it has verified.
    async fn send_link(&self, username: &str) -> Result<(), Box<dyn std::error::Error>> {
        let user = self.symbolon.operator().user(username).await?;
        let Some(user) = user.filter(|user| !user.is_disabled()) else {
            return Ok(());
        };
        let Some(address) = &user.email else {
            return Ok(());
        };
        let (token, now) = (random_text(), Utc::now());
        let store = "INSERT INTO magic_link (user_id, digest, created_at) VALUES ($1, $2, $3)
            ON CONFLICT (user_id) DO UPDATE SET digest = $2, created_at = $3
            WHERE magic_link.created_at < $4";
        let latest = now - LINK_INTERVAL;
        let store = self.statement(
            store,
            [
                i64::from(user.id).into(),
                digest(&token).into(),
                now.timestamp().into(),
                latest.timestamp().into(),
            ],
        );
        if self.database.execute_raw(store).await?.rows_affected() > 0 {
            // A real application passes the mail to an SMTP client. The link leads to a page that sends the token in a
            // `POST` request, because mail programs open links to check them.
            eprintln!("To: {address}\nSign in with this token: {token}");
        }
        Ok(())
    }

    /// Returns the user of a magic link, and deletes the link.
    async fn use_link(&self, token: &str) -> poem::Result<UserId> {
        let earliest = (Utc::now() - LINK_LIFETIME).timestamp();
        let delete =
            "DELETE FROM magic_link WHERE digest = $1 AND created_at > $2 RETURNING user_id";
        let delete = self.statement(delete, [digest(token).into(), earliest.into()]);
        let user = self.find_user(delete).await?;
        Ok(user.ok_or(Error::from(Unauthenticated::InvalidCredentials))?)
    }
}

/// Returns the response that contains a session token.
fn issued(session: &SessionToken) -> Response {
    Json(json!({
        "token": session.token(),
        "expiresAt": session.expires_at.to_rfc3339(),
    }))
    .with_header(header::CACHE_CONTROL, "no-store")
    .into_response()
}

/// Begins a sign-in with the provider. The cookie binds the sign-in to this browser: without it, an attacker could sign
/// in the browser of another person as the attacker.
#[handler]
fn start_oauth(Data(app): Data<&Arc<App>>) -> poem::Result<Response> {
    let (state, verifier) = (random_text(), random_text());
    let url = app.provider.authorization_url(&state, &verifier);
    let cookie =
        format!("oauth={state}.{verifier}; Path=/oauth; Max-Age=600; HttpOnly; SameSite=Lax");
    Ok(StatusCode::SEE_OTHER
        .with_header(header::LOCATION, url.map_err(internal)?.as_str())
        // A real application adds the attribute `Secure`, and the prefix `__Host-` to the name.
        .with_header(header::SET_COOKIE, cookie)
        .into_response())
}

/// The parameters that the provider adds to the URL.
#[derive(Deserialize)]
struct Callback {
    code: String,
    state: String,
}

#[handler]
async fn finish_oauth(
    Data(app): Data<&Arc<App>>,
    requester: Requester,
    headers: &HeaderMap,
    Query(callback): Query<Callback>,
) -> poem::Result<Response> {
    let cookies = headers
        .get(header::COOKIE)
        .and_then(|value| value.to_str().ok());
    let mut cookies = cookies.unwrap_or_default().split("; ");
    let started = cookies.find_map(|cookie| cookie.strip_prefix("oauth=")?.split_once('.'));
    let Some((_, verifier)) = started.filter(|(state, _)| *state == callback.state) else {
        let message = "The sign-in was not started in this browser.";
        return Err(Error::BadRequest(message.to_owned()).into());
    };
    let known = app.provider.user(&callback.code, verifier).await?;
    let user = app.user_for(&requester, &known).await?;
    let options = TokenOptions::new();
    let session = requester.create_token(user, "oauth", &options).await?;
    let end = "oauth=; Path=/oauth; Max-Age=0; HttpOnly; SameSite=Lax";
    Ok(issued(&session)
        .with_header(header::SET_COOKIE, end)
        .into_response())
}

/// Sends a magic link. The response does not reveal whether the user exists.
#[handler]
fn send_magic_link(Data(app): Data<&Arc<App>>, Path(username): Path<String>) -> StatusCode {
    let app = Arc::clone(app);
    tokio::spawn(async move {
        if let Err(error) = app.send_link(&username).await {
            eprintln!("no magic link: {error}");
        }
    });
    StatusCode::ACCEPTED
}

#[derive(Deserialize)]
struct MagicLink {
    token: String,
}

#[handler]
async fn use_magic_link(
    Data(app): Data<&Arc<App>>,
    requester: Requester,
    Json(link): Json<MagicLink>,
) -> poem::Result<Response> {
    let user = app.use_link(&link.token).await?;
    let options = TokenOptions::new();
    let session = requester.create_token(user, "magic-link", &options).await?;
    Ok(issued(&session))
}

#[handler]
async fn impersonate(
    Data(app): Data<&Arc<App>>,
    requester: Requester,
    Path(username): Path<String>,
) -> poem::Result<Response> {
    // The credentials are checked first, so that only an admin learns whether the user exists.
    requester.require_password(Role::Admin).await?;
    let user = app.symbolon.operator().user(&username).await?;
    let unknown = || Error::BadUserInput("There is no such user.".to_owned());
    let user = user.ok_or_else(unknown)?.id;
    let session = requester.impersonate(user, &TokenOptions::new()).await?;
    Ok(issued(&session))
}

struct Migrations;

#[async_trait]
impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(CreateTables)]
    }
}

struct CreateTables;

impl MigrationName for CreateTables {
    fn name(&self) -> &'static str {
        "create_tables"
    }
}

#[async_trait]
impl MigrationTrait for CreateTables {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            manager.get_connection().execute_unprepared(table).await?;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let variable = |name, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let mut config = Config::new(variable("DATABASE_URL", "sqlite://symbolon.db"));
    config.secret_key_file = env::var_os("SYMBOLON_SECRET_KEY_FILE").map(Into::into);
    let builder = Symbolon::builder(config).migrations::<Migrations>();
    let symbolon = builder.open().await?;
    let app = Arc::new(App {
        database: symbolon.connection(),
        symbolon: symbolon.clone(),
        provider: Provider {
            url: variable("OAUTH_URL", "http://127.0.0.1:9999").parse()?,
            client_id: variable("OAUTH_CLIENT_ID", "symbolon"),
            client_secret: variable("OAUTH_CLIENT_SECRET", ""),
            http: reqwest::Client::new(),
        },
    });
    let routes = symbolon
        .own_routes()
        .at("/oauth/start", get(start_oauth))
        .at("/oauth/callback", get(finish_oauth))
        .at("/magic-link", post(use_magic_link))
        .at("/magic-link/:username", post(send_magic_link))
        .at("/impersonate/:username", post(impersonate))
        .data(app);
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8000")).await?;
    println!("The app listens on http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    symbolon.serve(routes, listener, shutdown).await?;
    Ok(())
}
