//! The request log and the metrics: their content, and the absence of client data in them.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Server, TestApp};

fn configured(settings: &[(&str, &str)]) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command| {
        command.env("SYMBOLON_PUBLIC_URL", "https://login.example.org");
        command.envs(settings.iter().copied());
    });
    (folder, server)
}

const IN_JSON: [(&str, &str); 1] = [("SYMBOLON_LOG_FORMAT", "json")];

/// Returns the log line of the request with this response.
fn logged(server: &Server, answer: &Answer) -> Value {
    server.logged(answer.header("x-request-id"))
}

fn keys(line: &Value) -> BTreeSet<&str> {
    let line = line.as_object().unwrap();
    line.keys().map(String::as_str).collect()
}

/// The keys of every log line.
const ALWAYS: [&str; 10] = [
    "timestamp",
    "level",
    "target",
    "message",
    "request_id",
    "client",
    "method",
    "path",
    "status",
    "duration_us",
];

#[tokio::test]
async fn a_request_is_logged_in_one_line_with_user_and_operation() {
    let (_folder, server) = configured(&IN_JSON);
    let registered = server.registration("ada").send().await;
    let line = logged(&server, &registered);
    assert_eq!(line["operation"], "mutation");
    assert_eq!(line["fields"], "createUser");
    assert_eq!(line.get("name"), None);
    assert_eq!(line.get("user_id"), None);

    let signed_in = Answer::of(server.post_tokens("ada")).await;
    let line = logged(&server, &signed_in);
    let mut expected = BTreeSet::from(ALWAYS);
    expected.insert("user_id");
    assert_eq!(keys(&line), expected);
    assert_eq!(
        (&line["method"], &line["path"], &line["status"]),
        (&json!("POST"), &json!("/tokens"), &json!(200))
    );
    assert_eq!(line["user_id"], "1");

    let answer = server
        .graphql_body(&json!({
            "query": "query Other { users { totalCount } }
                query WhoAmI { __typename mine: me { id } ... { user(id: 1) { id } } }",
            "operationName": "WhoAmI",
        }))
        .bearer(signed_in.at("/token").as_str().unwrap())
        .send()
        .await;
    assert_eq!(answer.at("/data/mine/id"), "1", "{answer:?}");
    let line = logged(&server, &answer);
    expected.extend(["operation", "name", "fields"]);
    assert_eq!(keys(&line), expected);
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["target"], "symbolon::request");
    assert_eq!(line["client"], "127.0.0.1");
    assert_eq!(line["method"], "POST");
    assert_eq!(line["path"], "/graphql");
    assert_eq!(line["status"], 200);
    assert!(line["duration_us"].as_u64().unwrap() > 0);
    assert_eq!(line["operation"], "query");
    assert_eq!(line["name"], "WhoAmI");
    assert_eq!(line["fields"], "__typename,me,user");
    assert_eq!(line["user_id"], "1");
}

#[tokio::test]
async fn every_request_is_logged_once_with_any_outcome() {
    let (_folder, server) = configured(&IN_JSON);
    let mut requests = 0;
    for (method, path, status) in [
        (Method::GET, "/", 200),
        (Method::GET, "/healthz", 200),
        (Method::GET, "/readyz", 200),
        (Method::GET, "/reset", 200),
        (Method::HEAD, "/invite", 200),
        (Method::GET, "/pages/password.js", 200),
        (Method::GET, "/nothing", 404),
        (Method::GET, "/a%0Ab%22", 404),
        (Method::PUT, "/graphql", 405),
        (Method::POST, "/graphql", 415),
        (Method::DELETE, "/tokens", 401),
        (Method::GET, "/auth", 401),
    ] {
        let answer = Answer::of(server.request(method.clone(), path)).await;
        assert_eq!(answer.status, status, "{path}");
        let line = logged(&server, &answer);
        assert_eq!(keys(&line), BTreeSet::from(ALWAYS), "{line}");
        assert_eq!(
            (&line["method"], &line["path"], &line["status"]),
            (&json!(method.as_str()), &json!(path), &json!(status))
        );
        requests += 1;
    }
    let log = server.log();
    let lines = log
        .lines()
        .filter(|line| !line.contains("Symbolon is listening"));
    assert_eq!(lines.count(), requests);
}

#[tokio::test]
async fn the_log_is_text_by_default_and_json_on_request() {
    let (_folder, server) = configured(&[]);
    server.register("ada").await;
    let log = server.log_when(|log| log.lines().count() == 2);
    let [_, line] = log.lines().collect::<Vec<_>>().try_into().unwrap();
    for part in [
        "INFO symbolon::request: request ",
        " client=127.0.0.1 ",
        " method=\"POST\" ",
        " path=\"/graphql\" ",
        " status=200 ",
        " operation=\"mutation\" ",
        " fields=\"createUser\"",
    ] {
        assert!(line.contains(part), "{part:?}: {line}");
    }
}

#[tokio::test]
async fn a_valid_request_id_of_a_proxy_is_kept() {
    let (_folder, server) = configured(&IN_JSON);
    let send = async |id: &[u8]| {
        let operation = server.graphql("{ __typename }");
        operation.header("x-request-id", id).send().await
    };
    let longest = "a".repeat(64);
    for id in ["7", "0af7651916cd43dd-8448.eb21_1C80319C", &longest] {
        let answer = send(id.as_bytes()).await;
        assert_eq!(answer.header("x-request-id"), id);
        assert_eq!(logged(&server, &answer)["request_id"], id);
    }
    let too_long = "b".repeat(65);
    for id in [
        too_long.as_bytes(),
        b"two words",
        b"tab\tstop",
        b"r\xc3\xa9sum\xc3\xa9",
        b"\xff\xfe",
        b"quoted\"",
        b"one,other",
        b"line\\nbreak",
        b"",
    ] {
        let answer = send(id).await;
        let own = answer.header("x-request-id");
        assert_eq!(own.len(), 16, "{own}");
        assert!(own.bytes().all(|byte| byte.is_ascii_hexdigit()), "{own}");
        assert_eq!(logged(&server, &answer)["status"], 200);
    }
    let log = server.log();
    // None of these is a string of hexadecimal digits.
    for part in [
        &too_long, "words", "stop", "sum", "quoted", "other", "break",
    ] {
        assert!(!log.contains(part), "{part}: {log}");
    }
}

#[tokio::test]
async fn the_log_contains_no_client_text_except_the_operation_name() {
    let (_folder, server) = configured(&IN_JSON);
    let registered = server
        .graphql_body(&json!({
            "query": "mutation Register($n: String!, $p: String!) { # documentmarker
                aliasmarker: createUser(input: { username: $n, email: \"literalmarker@example.org\", password: $p }) {
                    user { id }
                }
            }",
            "operationName": "Register",
            "variables": { "n": "variablemarker", "p": PASSWORD },
            "extensions": { "extensionmarker": "extensionmarker" },
        }))
        .header("user-agent", b"agentmarker")
        .header("cookie", b"cookiemarker=cookiemarker")
        .header("referer", b"https://referermarker.example/")
        .header("x-headermarker", b"headermarker")
        .send()
        .await;
    assert_eq!(registered.at("/data/aliasmarker/user/id"), "1");
    assert_eq!(logged(&server, &registered)["name"], "Register");
    let signed_in = Answer::of(server.post_tokens("variablemarker")).await;
    let token = signed_in.at("/token").as_str().unwrap();
    let parameters = [("query", "{ urlmarker: me { id } }")];
    let url = Url::parse_with_params(&format!("{}/graphql", server.base), parameters).unwrap();
    let path = url.as_str().strip_prefix(&server.base).unwrap();
    let answer = Answer::of(server.request(Method::GET, path).bearer_auth(token)).await;
    assert_eq!(answer.at("/data/urlmarker/id"), "1");
    // The start, three requests, and three events of the audit trail.
    let log = server.log_when(|log| log.lines().count() >= 7);
    assert_eq!(log.lines().count(), 7, "{log}");
    for secret in ["marker", "@example.org", PASSWORD, token, "Bearer", "Basic"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[tokio::test]
async fn a_refused_document_is_not_logged() {
    let (_folder, server) = configured(&IN_JSON);
    for document in [
        "query Marker { marker }",
        "query Marker { me { marker } }",
        "query Marker { me { ",
        "query Marker($marker: Int) { __typename }",
        "subscription Marker { marker }",
        &format!("query Marker {{ {} }}", "marker ".repeat(51)),
    ] {
        let answer = server.graphql(document).send().await;
        assert_eq!(answer.body.get("data"), None, "{answer:?}");
        let line = logged(&server, &answer);
        assert_eq!(keys(&line), BTreeSet::from(ALWAYS), "{line}");
    }
    let cross_site = server
        .graphql("mutation Marker { revokeToken }")
        .header("sec-fetch-site", b"cross-site");
    let line = logged(&server, &cross_site.send().await);
    assert_eq!(line["status"], 403);
    assert_eq!(keys(&line), BTreeSet::from(ALWAYS), "{line}");
    assert!(!server.log().to_lowercase().contains("marker"));
}

/// Returns a free port below the range that the kernel uses for outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Returns the metrics as Prometheus reads them.
pub async fn metrics(port: u16) -> String {
    let url = format!("http://127.0.0.1:{port}/metrics");
    let accept = "application/openmetrics-text;version=1.0.0,*/*;q=0.1";
    let request = reqwest::Client::new().get(url).header("accept", accept);
    let answer = Answer::of(request).await;
    assert_eq!(answer.status, 200);
    let types: Vec<_> = answer.headers.get_all("content-type").iter().collect();
    assert_eq!(types.len(), 1, "{types:?}");
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), openmetrics);
    answer.body.as_str().unwrap().to_owned()
}

/// Returns all values of a label.
fn label(metrics: &str, name: &str) -> BTreeSet<String> {
    let label = format!("{name}=\"");
    let values = metrics.split(label.as_str()).skip(1);
    values
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_metrics_count_root_fields_and_responses() {
    let port = free_port();
    let (_folder, server) = configured(&[("SYMBOLON_METRICS_PORT", &port.to_string())]);
    server.register("ada").await;
    let signed_in = Answer::of(server.post_tokens("ada")).await;
    let token = signed_in.at("/token").as_str().unwrap();
    for _ in 0..3 {
        let me = server.graphql("{ me { id } }").bearer(token).send().await;
        assert_eq!(me.at("/data/me/id"), "1");
    }
    let anonymous = server.graphql("{ me { id } }").send().await;
    assert_eq!(anonymous.error(), ("UNAUTHENTICATED", "MISSING"));
    let unknown = server.graphql("{ nothing }").send().await;
    assert_eq!(unknown.error().0, "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(
        Answer::of(server.request(Method::GET, "/nothing"))
            .await
            .status,
        404
    );
    let metrics = metrics(port).await;
    for line in [
        r#"symbolon_root_fields_total{operation="mutation",field="createUser",outcome="ok"} 1"#,
        r#"symbolon_root_fields_total{operation="query",field="me",outcome="ok"} 3"#,
        r#"symbolon_root_fields_total{operation="query",field="me",outcome="error"} 1"#,
        r#"symbolon_responses_total{status="200"} 7"#,
        r#"symbolon_responses_total{status="404"} 1"#,
        "symbolon_request_duration_seconds_count 8",
        "# EOF",
    ] {
        assert!(
            metrics.lines().any(|have| have == line),
            "{line}: {metrics}"
        );
    }
    assert_eq!(metrics.matches("symbolon_root_fields_total{").count(), 3);
}

#[tokio::test]
async fn clients_cannot_create_metric_labels() {
    let port = free_port();
    let (_folder, server) = configured(&[("SYMBOLON_METRICS_PORT", &port.to_string())]);
    let series = |metrics: &str| -> BTreeSet<String> {
        let lines = metrics.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned());
        series.collect()
    };
    let mut first = BTreeSet::new();
    for number in 0..50 {
        let name = format!("x{:016x}{number}", rand::random::<u64>());
        for document in [
            format!("query {name} {{ {name}: __typename }}"),
            format!("{{ {name} }}"),
            format!("{{ __typename {name} }}"),
            format!("{{ {name}: me {{ {name}: id }} }}"),
            format!("{{ me {{ {name} }} }}"),
            format!("mutation {name} {{ {name}: revokeToken }}"),
            format!("mutation {{ {name} }}"),
            format!("subscription {{ {name} }}"),
            format!("{{ ...{name} }} fragment {name} on Query {{ __typename }}"),
            format!("{{ ...{name} }} fragment {name} on {name} {{ {name} }}"),
            format!("{name} {{ __typename }}"),
        ] {
            server.graphql(&document).send().await;
        }
        let method = Method::from_bytes(name.as_bytes()).unwrap();
        Answer::of(server.request(method, &format!("/{name}"))).await;
        Answer::of(server.post_tokens(&name)).await;
        let create = server.graphql("mutation { createToken { token } }");
        create.basic(&name, PASSWORD).send().await;
        server.register(&name).await;
        if number == 0 {
            first = series(&metrics(port).await);
        }
    }
    let metrics = metrics(port).await;
    assert!(first.len() > 100);
    assert_eq!(series(&metrics), first);
    let are = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    assert_eq!(label(&metrics, "operation"), are(&["mutation", "query"]));
    assert_eq!(
        label(&metrics, "field"),
        are(&[
            "__typename",
            "createToken",
            "createUser",
            "me",
            "revokeToken"
        ])
    );
    assert_eq!(label(&metrics, "outcome"), are(&["error", "ok"]));
    assert_eq!(
        label(&metrics, "status"),
        are(&["200", "401", "404", "500", "503"])
    );
}

#[tokio::test]
async fn the_metrics_are_served_at_the_configured_address_only() {
    let port = free_port();
    let (_folder, with) = configured(&[("SYMBOLON_METRICS_PORT", &port.to_string())]);
    assert!(metrics(port).await.ends_with("# EOF\n"));
    let (_folder, without) = configured(&[]);
    for server in [&with, &without] {
        let answer = Answer::of(server.request(Method::GET, "/metrics")).await;
        assert_eq!(answer.status, 404);
    }
    for (host, port) in [("::1", free_port()), ("localhost", free_port())] {
        let port = port.to_string();
        let settings = [
            ("SYMBOLON_METRICS_HOST", host),
            ("SYMBOLON_METRICS_PORT", &port),
        ];
        let (_folder, server) = configured(&settings);
        let host = if host == "::1" { "[::1]" } else { "127.0.0.1" };
        let url = format!("http://{host}:{port}/metrics");
        let answer = Answer::of(reqwest::Client::new().get(url)).await;
        assert_eq!(answer.status, 200);
        assert!(!server.log().contains("metrics require no authentication"));
    }
    let everywhere = [
        ("SYMBOLON_METRICS_HOST", "0.0.0.0"),
        ("SYMBOLON_METRICS_PORT", "0"),
    ];
    let (_folder, server) = configured(&everywhere);
    server.log_when(|log| log.contains("metrics require no authentication"));
    // The listener of the metrics serves nothing else.
    for path in ["/", "/graphql", "/tokens", "/healthz"] {
        let url = format!("http://127.0.0.1:{port}{path}");
        let answer = Answer::of(reqwest::Client::new().get(url)).await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[tokio::test]
async fn every_response_has_a_request_id() {
    let app = TestApp::start().await;
    let mut ids = Vec::new();
    for path in ["/", "/healthz", "/readyz", "/graphql", "/tokens"] {
        let answer = Answer::of(app.request(Method::GET, path)).await;
        ids.push(answer.header("x-request-id").to_owned());
    }
    assert!(ids.iter().all(|id| id.len() == 16), "{ids:?}");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}
