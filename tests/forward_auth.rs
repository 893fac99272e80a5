//! `/auth` as a reverse proxy uses it: alone, and behind nginx with the configuration of docs/proxies.md.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::reverse_proxy::{start_echo_service, wrapped_for_nginx};
use crate::support::{Answer, Client, PASSWORD, Process, TestApp, eventually};

pub const IDENTITY: [&str; 4] = [
    "x-auth-user-id",
    "x-auth-username",
    "x-auth-role",
    "x-auth-scopes",
];

/// Starts an app with the admin `ada` (1) and the user `Zoë` (2), and returns their tokens.
pub async fn ada_and_zoe() -> (TestApp, String, String) {
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

/// Returns the identity headers of a response.
fn identity(answer: &Answer) -> [&str; 4] {
    IDENTITY.map(|name| answer.header(name))
}

/// Adds forged identity headers.
pub fn spoofed(mut request: RequestBuilder) -> RequestBuilder {
    for name in IDENTITY {
        // WSGI maps `-` and `_` to the same character.
        request = request
            .header(name, "spoofed")
            .header(name.replace('-', "_"), "spoofed")
            .header(name.replacen('-', "_", 1), "spoofed");
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
    assert_eq!(identity(&answer), ["2", "Zo%C3%AB", "USER", "*"]);
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
    assert_eq!(identity(&answer), ["2", "Zo%C3%AB", "USER", "*"]);
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
async fn auth_accepts_every_method() {
    let listed = |config: &mut symbolon::Config| {
        config.http.cors_origins = vec!["https://app.example.org".to_owned()];
    };
    for app in [TestApp::start().await, TestApp::configured(listed).await] {
        app.register("ada").await;
        let ada = app.sign_in("ada").await;
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
            "QUERY", "x-y",
        ] {
            for path in ["/auth", "/auth/", "/auth/reports?role=admin"] {
                let request = || {
                    let method = Method::from_bytes(method.as_bytes()).unwrap();
                    let request = app.request(method, path);
                    // A proxy sends the headers of a CORS preflight request, whose response has a status of 2xx.
                    request
                        .header("origin", "https://app.example.org")
                        .header("access-control-request-method", "POST")
                        .header("x-forwarded-method", "OPTIONS")
                };
                let answer = Answer::of(request().bearer_auth(&ada)).await;
                assert_eq!(answer.status, 200, "{method} {path}");
                assert_eq!(identity(&answer), ["1", "ada", "USER", "*"], "{method}");
                let answer = Answer::of(request()).await;
                assert_eq!(answer.status, 401, "{method} {path}");
                let twice = request().bearer_auth(&ada).bearer_auth(&ada);
                assert_eq!(Answer::of(twice).await.status, 400, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn below_auth_the_path_and_the_query_require_nothing() {
    let (app, ada, zoe) = ada_and_zoe().await;
    let socket = |target: &str, token: &str| {
        format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )
    };
    for target in [
        "/auth/",
        "/auth//",
        "/auth/x",
        "/auth/../tokens",
        "/auth/%2e%2e/tokens",
        "/auth/%00",
        "/auth/a/b/c?role=admin",
        "/auth/?scope=%zz&role=root&x",
        "/auth/?role",
        "/auth/x?role=admin#f",
    ] {
        let answer = raw(&app, socket(target, &zoe).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{target}: {answer}");
        assert!(
            answer.contains("x-auth-user-id: 2\r\n"),
            "{target}: {answer}"
        );
        let answer = raw(&app, socket(target, "x").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{target}: {answer}");
    }
    for target in ["/auth;x", "/authx", "/AUTH", "/%61uth", "//auth"] {
        let answer = raw(&app, socket(target, &ada).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{target}: {answer}");
    }
}

/// Sends bytes, and returns the response until the server closes the connection.
async fn raw(app: &TestApp, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(app.address()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    timeout(Duration::from_secs(30), read)
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn auth_answers_without_waiting_for_the_body() {
    let (app, _, zoe) = ada_and_zoe().await;
    let head = |headers: &str| {
        format!(
            "POST /auth HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {zoe}\r\n{headers}\r\n\r\n"
        )
    };
    // The body is larger than the limit, does not arrive, arrives slowly, or is malformed.
    for (headers, body) in [
        ("Content-Length: 5", ""),
        ("Content-Length: 900000000", ""),
        ("Content-Length: 900000000", "xxxx"),
        ("Transfer-Encoding: chunked", ""),
        ("Transfer-Encoding: chunked", "5\r\nab"),
        ("Transfer-Encoding: chunked", "zz\r\n"),
        ("Content-Length: 5\r\nExpect: 100-continue", ""),
        ("Content-Length: 9\r\nContent-Encoding: gzip", "xx"),
    ] {
        let since = Instant::now();
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        let request = head(headers) + body;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 2000];
        let length = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]);
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{headers}: {answer}");
        assert!(
            answer.contains("connection: close\r\n"),
            "{headers}: {answer}"
        );
        assert!(since.elapsed() < Duration::from_secs(2), "{headers}");
    }
    // The client sends all of a large body before it reads the response.
    let mut request = head("Connection: close\r\nContent-Length: 1500000").into_bytes();
    request.extend(vec![b'x'; 1_500_000]);
    let answer = raw(&app, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    // A small body is discarded, and the next request uses the same connection.
    for body in [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let first = head(body);
        let first = first.trim_end_matches("\r\n\r\n").to_owned();
        let end = if body.starts_with('T') {
            "\r\n\r\n"
        } else {
            ""
        };
        let next = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = raw(&app, format!("{first}{end}{next}").as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
        assert!(answer.ends_with("ok\n"), "{answer}");
    }
}

#[tokio::test]
async fn auth_accepts_basic_credentials_with_an_access_token_of_the_user() {
    let (app, ada, zoe) = ada_and_zoe().await;
    let input = |scopes: Value| json!({ "name": "git", "scopes": scopes });
    let token = app.access_token("Zoë", input(json!(["notes:read"]))).await;
    let basic = async |username: &str, password: &str, query: &str| {
        let request = app.request(Method::GET, &format!("/auth{query}"));
        let answer = Answer::of(request.basic_auth(username, Some(password))).await;
        assert!(!answer.header("www-authenticate").contains("Basic"));
        answer
    };
    for username in ["Zoë", "zoë", "ZOE\u{308}"] {
        let answer = basic(username, &token, "").await;
        assert_eq!(answer.status, 200, "{username}");
        assert_eq!(identity(&answer), ["2", "Zo%C3%AB", "USER", "notes:read"]);
        assert_eq!(
            basic(username, &token, "?scope=notes:read").await.status,
            200
        );
        let answer = basic(username, &token, "?scope=notes:write").await;
        assert_eq!(
            (answer.status.as_u16(), answer.at("/reason")),
            (403, &json!("SCOPE_REQUIRED"))
        );
    }
    // The last digit belongs to the checksum.
    let (start, last) = token.split_at(token.len() - 1);
    let unknown = format!("{start}{}", if last == "x" { "y" } else { "x" });
    for (username, password, reason) in [
        // Neither the right password nor a session token is accepted. The reason does not depend on the password.
        ("Zoë", PASSWORD, "MISSING"),
        ("Zoë", "wrong", "MISSING"),
        ("nobody", "wrong", "MISSING"),
        ("Zoë", &zoe, "MISSING"),
        ("ada", &ada, "MISSING"),
        ("Zoë", "", "MISSING"),
        ("ada", &token, "INVALID_CREDENTIALS"),
        ("nobody", &token, "INVALID_CREDENTIALS"),
        ("", &token, "INVALID_CREDENTIALS"),
        ("x y", &token, "INVALID_CREDENTIALS"),
        ("Zoë", "sym_x", "TOKEN_INVALID"),
        ("Zoë", &unknown, "TOKEN_INVALID"),
    ] {
        let answer = basic(username, password, "").await;
        assert_eq!(answer.status, 401, "{username} {password}");
        assert_eq!(answer.at("/reason"), reason, "{username} {password}");
        assert_eq!(identity(&answer), [""; 4]);
    }
    // No password was verified, so no attempt was counted and the trail has no refused sign-in.
    let trail = app.graphql("{ auditEvents(first: 50) { nodes { kind } } }");
    let trail = trail.bearer(&ada).send().await;
    assert!(
        !trail.body.to_string().contains("SIGN_IN_FAILED"),
        "{trail:?}"
    );
    // Elsewhere, an access token is no password.
    let me = app.graphql("mutation { createToken { token } }");
    let me = me.basic("Zoë", &token).send().await;
    assert_eq!(me.error().1, "INVALID_CREDENTIALS");
    // A dead token is refused in the next request.
    let disable = app.graphql("mutation { disableUser(id: 2) { user { id } } }");
    disable.bearer(&ada).send().await;
    let answer = basic("Zoë", &token, "").await;
    assert_eq!(
        (answer.status.as_u16(), answer.at("/reason")),
        (401, &json!("TOKEN_INVALID"))
    );
}

#[tokio::test]
async fn the_name_is_percent_encoded() {
    let app = TestApp::start().await;
    for (name, encoded) in [
        ("a.b-c_d~e@x.org", "a.b-c_d~e@x.org"),
        ("100%", "100%25"),
        ("a+b/c", "a%2Bb%2Fc"),
        ("名前", "%E5%90%8D%E5%89%8D"),
        ("o'neil;\"x\"", "o%27neil%3B%22x%22"),
    ] {
        app.register(name).await;
        let token = app.sign_in(name).await;
        assert_eq!(
            auth(&app, "", &token).await.header("x-auth-username"),
            encoded
        );
    }
}

/// nginx with a service behind it. nginx is killed when the test ends.
struct Proxied {
    _nginx: Process,
    _folder: TempDir,
    client: Client,
}

impl Proxied {
    /// Starts nginx with the configuration of docs/proxies.md after an edit.
    async fn configured(app: &TestApp, edit: impl FnOnce(String) -> String) -> Self {
        let service = start_echo_service().await;
        let page = include_str!("../docs/proxies.md");
        let (_, section) = page
            .split_once("### nginx: forward authentication")
            .unwrap();
        let (_, block) = section.split_once("```nginx\n").unwrap();
        let (block, _) = block.split_once("}\n```").unwrap();
        // Without the directives for the address and the certificate of the server.
        let (upstream, server) = block.split_once("server {\n    listen").unwrap();
        let (_, locations) = server.split_once("\n\n").unwrap();
        let symbolon = app.base.trim_start_matches("http://");
        let block = locations.replace("127.0.0.1:9000", &service);
        let upstream = upstream.replace("127.0.0.1:8000", symbolon);
        assert!(block.contains(&service) && upstream.contains(symbolon));
        let folder = tempfile::tempdir().unwrap();
        // A socket, because another test could take a free port.
        let socket = folder.path().join("nginx.sock");
        let listen = format!(
            "{upstream}server {{\nlisten unix:{};\n{}}}\n",
            socket.display(),
            edit(block)
        );
        let configuration = wrapped_for_nginx(&listen, folder.path());
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

/// Returns the values of a header that the service received.
pub fn received<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
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
    let proxied = Proxied::configured(&app, |locations| locations).await;

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
    let scope = |locations: String| locations.replace("role=admin", "scope=reports:read");
    let proxied = Proxied::configured(&app, scope).await;
    let request = proxied
        .client
        .request(Method::GET, "/reports/?scope=x&role=x");
    let answer = Answer::of(spoofed(request.bearer_auth(&zoe))).await;
    assert_eq!(answer.status, 200);
    let headers = IDENTITY.map(|name| received(&answer, name));
    assert_eq!(headers, [["2"], ["Zo%C3%AB"], ["USER"], ["*"]]);

    let misspelt = |locations: String| locations.replace("role=admin", "roles=admin");
    let proxied = Proxied::configured(&app, misspelt).await;
    let answer = proxied.get(&ada).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.at("/headers"), &Value::Null);
}
