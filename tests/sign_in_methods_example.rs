//! The example `examples/sign_in_methods.rs`: OAuth, magic links and impersonation.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::http::{HeaderMap, StatusCode};
use poem::listener::TcpAcceptor;
use poem::web::{Data, Json};
use poem::{EndpointExt, Route, get, handler, post};
use reqwest::redirect::Policy;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use crate::support::{Answer, Client, PASSWORD, Server, database_url, eventually};

/// The state of a provider: the code challenge of the expected code, and the user.
#[derive(Clone, Default)]
struct Provider(Arc<Mutex<(String, Value)>>);

/// Exchanges the code `the-code`.
#[handler]
async fn exchange(
    Data(provider): Data<&Provider>,
    body: String,
) -> Result<Json<Value>, StatusCode> {
    let body: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .collect();
    let field = |name: &str| {
        let found = body.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier")));
    if field("code") != "the-code" || challenge != provider.0.lock().unwrap().0 {
        return Err(StatusCode::BAD_REQUEST);
    }
    Ok(Json(json!({ "access_token": "of-the-provider" })))
}

#[handler]
async fn provider_user(
    Data(provider): Data<&Provider>,
    headers: &HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let authorization = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    if authorization != Some("Bearer of-the-provider") {
        return Err(StatusCode::UNAUTHORIZED);
    }
    Ok(Json(provider.0.lock().unwrap().1.clone()))
}

impl Provider {
    async fn start() -> (Self, String) {
        let provider = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Route::new()
            .at("/token", post(exchange))
            .at("/user", get(provider_user))
            .data(provider.clone());
        let acceptor = TcpAcceptor::from_tokio(listener).unwrap();
        tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(routes));
        (provider, url)
    }

    fn set_user(&self, id: i64, login: &str) {
        self.0.lock().unwrap().1 = json!({ "id": id, "login": login });
    }
}

struct App {
    server: Server,
    /// A browser that does not follow redirects.
    browser: Client,
    provider: Provider,
    folder: tempfile::TempDir,
}

impl App {
    async fn start() -> Self {
        let (provider, url) = Provider::start().await;
        let folder = tempfile::tempdir().unwrap();
        let server = Server::example("sign_in_methods", folder.path(), |command| {
            command.env("OAUTH_URL", url);
        });
        let browser = reqwest::Client::builder()
            .redirect(Policy::none())
            .build()
            .unwrap();
        Self {
            browser: Client::with(browser, server.base.clone()),
            server,
            provider,
            folder,
        }
    }

    /// Starts a sign-in. Returns the cookie and the state.
    async fn start_oauth(&self) -> (String, String) {
        let answer = Answer::of(self.browser.request(Method::GET, "/oauth/start")).await;
        assert_eq!(answer.status, 303);
        let location = Url::parse(answer.header("location")).unwrap();
        let parameter = |name: &str| {
            let found = location.query_pairs().find(|(own, _)| own == name);
            found.unwrap().1.into_owned()
        };
        self.provider.0.lock().unwrap().0 = parameter("code_challenge");
        let cookie = answer.header("set-cookie").split(';').next().unwrap();
        (cookie.to_owned(), parameter("state"))
    }

    async fn finish_oauth(&self, cookie: &str, state: &str, code: &str) -> Answer {
        let path = format!("/oauth/callback?code={code}&state={state}");
        let request = self.browser.request(Method::GET, &path);
        Answer::of(request.header("cookie", cookie)).await
    }

    async fn sign_in_with_oauth(&self) -> Answer {
        let (cookie, state) = self.start_oauth().await;
        self.finish_oauth(&cookie, &state, "the-code").await
    }

    async fn username(&self, token: &str) -> String {
        let answer = self.server.me(token).await;
        answer.string("/data/me/username").to_owned()
    }

    fn mails(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        let tokens = log
            .lines()
            .filter_map(|line| line.split_once("this token: "));
        tokens.map(|(_, token)| token.to_owned()).collect()
    }

    async fn request_link(&self, username: &str) {
        let path = format!("/magic-link/{username}");
        let request = self.server.request(Method::POST, &path);
        assert_eq!(Answer::of(request).await.status, 202);
    }

    async fn use_link(&self, token: &str) -> Answer {
        let request = self.server.request(Method::POST, "/magic-link");
        Answer::of(request.json(&json!({ "token": token }))).await
    }
}

#[tokio::test]
async fn the_provider_signs_in_its_users() {
    let app = App::start().await;
    app.provider.set_user(7, "ada");
    let first = app.sign_in_with_oauth().await;
    let token = first.string("/token");
    assert_eq!(app.username(token).await, "ada");
    assert_eq!(first.header("cache-control"), "no-store");
    // The name at the provider can change.
    app.provider.set_user(7, "lovelace");
    let second = app.sign_in_with_oauth().await;
    assert_eq!(second.string("/token"), token);
    // Another user of the provider gets the name, but not the account.
    app.provider.set_user(8, "ada");
    let refused = app.sign_in_with_oauth().await;
    assert_eq!(refused.status, 400);
    // A user who is registered here has no account at the provider.
    app.server.register("bob").await;
    app.provider.set_user(9, "bob");
    assert_eq!(app.sign_in_with_oauth().await.status, 400);
}

#[tokio::test]
async fn a_sign_in_with_the_provider_is_bound_to_the_browser() {
    let app = App::start().await;
    app.provider.set_user(7, "ada");
    let (cookie, state) = app.start_oauth().await;
    for (cookie, state) in [
        ("", state.as_str()),
        ("oauth=a.b", &state),
        (&cookie, "other"),
    ] {
        let refused = app.finish_oauth(cookie, state, "the-code").await;
        assert_eq!(refused.status, 400);
    }
    assert_eq!(
        app.finish_oauth(&cookie, &state, "another-code")
            .await
            .status,
        400
    );
    // The verifier belongs to another sign-in.
    app.start_oauth().await;
    assert_eq!(
        app.finish_oauth(&cookie, &state, "the-code").await.status,
        400
    );
    assert_eq!(
        app.server.graphql("{ __typename }").send().await.status,
        200
    );
}

#[tokio::test]
async fn a_magic_link_signs_in_once() {
    let app = App::start().await;
    let document = "mutation($i: CreateUserInput!) { createUser(input: $i) { user { id } } }";
    let input = json!({ "username": "ada", "email": "ada@example.org", "password": PASSWORD });
    let create = app.server.graphql_with(document, &json!({ "i": input }));
    assert_eq!(create.send().await.at("/data/createUser/user/id"), "1");
    // The user has no address.
    app.server.register("bob").await;
    app.request_link("nobody").await;
    app.request_link("bob").await;
    app.request_link("ada").await;
    let token = eventually("the mail is sent", async || app.mails().pop()).await;
    assert_eq!(app.use_link("guess").await.status, 401);
    let signed_in = app.use_link(&token).await;
    assert_eq!(app.username(signed_in.string("/token")).await, "ada");
    let refused = app.use_link(&token).await;
    assert_eq!(
        (refused.status.as_u16(), refused.at("/code")),
        (401, &json!("UNAUTHENTICATED"))
    );

    // The user signs in again, but the link has expired.
    app.request_link("ada").await;
    let second = eventually("the second mail is sent", async || {
        app.mails().get(1).cloned()
    })
    .await;
    // The third mail would follow too soon.
    app.request_link("ada").await;
    let database = sea_orm::Database::connect(database_url(app.folder.path(), "symbolon.db"))
        .await
        .unwrap();
    let age = "UPDATE magic_link SET created_at = created_at - 901";
    sea_orm::ConnectionTrait::execute_unprepared(&database, age)
        .await
        .unwrap();
    assert_eq!(app.use_link(&second).await.status, 401);
    assert_eq!(app.mails().len(), 2);
}

#[tokio::test]
async fn an_admin_impersonates_a_user() {
    let app = App::start().await;
    app.server.register("ada").await;
    app.server.register("root").await;
    let database = sea_orm::Database::connect(database_url(app.folder.path(), "symbolon.db"))
        .await
        .unwrap();
    let promote = "UPDATE symbolon_user SET role = 'admin' WHERE username = 'root'";
    sea_orm::ConnectionTrait::execute_unprepared(&database, promote)
        .await
        .unwrap();
    let impersonate = async |admin: &str, user: &str| {
        let request = app
            .server
            .request(Method::POST, &format!("/impersonate/{user}"));
        Answer::of(request.basic_auth(admin, Some(PASSWORD))).await
    };
    let issued = impersonate("root", "ada").await;
    assert_eq!(app.username(issued.string("/token")).await, "ada");
    assert_eq!(impersonate("root", "root").await.status, 400);
    assert_eq!(impersonate("root", "nobody").await.status, 400);
    for user in ["root", "nobody"] {
        let refused = impersonate("ada", user).await;
        assert_eq!(
            (refused.status.as_u16(), refused.at("/reason")),
            (403, &json!("ROLE_REQUIRED"))
        );
    }
    let token = app.server.sign_in("root").await;
    let request = app
        .server
        .request(Method::POST, "/impersonate/ada")
        .bearer_auth(token);
    assert_eq!(Answer::of(request).await.at("/reason"), "PASSWORD_REQUIRED");
}
