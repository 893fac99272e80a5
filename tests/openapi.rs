//! `openapi.json` describes the endpoints of the server besides `/graphql` and the pages: its paths are the routes, and the
//! server sends each documented response, and no other response.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Answer, Client, DATABASE_FILE, PASSWORD, TestApp, finish, node_in};

/// The routes of GraphQL and of the pages.
const OTHER_ROUTES: [&str; 7] = [
    "/",
    "/explorer/:name",
    "/graphql",
    "/invite",
    "/pages/password.css",
    "/pages/password.js",
    "/reset",
];

/// The paths of the main port.
const PATHS: [(&str, Method); 6] = [
    ("/tokens", Method::POST),
    ("/tokens", Method::DELETE),
    ("/auth", Method::GET),
    ("/auth/{path}", Method::GET),
    ("/healthz", Method::GET),
    ("/readyz", Method::GET),
];

fn document() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn the_document_contains_each_route_and_the_version() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/routes.rs");
    let code = fs::read_to_string(file).unwrap();
    // Each route is an argument of `at` or `with_and_without_slash`.
    let parts =
        [".at(\"", "with_and_without_slash(routes, \""].map(|call| code.split(call).skip(1));
    let routes = parts.into_iter().flatten();
    let routes = routes.map(|rest| rest.split('"').next().unwrap());
    let (other, mut expected): (BTreeSet<_>, BTreeSet<_>) =
        routes.partition(|route| OTHER_ROUTES.contains(route));
    assert_eq!(other, BTreeSet::from(OTHER_ROUTES));
    // The server serves this path at a port of its own.
    expected.insert("/metrics");
    let document = document();
    let paths = document["paths"].as_object().unwrap().keys();
    let paths: BTreeSet<_> = paths.map(|path| path.replace("{path}", "*")).collect();
    assert_eq!(
        paths.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        expected
    );
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// The requests that were sent, with their responses, for `tests/web/openapi.mjs`.
#[derive(Default)]
struct Exchanges(Vec<Value>);

impl Exchanges {
    /// Sends a request to a path of the document.
    async fn send(&mut self, path: &str, request: RequestBuilder) -> u16 {
        let method = request
            .try_clone()
            .unwrap()
            .build()
            .unwrap()
            .method()
            .clone();
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let headers = headers.iter().map(|(name, value)| {
            let value = value.to_str().unwrap().to_owned();
            (name.as_str().to_owned(), Value::from(value))
        });
        let headers = headers.collect();
        self.add(
            path,
            &method,
            status,
            &headers,
            &response.text().await.unwrap(),
        );
        status
    }

    fn add(
        &mut self,
        path: &str,
        method: &Method,
        status: u16,
        headers: &Map<String, Value>,
        body: &str,
    ) {
        self.0.push(json!({
            "path": path,
            "method": method.as_str().to_lowercase(),
            "status": status,
            "headers": headers,
            "body": body,
        }));
    }

    /// Sends a request to each path, with a change, and checks the status.
    async fn send_to_all(
        &mut self,
        client: &Client,
        paths: &[(&str, Method)],
        change: impl Fn(RequestBuilder) -> RequestBuilder,
        status: u16,
    ) {
        for (path, method) in paths {
            let request = change(client.request(method.clone(), &path.replace("{path}", "a/b")));
            assert_eq!(self.send(path, request).await, status, "{method} {path}");
        }
    }

    /// Declares a body and does not send it. The server refuses the request after its read timeout.
    async fn send_incomplete_body(&mut self, client: &Client) {
        let mut stream = TcpStream::connect(client.address()).await.unwrap();
        let head = "POST /tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        let headers = headers.map(|(name, value)| (name.to_owned(), Value::from(value)));
        let headers = headers.collect();
        self.add(
            "/tokens",
            &Method::POST,
            status.parse().unwrap(),
            &headers,
            body,
        );
    }

    /// Sends the requests that need no fault and no limit.
    async fn send_usual_requests(&mut self, app: &TestApp) {
        let tokens = |method| app.request(method, "/tokens");
        let auth = |query: &str| app.request(Method::GET, &format!("/auth{query}"));
        let json = |body: &'static str| app.post_tokens("ada").body(body);
        let limited = json!({ "name": "limited", "scopes": ["notes:read"] });
        let limited = app.access_token("ada", limited).await;
        let token = app.sign_in("ada").await;
        let phone = app.sign_in_on("ada", "phone").await;
        let ended = app.sign_in_on("ada", "ended").await;
        app.revoke(&ended).await;
        let unknown = "A".repeat(32);
        let unknown_access = format!("{}0", &limited[..limited.len() - 1]);
        let elsewhere = ("origin", "https://elsewhere.example");
        for (path, request, status) in [
            ("/tokens", app.post_tokens("ada"), 200),
            ("/tokens", json(r#"{"device": "phone"}"#), 200),
            ("/tokens", json(r#"{"device": null}"#), 200),
            ("/tokens", json("{"), 400),
            ("/tokens", json(r#"{"device": 1}"#), 400),
            ("/tokens", json(r#"{"device": ""}"#), 400),
            ("/tokens", tokens(Method::POST), 401),
            (
                "/tokens",
                tokens(Method::POST).basic_auth("ada", Some("wrong")),
                401,
            ),
            (
                "/tokens",
                tokens(Method::POST).bearer_auth(&unknown_access),
                401,
            ),
            ("/tokens", tokens(Method::POST).bearer_auth(&limited), 403),
            (
                "/tokens",
                app.post_tokens("ada").header(elsewhere.0, elsewhere.1),
                403,
            ),
            (
                "/tokens",
                app.post_tokens("ada").body("x".repeat(70_000)),
                413,
            ),
            (
                "/tokens",
                json("{}").header("content-encoding", "gzip"),
                415,
            ),
            ("/tokens", tokens(Method::DELETE), 401),
            ("/tokens", tokens(Method::DELETE).bearer_auth(&unknown), 401),
            (
                "/tokens",
                tokens(Method::DELETE)
                    .bearer_auth(&phone)
                    .header(elsewhere.0, elsewhere.1),
                403,
            ),
            ("/tokens", tokens(Method::DELETE).bearer_auth(&phone), 204),
            ("/tokens", tokens(Method::DELETE).bearer_auth(&phone), 204),
            ("/auth", auth("").bearer_auth(&token), 200),
            (
                "/auth",
                auth("?role=user&scope=notes:read").bearer_auth(&limited),
                200,
            ),
            ("/auth", auth("").basic_auth("ada", Some(&limited)), 200),
            ("/auth", auth("?other=1").bearer_auth(&token), 400),
            ("/auth", auth(""), 401),
            ("/auth", auth("").bearer_auth(&unknown), 401),
            ("/auth", auth("").bearer_auth(&ended), 401),
            ("/auth", auth("?role=admin").bearer_auth(&token), 403),
            (
                "/auth",
                auth("?scope=notes:write").bearer_auth(&limited),
                403,
            ),
            (
                "/auth/{path}",
                auth("/reports/1?role=admin").bearer_auth(&limited),
                200,
            ),
            ("/auth/{path}", auth("/reports/1"), 401),
            (
                "/auth/{path}",
                auth("/reports/1").bearer_auth(&unknown),
                401,
            ),
            ("/healthz", app.request(Method::GET, "/healthz"), 200),
            ("/readyz", app.request(Method::GET, "/readyz"), 200),
        ] {
            let sent = format!("{request:?}");
            assert_eq!(self.send(path, request).await, status, "{sent}");
        }
    }

    /// Sends the requests to the port of the metrics.
    async fn send_to_metrics(&mut self, metrics: &Client) {
        let get = || metrics.request(Method::GET, "/metrics");
        assert_eq!(self.send("/metrics", get()).await, 200);
        let openmetrics = get().header("accept", "application/openmetrics-text");
        assert_eq!(self.send("/metrics", openmetrics).await, 200);
    }
}

/// Serves the metrics of an app at a free port.
async fn serve_metrics(app: &TestApp) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let symbolon = app.symbolon();
    tokio::spawn(async move {
        symbolon
            .serve_metrics(listener, std::future::pending())
            .await
    });
    Client::new(base)
}

/// Opens a connection that the server has accepted.
async fn connect(client: &Client, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(client.address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
    stream
}

/// Checks that each path refuses the methods that the document does not contain.
async fn other_methods_are_refused(app: &TestApp, metrics: &Client) {
    let document = document();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let client = if path == "/metrics" {
            metrics
        } else {
            &app.client
        };
        let patch = client.request(Method::PATCH, &path.replace("{path}", "a"));
        let answer = Answer::of(patch).await;
        if path.starts_with("/auth") {
            // Every method works like GET.
            assert_eq!(answer.status, 401, "{path}");
            continue;
        }
        assert_eq!(answer.status, 405, "{path}");
        let allowed = answer.header("allow").to_lowercase();
        let allowed: BTreeSet<_> = allowed.split(", ").filter(|name| *name != "head").collect();
        let documented = operations.as_object().unwrap().keys().map(String::as_str);
        let documented = documented.filter(|name| *name != "servers");
        assert_eq!(documented.collect::<BTreeSet<_>>(), allowed, "{path}");
    }
}

#[tokio::test]
#[ignore = "needs Node.js and npm, which scripts/test installs"]
async fn the_responses_of_the_server_are_those_of_the_document() {
    let mut exchanges = Exchanges::default();
    let app = TestApp::configured(|config| config.http.read_timeout = 1).await;
    let metrics = serve_metrics(&app).await;
    app.register("ada").await;
    exchanges.send_usual_requests(&app).await;
    exchanges.send_to_metrics(&metrics).await;
    other_methods_are_refused(&app, &metrics).await;
    let long = |request: RequestBuilder| request.header("authorization", "x".repeat(9000));
    exchanges.send_to_all(&app, &PATHS, long, 400).await;
    exchanges.send_incomplete_body(&app).await;
    let wrong = || {
        app.request(Method::POST, "/tokens")
            .basic_auth("ada", Some("wrong"))
    };
    while exchanges.send("/tokens", wrong()).await != 429 {}

    // Each address gets a quarter of the connections.
    let limited = TestApp::configured(|config| config.http.max_connections = 4).await;
    let limited_metrics = serve_metrics(&limited).await;
    let open = [
        connect(&limited, "/healthz").await,
        connect(&limited_metrics, "/metrics").await,
    ];
    exchanges
        .send_to_all(&limited, &PATHS, |request| request, 429)
        .await;
    let path = [("/metrics", Method::GET)];
    exchanges
        .send_to_all(&limited_metrics, &path, |request| request, 429)
        .await;
    drop(open);

    let faulty = TestApp::start().await;
    faulty.register("ada").await;
    let of_ada = |request: RequestBuilder| {
        let is_post = request.try_clone().unwrap().build().unwrap().method() == Method::POST;
        if is_post {
            request.basic_auth("ada", Some(PASSWORD))
        } else {
            request.bearer_auth("A".repeat(32))
        }
    };
    let that_query = &PATHS[..4];
    faulty
        .sql("ALTER TABLE symbolon_user RENAME COLUMN role TO other")
        .await;
    exchanges
        .send_to_all(&faulty, that_query, of_ada, 500)
        .await;
    faulty
        .sql("ALTER TABLE symbolon_user RENAME COLUMN other TO role")
        .await;
    fs::remove_file(faulty.file(DATABASE_FILE)).unwrap();
    exchanges
        .send_to_all(&faulty, that_query, of_ada, 503)
        .await;
    let ready = [("/readyz", Method::GET)];
    exchanges.send_to_all(&faulty, &ready, of_ada, 503).await;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exchanges.json");
    fs::write(&file, Value::from(exchanges.0).to_string()).unwrap();
    let mut node = node_in("tests/web");
    let (code, output, error) = finish(node.arg("openapi.mjs").arg(file));
    assert_eq!(code, Some(0), "{output}{error}");
}
