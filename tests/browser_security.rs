//! Requests of web pages of other origins: CORS, CSRF and caching.

use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde_json::json;

use crate::support::{Answer, GraphqlRequest, PASSWORD, Socket, TestApp, finish, symbolon};
use crate::websocket_subscriptions::configured;

const LISTED: &str = "https://app.example.org";
/// Origins that differ from [`LISTED`], some of them only slightly.
const OTHERS: [&str; 11] = [
    "https://evil.example",
    "https://app.example.org.evil.example",
    "https://app.example.or",
    "https://evil-app.example.org",
    "https://app.example.org:8443",
    "https://app.example.org/",
    "http://app.example.org",
    "HTTPS://APP.EXAMPLE.ORG",
    "https://App.example.org",
    "null",
    "*",
];

async fn with_origin_listed() -> TestApp {
    TestApp::configured(|config| config.http.cors_origins = vec![LISTED.to_owned()]).await
}

/// Returns all values of a header.
fn values(answer: &Answer, name: &str) -> Vec<String> {
    let lines = answer.headers.get_all(name).iter();
    lines
        .flat_map(|line| line.to_str().unwrap().split(','))
        .map(|value| value.trim().to_ascii_lowercase())
        .collect()
}

/// Returns requests to every path, some of which are refused.
fn requests(app: &TestApp) -> Vec<RequestBuilder> {
    let graphql = || app.request(Method::POST, "/graphql");
    vec![
        graphql().json(&json!({ "query": "{ __typename }" })),
        graphql().json(&json!({ "query": "{ nothing }" })),
        graphql().header("content-type", "text/plain").body("{}"),
        app.request(Method::GET, "/graphql"),
        app.request(Method::POST, "/tokens"),
        app.request(Method::DELETE, "/tokens"),
        app.request(Method::GET, "/tokens"),
        app.request(Method::GET, "/auth"),
        app.request(Method::GET, "/healthz"),
        app.request(Method::GET, "/readyz"),
        app.request(Method::GET, "/"),
        app.request(Method::GET, "/reset"),
        app.request(Method::GET, "/invite"),
        app.request(Method::GET, "/pages/password.js"),
        app.request(Method::GET, "/nothing"),
    ]
}

#[tokio::test]
async fn other_origins_are_refused_by_default() {
    let app = TestApp::start().await;
    for origin in [LISTED, "https://evil.example", "null", app.base.as_str()] {
        for request in requests(&app) {
            let answer = Answer::of(request.header("origin", origin)).await;
            for name in answer.headers.keys() {
                let name = name.as_str();
                assert!(!name.starts_with("access-control-"), "{origin}: {name}");
            }
            let vary = values(&answer, "vary");
            assert!(!vary.contains(&"origin".to_owned()), "{vary:?}");
        }
    }
}

#[tokio::test]
async fn a_listed_origin_may_read_every_response() {
    let app = with_origin_listed().await;
    for request in requests(&app) {
        let answer = Answer::of(request.header("origin", LISTED)).await;
        assert_eq!(values(&answer, "access-control-allow-origin"), [LISTED]);
        let exposed = values(&answer, "access-control-expose-headers");
        for name in ["retry-after", "www-authenticate", "x-request-id"] {
            assert!(exposed.contains(&name.to_owned()), "{name}");
        }
        // The server uses no cookies, so CORS must not allow credentials.
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
}

#[tokio::test]
async fn an_origin_similar_to_a_listed_one_is_refused() {
    let app = with_origin_listed().await;
    for origin in OTHERS {
        for request in requests(&app) {
            let answer = Answer::of(request.header("origin", origin)).await;
            assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
        }
    }
}

#[tokio::test]
async fn every_response_varies_by_origin() {
    let app = with_origin_listed().await;
    for origin in [None, Some(LISTED), Some("https://evil.example")] {
        for request in requests(&app) {
            let request = origin
                .into_iter()
                .fold(request, |request, origin| request.header("origin", origin));
            let vary = values(&Answer::of(request).await, "vary");
            assert!(vary.contains(&"origin".to_owned()), "{vary:?}");
        }
    }
}

fn preflight(app: &TestApp, path: &str, method: &str, origin: &str) -> RequestBuilder {
    app.request(Method::OPTIONS, path)
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        )
}

#[tokio::test]
async fn a_preflight_request_needs_no_credentials() {
    let app = with_origin_listed().await;
    for (path, method) in [
        ("/graphql", "POST"),
        ("/graphql", "GET"),
        ("/tokens", "POST"),
        ("/tokens", "DELETE"),
    ] {
        let answer = Answer::of(preflight(&app, path, method, LISTED)).await;
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), LISTED);
        assert!(values(&answer, "vary").contains(&"origin".to_owned()));
        let methods = values(&answer, "access-control-allow-methods");
        assert!(methods.contains(&method.to_lowercase()), "{methods:?}");
        let age: u32 = answer.header("access-control-max-age").parse().unwrap();
        assert!(age >= 600, "{age}");
        let headers = values(&answer, "access-control-allow-headers");
        for name in [
            "authorization",
            "content-type",
            "accept",
            "x-request-id",
            // Apollo Client and Apollo Studio.
            "apollographql-client-name",
            "apollographql-client-version",
            "apollo-require-preflight",
            "x-apollo-operation-name",
            // W3C Trace Context and Sentry.
            "traceparent",
            "tracestate",
            "baggage",
            "sentry-trace",
        ] {
            assert!(headers.contains(&name.to_owned()), "{name}: {headers:?}");
        }
    }
    for origin in OTHERS {
        let answer = Answer::of(preflight(&app, "/graphql", "POST", origin)).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
    }
}

#[tokio::test]
async fn a_preflight_request_allows_no_origin_by_default() {
    let app = TestApp::start().await;
    for path in ["/graphql", "/tokens"] {
        let answer = Answer::of(preflight(&app, path, "POST", LISTED)).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
}

/// Returns a registration with the headers that a browser adds.
fn registration(app: &TestApp, username: &str, headers: &[(&str, &str)]) -> GraphqlRequest {
    let operation = app.graphql_with(
        "mutation($n: String!, $p: String!) {
            createUser(input: { username: $n, password: $p }) { user { username } }
        }",
        &json!({ "n": username, "p": PASSWORD }),
    );
    headers.iter().fold(operation, |operation, (name, value)| {
        operation.header(name, value.as_bytes())
    })
}

#[tokio::test]
async fn a_cross_site_request_changes_nothing() {
    for app in [TestApp::start().await, with_origin_listed().await] {
        app.register("ada").await;
        let token = app.sign_in("ada").await;
        for origin in ["https://evil.example", "null"] {
            let headers = [("sec-fetch-site", "cross-site"), ("origin", origin)];
            let answer = registration(&app, "eve", &headers).send().await;
            assert_eq!(answer.status, 403);
            assert_eq!(answer.error(), ("FORBIDDEN", "CROSS_SITE"));
            assert_eq!(answer.body.get("data"), None);
            for request in [
                app.request(Method::POST, "/tokens")
                    .basic_auth("ada", Some(PASSWORD)),
                app.request(Method::DELETE, "/tokens").bearer_auth(&token),
            ] {
                let [site, origin] = headers;
                let request = request.header(site.0, site.1).header(origin.0, origin.1);
                let answer = Answer::of(request).await;
                assert_eq!(answer.status, 403);
                assert_eq!(answer.at("/code"), "FORBIDDEN");
                assert_eq!(answer.at("/reason"), "CROSS_SITE");
                assert_eq!(answer.at("/token"), &json!(null));
            }
        }
        // Some browsers send a form without an `Origin`.
        let bare = [("sec-fetch-site", "cross-site")];
        let answer = registration(&app, "eve", &bare).send().await;
        assert_eq!(answer.error(), ("FORBIDDEN", "CROSS_SITE"));
        assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
        // The name is unused: the registration was refused.
        app.register("eve").await;
    }
}

#[tokio::test]
async fn a_cross_origin_request_gets_no_token() {
    let app = with_origin_listed().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let own = app.base.clone();
    for (headers, is_refused) in [
        (vec![("origin", "http://evil.example")], true),
        (vec![("origin", "null")], true),
        // Another origin of the same site.
        (
            vec![
                ("origin", "http://127.0.0.1:1"),
                ("sec-fetch-site", "same-site"),
            ],
            true,
        ),
        (vec![("origin", own.as_str())], false),
        (
            vec![
                ("origin", "http://behind-a-proxy"),
                ("sec-fetch-site", "same-origin"),
            ],
            false,
        ),
        (vec![("origin", LISTED)], false),
        (vec![], false),
    ] {
        let with = |request: RequestBuilder| {
            let given = headers.iter();
            given.fold(request, |request, (name, value)| {
                request.header(*name, *value)
            })
        };
        let create = app.request(Method::POST, "/tokens");
        let created = Answer::of(with(create.basic_auth("ada", Some(PASSWORD)))).await;
        let expected = if is_refused { "CROSS_SITE" } else { "" };
        let reason = created.at("/reason").as_str().unwrap_or_default();
        assert_eq!(reason, expected, "{headers:?}: {created:?}");
        assert_eq!(created.at("/token").is_string(), !is_refused);
        if is_refused {
            let revoke = app.request(Method::DELETE, "/tokens").bearer_auth(&token);
            assert_eq!(Answer::of(with(revoke)).await.status, 403);
            assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
        }
    }
}

#[tokio::test]
async fn a_cross_site_request_may_read_public_fields() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let answer = app
        .graphql("{ me { username } }")
        .bearer(&token)
        .header("sec-fetch-site", b"cross-site")
        .header("origin", b"https://other.example")
        .send()
        .await;
    assert_eq!(answer.at("/data/me/username"), "ada");
    // A link from any site opens the explorer.
    let page = app.request(Method::GET, "/");
    let page = Answer::of(page.header("sec-fetch-site", "cross-site")).await;
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn a_listed_origin_may_send_mutations() {
    let app = with_origin_listed().await;
    let headers = [("sec-fetch-site", "cross-site"), ("origin", LISTED)];
    let answer = registration(&app, "ada", &headers).send().await;
    assert_eq!(answer.at("/data/createUser/user/username"), "ada");
    let page = |method| {
        let request = app.request(method, "/tokens").header("origin", LISTED);
        request.header("sec-fetch-site", "cross-site")
    };
    let created = Answer::of(page(Method::POST).basic_auth("ada", Some(PASSWORD))).await;
    let token = created.at("/token").as_str().unwrap();
    let deleted = Answer::of(page(Method::DELETE).bearer_auth(token)).await;
    assert_eq!(deleted.status, 204);
}

#[tokio::test]
async fn same_origin_requests_and_non_browser_clients_may_send_mutations() {
    for app in [TestApp::start().await, with_origin_listed().await] {
        let origin = app.base.as_str();
        for (username, headers) in [
            (
                "ada",
                &[("sec-fetch-site", "same-origin"), ("origin", origin)][..],
            ),
            (
                "bob",
                &[
                    ("sec-fetch-site", "same-site"),
                    ("origin", "http://localhost:3000"),
                ],
            ),
            ("cyd", &[("sec-fetch-site", "none")]),
            // A browser without `Sec-Fetch-Site`.
            ("dan", &[("origin", origin)]),
            ("eva", &[]),
        ] {
            let answer = registration(&app, username, headers).send().await;
            assert_eq!(answer.at("/data/createUser/user/username"), username);
        }
    }
}

#[tokio::test]
async fn an_origin_header_of_any_bytes_is_handled() {
    for app in [TestApp::start().await, with_origin_listed().await] {
        for origin in [&b"https://\xe9.example"[..], b"\xff\xfe", b"", b" "] {
            let answer = app
                .graphql("{ __typename }")
                .header("origin", origin)
                .send()
                .await;
            assert_eq!(answer.at("/data/__typename"), "Query");
            assert_eq!(answer.header("access-control-allow-origin"), "");
        }
    }
}

#[tokio::test]
async fn content_types_of_html_forms_are_refused() {
    let app = TestApp::start().await;
    let mutation = format!(
        r#"mutation {{ createUser(input: {{username: "ada", password: "{PASSWORD}"}}) {{ user {{ id }} }} }}"#
    );
    let body = json!({ "query": mutation }).to_string();
    for content_type in [
        "text/plain",
        "text/plain; charset=utf-8",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json-patch+json",
        "",
    ] {
        let request = app.request(Method::POST, "/graphql");
        let request = request.header("content-type", content_type);
        let answer = Answer::of(request.body(body.clone())).await;
        assert_eq!(answer.status, 415, "{content_type}");
        assert_eq!(answer.error().0, "UNSUPPORTED_MEDIA_TYPE");
    }
    assert_eq!(app.register("ada").await, 1);
}

/// Returns the path and query of a GraphQL request by GET.
fn in_url(app: &TestApp, parameters: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params(&format!("{}/graphql", app.base), parameters).unwrap();
    url.as_str().strip_prefix(&app.base).unwrap().to_owned()
}

#[tokio::test]
async fn a_get_request_runs_no_mutation() {
    let app = TestApp::start().await;
    let mutation = format!(
        r#"mutation M {{ createUser(input: {{username: "ada", password: "{PASSWORD}"}}) {{ user {{ id }} }} }}"#
    );
    let both = format!("query Q {{ __typename }} {mutation}");
    for parameters in [
        &[("query", mutation.as_str())][..],
        &[("query", &both), ("operationName", "M")],
    ] {
        for accept in ["application/json", "application/graphql-response+json"] {
            let request = app.request(Method::GET, &in_url(&app, parameters));
            let answer = Answer::of(request.header("accept", accept)).await;
            assert_eq!(answer.status, 405);
            assert_eq!(answer.header("allow"), "POST");
            assert_eq!(answer.error().0, "METHOD_NOT_ALLOWED");
        }
    }
    let query = in_url(&app, &[("query", &both), ("operationName", "Q")]);
    let answer = Answer::of(app.request(Method::GET, &query)).await;
    assert_eq!(answer.at("/data/__typename"), "Query");
    assert_eq!(app.register("ada").await, 1);
}

#[tokio::test]
async fn responses_forbid_caching_and_content_sniffing() {
    for app in [TestApp::start().await, with_origin_listed().await] {
        for request in requests(&app) {
            let answer = Answer::of(request).await;
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
        for document in ["{ __typename }", "{ me { id } }", "{ nothing }", "{"] {
            let answer = app.graphql(document).send().await;
            assert_eq!(answer.header("cache-control"), "no-store", "{document}");
            let vary = values(&answer, "vary");
            assert!(vary.contains(&"accept".to_owned()), "{vary:?}");
        }
        let refused = Answer::of(app.request(Method::PUT, "/graphql")).await;
        assert_eq!(refused.status, 405);
        assert_eq!(refused.header("cache-control"), "no-store");
        assert!(values(&refused, "vary").contains(&"accept".to_owned()));
    }
}

#[tokio::test]
async fn a_page_of_another_origin_opens_no_websocket() {
    let app = configured(|config| {
        config.http.cors_origins = vec!["https://listed.example".to_owned()];
    })
    .await;
    let protocol = ("sec-websocket-protocol", "graphql-transport-ws");
    let open = async |headers: &[(&'static str, &str)]| {
        let headers = [&[protocol], headers].concat();
        Socket::open(&app.base, &headers).await.map(drop).err()
    };
    let forbidden = Some(StatusCode::FORBIDDEN);
    let own = app.base.as_str();
    assert_eq!(open(&[]).await, None);
    assert_eq!(open(&[("origin", own)]).await, None);
    assert_eq!(open(&[("origin", "https://listed.example")]).await, None);
    let listed = [
        ("origin", "https://listed.example"),
        ("sec-fetch-site", "cross-site"),
    ];
    assert_eq!(open(&listed).await, None);
    // A proxy that sends its own host.
    let proxied = [
        ("origin", "https://app.example"),
        ("sec-fetch-site", "same-origin"),
    ];
    assert_eq!(open(&proxied).await, None);
    for origin in ["https://other.example", "null", "https://listed.example:1"] {
        assert_eq!(open(&[("origin", origin)]).await, forbidden, "{origin}");
    }
    let site = [("origin", own), ("sec-fetch-site", "cross-site")];
    assert_eq!(open(&site).await, forbidden);
}

#[tokio::test]
async fn request_headers_and_credentials_of_listed_origins_are_configurable() {
    let app = TestApp::configured(|config| {
        config.http.cors_origins = vec![LISTED.to_owned()];
        config.http.cors_headers = vec!["x-tenant".to_owned(), "X-Trace".to_owned()];
        config.http.cors_credentials = true;
    })
    .await;
    for path in ["/graphql", "/tokens", "/nothing"] {
        let answer = Answer::of(preflight(&app, path, "POST", LISTED)).await;
        assert_eq!(answer.status, 204, "{path}");
        let headers = values(&answer, "access-control-allow-headers");
        for name in ["x-tenant", "x-trace", "authorization", "content-type"] {
            assert!(headers.contains(&name.to_owned()), "{name}: {headers:?}");
        }
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert_eq!(answer.header("access-control-allow-origin"), LISTED);
    }
    for request in requests(&app) {
        let answer = Answer::of(request.header("origin", LISTED)).await;
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert_eq!(answer.header("access-control-allow-origin"), LISTED);
    }
    for origin in OTHERS {
        let mut all = requests(&app);
        all.push(preflight(&app, "/graphql", "POST", origin));
        for request in all {
            let answer = Answer::of(request.header("origin", origin)).await;
            assert_eq!(
                answer.header("access-control-allow-credentials"),
                "",
                "{origin}"
            );
            assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
        }
    }
}

#[test]
fn a_wildcard_and_a_malformed_origin_or_header_name_are_refused_at_the_start() {
    for (name, value, message) in [
        ("SYMBOLON_CORS_ORIGINS", "*", "is not an origin"),
        (
            "SYMBOLON_CORS_ORIGINS",
            "https://*.example.org",
            "is not an origin",
        ),
        (
            "SYMBOLON_CORS_ORIGINS",
            "https://a.example/",
            "is not an origin",
        ),
        (
            "SYMBOLON_CORS_ORIGINS",
            "https://A.example",
            "is not an origin",
        ),
        ("SYMBOLON_CORS_ORIGINS", "null", "is not an origin"),
        (
            "SYMBOLON_CORS_ORIGINS",
            "https://a.example:443",
            "is not an origin",
        ),
        (
            "SYMBOLON_CORS_ORIGINS",
            "http://a.example:80",
            "is not an origin",
        ),
        (
            "SYMBOLON_CORS_HEADERS",
            "*",
            "is not the name of a request header",
        ),
        (
            "SYMBOLON_CORS_HEADERS",
            "x tenant",
            "is not the name of a request header",
        ),
        (
            "SYMBOLON_CORS_HEADERS",
            "x-a: b",
            "is not the name of a request header",
        ),
        (
            "SYMBOLON_CORS_HEADERS",
            "x-\u{e9}",
            "is not the name of a request header",
        ),
        (
            "SYMBOLON_CLIENT_ADDRESS_HEADER",
            "x-real-ip",
            "x-forwarded-for",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut start = symbolon(folder.path());
        let (code, _, error) = finish(start.arg("migrate").env(name, value));
        assert_ne!(code, Some(0), "{name}={value}");
        assert!(error.contains(message), "{name}={value}: {error}");
    }
    let mut config = symbolon::Config::default();
    config.http.cors_credentials = true;
    assert!(config.check().is_ok());
    config.http.cors_origins = vec![LISTED.to_owned(), "*".to_owned()];
    let error = config.check().unwrap_err().to_string();
    assert!(error.contains("exact origins"), "{error}");
    config.http.cors_origins.pop();
    config.http.cors_headers = vec!["*".to_owned()];
    let error = config.check().unwrap_err().to_string();
    assert!(error.contains("header names"), "{error}");
}

#[tokio::test]
async fn a_refused_origin_is_logged_once_with_the_setting() {
    let (_folder, server) = crate::support::server_with(&[("SYMBOLON_CORS_ORIGINS", LISTED)]);
    let send = async |method: Method, path: &str, origin: &str| {
        let request = server.request(method, path).header("origin", origin);
        Answer::of(request.header("access-control-request-method", "POST")).await
    };
    let lines = |log: &str| log.matches("add it to SYMBOLON_CORS_ORIGINS").count();
    // Neither a listed origin nor the server's own page is refused.
    send(Method::OPTIONS, "/graphql", LISTED).await;
    send(Method::POST, "/tokens", &server.base).await;
    send(Method::GET, "/healthz", LISTED).await;
    for _ in 0..5 {
        send(Method::OPTIONS, "/graphql", "https://other.example").await;
        send(Method::POST, "/tokens", "https://other.example").await;
    }
    let log = server.log_when(|log| lines(log) > 0);
    assert_eq!(lines(&log), 1, "{log}");
    let line = log.lines().find(|line| lines(line) > 0).unwrap();
    assert!(
        line.contains("WARN") && line.contains("https://other.example"),
        "{line}"
    );
    // A client that sends many origins does not fill the log.
    for number in 0..100 {
        let origin = format!("https://{number}.example/{}", "x".repeat(1000));
        send(Method::OPTIONS, "/graphql", &origin).await;
    }
    let last = send(Method::GET, "/healthz", LISTED).await;
    let id = last.header("x-request-id").to_owned();
    let log = server.log_when(|log| log.contains(&id));
    assert_eq!(lines(&log), 20, "{log}");
    assert_eq!(log.matches("Further origins are not logged").count(), 1);
    let longest = log.lines().map(str::len).max().unwrap();
    assert!(longest < 600, "{longest}");
}
