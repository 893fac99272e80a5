//! `/auth` as a reverse proxy uses it: alone, and behind nginx with the configuration of the README.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::TimeDelta;
use poem::listener::TcpAcceptor;
use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::{Answer, Client, PASSWORD, Process, TestApp, eventually};

const IDENTITY: [&str; 4] = [
    "x-auth-user-id",
    "x-auth-username",
    "x-auth-role",
    "x-auth-scopes",
];

/// Starts an app with the admin `ada` (1) and the user `Zoë` (2), and returns their tokens.
async fn ada_and_zoe() -> (TestApp, String, String) {
    let app = TestApp::start().await;
    app.register("ada").await;
    app.register("Zoë").await;
    app.make_admin(1).await;
    let (ada, zoe) = (app.sign_in("ada").await, app.sign_in("Zoë").await);
    (app, ada, zoe)
}

async fn auth(app: &TestApp, query: &str, token: &str) -> Answer {
    let request = app.request(Method::GET, &format!("/auth{query}"));
    Answer::of(request.bearer_auth(token)).await
}

/// Returns the identity headers of a response, decoded as UTF-8.
fn identity(answer: &Answer) -> [&str; 4] {
    IDENTITY.map(|name| {
        let value = answer.headers.get(name).map(HeaderValue::as_bytes);
        std::str::from_utf8(value.unwrap_or_default()).unwrap()
    })
}

/// Adds forged identity headers.
fn spoofed(mut request: RequestBuilder) -> RequestBuilder {
    for name in IDENTITY {
        // WSGI maps `-` and `_` to the same character.
        request = request
            .header(name, "spoofed")
            .header(name.replace('-', "_"), "spoofed");
    }
    request
}

#[tokio::test]
async fn auth_returns_the_identity_of_the_token() {
    let (app, ada, zoe) = ada_and_zoe().await;
    let answer = auth(&app, "", &ada).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &json!("")));
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(identity(&answer), ["1", "ada", "ADMIN", "*"]);
    let answer = auth(&app, "", &zoe).await;
    assert_eq!(identity(&answer), ["2", "Zoë", "USER", "*"]);
    let head = app.request(Method::HEAD, "/auth").bearer_auth(&zoe);
    let head = Answer::of(head).await;
    assert_eq!(head.status, 200);
    assert_eq!(identity(&head), identity(&answer));
}

#[tokio::test]
async fn identity_headers_of_the_client_are_ignored() {
    let (app, _, zoe) = ada_and_zoe().await;
    let request = app.request(Method::GET, "/auth").bearer_auth(&zoe);
    let answer = Answer::of(spoofed(request)).await;
    assert_eq!(identity(&answer), ["2", "Zoë", "USER", "*"]);
    for name in IDENTITY {
        assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{name}");
    }
    let anonymous = Answer::of(spoofed(app.request(Method::GET, "/auth"))).await;
    assert_eq!(anonymous.status, 401);
    assert_eq!(identity(&anonymous), [""; 4]);
}

#[tokio::test]
async fn auth_without_a_bearer_token_answers_with_a_challenge() {
    let (app, ..) = ada_and_zoe().await;
    let request = || app.request(Method::GET, "/auth");
    for request in [
        request(),
        request().basic_auth("ada", Some(PASSWORD)),
        request().bearer_auth("null"),
        app.request(Method::GET, "/auth?role=admin"),
    ] {
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 401);
        assert_eq!(
            answer.header("www-authenticate"),
            r#"Bearer realm="symbolon""#
        );
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.at("/reason"), "MISSING");
        assert_eq!(identity(&answer), [""; 4]);
    }
}

#[tokio::test]
async fn auth_refuses_an_ended_token_at_once() {
    let (app, ada, zoe) = ada_and_zoe().await;
    let refused = async |token: &str, reason: &str| {
        let answer = auth(&app, "", token).await;
        assert_eq!(answer.status, 401);
        assert_eq!(
            answer.header("www-authenticate"),
            r#"Bearer realm="symbolon", error="invalid_token""#
        );
        assert_eq!(answer.at("/reason"), reason);
        assert_eq!(identity(&answer), [""; 4]);
    };
    refused(&"A".repeat(32), "TOKEN_INVALID").await;
    let disable = app.graphql("mutation { disableUser(id: 2) { user { id } } }");
    disable.bearer(&ada).send().await;
    refused(&zoe, "TOKEN_EXPIRED").await;
    app.revoke(&ada).await;
    refused(&ada, "TOKEN_EXPIRED").await;
    let ada = app.sign_in("ada").await;
    assert_eq!(auth(&app, "", &ada).await.status, 200);
    app.advance(TimeDelta::hours(1));
    refused(&ada, "TOKEN_EXPIRED").await;
}

#[tokio::test]
async fn auth_answers_403_without_the_required_role() {
    let (app, ada, zoe) = ada_and_zoe().await;
    for (query, to_ada, to_zoe) in [
        ("?", 200, 200),
        ("?role=user", 200, 200),
        ("?role=admin", 200, 403),
        ("?role=ADMIN", 200, 403),
        ("?role=Admin&role=user", 200, 403),
        ("?r%6fle=adm%69n", 200, 403),
        ("?scope=notes:read", 200, 200),
        ("?scope=notes:read&scope=notes%3Awrite", 200, 200),
        ("?scope=notes:read&role=admin", 200, 403),
    ] {
        assert_eq!(auth(&app, query, &ada).await.status, to_ada, "{query}");
        let answer = auth(&app, query, &zoe).await;
        assert_eq!(answer.status, to_zoe, "{query}");
        if to_zoe == 403 {
            assert_eq!(answer.at("/reason"), "ROLE_REQUIRED");
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(identity(&answer), [""; 4]);
        }
    }
}

#[tokio::test]
async fn auth_checks_the_scopes_of_an_access_token() {
    let (app, ..) = ada_and_zoe().await;
    let input = json!({ "name": "a", "scopes": ["notes:read", "notes:list"] });
    let token = &app.access_token("ada", input).await;
    let answer = auth(&app, "?scope=notes:read&scope=notes:list", token).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        identity(&answer),
        ["1", "ada", "ADMIN", "notes:list notes:read"]
    );
    for (query, challenge) in [
        ("?scope=notes:write", "notes:write"),
        ("?scope=notes:read&scope=admin", "notes:read admin"),
        ("?scope=*", "*"),
    ] {
        let answer = auth(&app, query, token).await;
        assert_eq!(answer.status, 403);
        assert_eq!(answer.at("/reason"), "SCOPE_REQUIRED");
        let expected =
            format!(r#"Bearer realm="symbolon", error="insufficient_scope", scope="{challenge}""#);
        assert_eq!(answer.header("www-authenticate"), expected);
        assert_eq!(identity(&answer), [""; 4]);
    }
}

#[tokio::test]
async fn an_unknown_requirement_refuses_every_request() {
    let (app, ada, _) = ada_and_zoe().await;
    for query in [
        "?roles=admin",
        "?Role=admin",
        "?role",
        "?role=",
        "?role=root",
        "?role=admin,user",
        "?role=admin;",
        "?admin",
        "?scope",
        "?scope=",
        "?scope=notes:read+notes:write",
        "?scope=%22",
        "?scope=%0A",
        "?scopes=notes:read",
        "?role=admin&x=1",
    ] {
        let answer = auth(&app, query, &ada).await;
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.at("/code"), "BAD_REQUEST", "{query}");
        assert_eq!(identity(&answer), [""; 4], "{query}");
    }
}

#[tokio::test]
async fn auth_accepts_get_and_head_only() {
    let (app, ada, _) = ada_and_zoe().await;
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let request = app.request(method, "/auth").bearer_auth(&ada);
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.header("allow"), "GET, HEAD");
        assert_eq!(identity(&answer), [""; 4]);
    }
}

/// Answers with the received headers and the length of the body.
#[poem::handler]
async fn echo(request: &poem::Request, body: poem::Body) -> String {
    let headers: Vec<_> = (request.headers().iter())
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let length = body.into_vec().await.unwrap().len();
    json!({ "headers": headers, "length": length }).to_string()
}

/// nginx with a service behind it. nginx is killed when the test ends.
struct Proxied {
    _nginx: Process,
    _folder: TempDir,
    client: Client,
}

impl Proxied {
    /// Starts nginx with the configuration of the README after an edit.
    async fn configured(app: &TestApp, edit: impl FnOnce(String) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = listener.local_addr().unwrap().to_string();
        let service_listener = TcpAcceptor::from_tokio(listener).unwrap();
        tokio::spawn(poem::Server::new_with_acceptor(service_listener).run(echo));
        let readme = include_str!("../README.md");
        let (_, block) = readme.split_once("```nginx\n").unwrap();
        let (block, _) = block.split_once("```").unwrap();
        let symbolon = app.base.trim_start_matches("http://");
        let block = block
            .replace("127.0.0.1:9000", &service)
            .replace("127.0.0.1:8000", symbolon);
        assert!(block.contains(&service) && block.contains(symbolon));
        let folder = tempfile::tempdir().unwrap();
        // A socket, because another test could take a free port.
        let socket = folder.path().join("nginx.sock");
        let configuration = wrapped(&edit(block), &socket);
        fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
        let nginx = Process::start(
            Command::new("nginx")
                .args(["-e", "stderr", "-g", "daemon off;", "-c", "nginx.conf"])
                .arg("-p")
                .arg(folder.path()),
        );
        eventually("nginx listens", async || {
            tokio::net::UnixStream::connect(&socket).await.ok()
        })
        .await;
        let http = reqwest::Client::builder().unix_socket(socket);
        let http = http.build().unwrap();
        Self {
            _nginx: nginx,
            _folder: folder,
            client: Client::with(http, "http://localhost"),
        }
    }

    async fn get(&self, token: &str) -> Answer {
        let request = self.client.request(Method::GET, "/reports/");
        Answer::of(request.bearer_auth(token)).await
    }
}

/// Returns the configuration around the locations, with one process that keeps the user of the test.
fn wrapped(locations: &str, socket: &Path) -> String {
    let temporary: PathBuf = socket.with_file_name("temporary");
    let temporary = temporary.display();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {temporary}-{kind};\n"))
        .concat();
    format!(
        "master_process off;\npid nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}\
         server {{\nlisten unix:{};\n{locations}}}\n}}\n",
        socket.display()
    )
}

/// Returns the values of a header that the service received.
fn received<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    let headers = answer.at("/headers").as_array();
    let headers = headers.unwrap_or_else(|| panic!("{answer:?}")).iter();
    headers
        .filter(|header| header[0] == name)
        .filter_map(|header| header[1].as_str())
        .collect()
}

#[tokio::test]
#[ignore = "needs nginx, which scripts/test installs"]
async fn nginx_forwards_accepted_requests_with_the_identity() {
    let (app, ada, zoe) = ada_and_zoe().await;
    let proxied = Proxied::configured(&app, |readme| readme).await;

    let anonymous = Answer::of(spoofed(proxied.client.request(Method::GET, "/reports/"))).await;
    assert_eq!(anonymous.status, 401);
    let challenges = anonymous.headers.get_all("www-authenticate").iter();
    assert_eq!(
        challenges.collect::<Vec<_>>(),
        [r#"Bearer realm="symbolon""#]
    );
    assert_eq!(proxied.get(&zoe).await.status, 403);

    // nginx does not send the body to Symbolon.
    let large = vec![b'x'; 500_000];
    let post = proxied
        .client
        .request(Method::POST, "/reports/")
        .body(large);
    let answer = Answer::of(spoofed(post.bearer_auth(&ada))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.at("/length"), 500_000);
    let headers = IDENTITY.map(|name| received(&answer, name));
    assert_eq!(headers, [["1"], ["ada"], ["ADMIN"], ["*"]]);
    assert!(!answer.body.to_string().contains("spoofed"), "{answer:?}");
    assert_eq!(received(&answer, "authorization"), [""; 0]);

    // The location for Symbolon is internal.
    let direct = proxied
        .client
        .request(Method::GET, "/symbolon")
        .bearer_auth(&ada);
    assert_eq!(Answer::of(direct).await.status, 404);

    app.revoke(&ada).await;
    let ended = proxied.get(&ada).await;
    assert_eq!(ended.status, 401);
    assert_eq!(
        ended.header("www-authenticate"),
        r#"Bearer realm="symbolon", error="invalid_token""#
    );
}

#[tokio::test]
#[ignore = "needs nginx, which scripts/test installs"]
async fn nginx_requires_a_scope_and_an_unknown_one_refuses_every_request() {
    let (app, ada, zoe) = ada_and_zoe().await;
    let scope = |readme: String| readme.replace("role=admin", "scope=reports:read");
    let proxied = Proxied::configured(&app, scope).await;
    let request = proxied
        .client
        .request(Method::GET, "/reports/?scope=x&role=x");
    let answer = Answer::of(spoofed(request.bearer_auth(&zoe))).await;
    assert_eq!(answer.status, 200);
    let headers = IDENTITY.map(|name| received(&answer, name));
    assert_eq!(headers, [["2"], ["Zoë"], ["USER"], ["*"]]);

    let misspelt = |readme: String| readme.replace("role=admin", "roles=admin");
    let proxied = Proxied::configured(&app, misspelt).await;
    let answer = proxied.get(&ada).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.at("/headers"), &Value::Null);
}
