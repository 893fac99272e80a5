//! Error responses: malformed requests, invalid documents and internal errors.

use reqwest::Method;

use crate::support::{Answer, Server, TestApp, database_in};

async fn post(app: &TestApp, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = app.request(Method::POST, "/graphql");
    Answer::of(request.header("content-type", content_type).body(body)).await
}

#[tokio::test]
async fn a_malformed_request_is_refused() {
    let app = TestApp::start().await;
    let json = "application/json";
    let long = format!(r#"{{"query":"{{ __typename }} #{}"}}"#, "x".repeat(70_000));
    for (content_type, body, status, code) in [
        (json, "", 400, "BAD_REQUEST"),
        (json, "{", 400, "BAD_REQUEST"),
        (json, r#"[{"query":"{ __typename }"}]"#, 400, "BAD_REQUEST"),
        (json, r#"{"query":1}"#, 400, "BAD_REQUEST"),
        (json, &long, 413, "PAYLOAD_TOO_LARGE"),
        (
            "text/plain",
            r#"{"query":"{ __typename }"}"#,
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        (
            "multipart/form-data; boundary=x",
            "--x--",
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
    ] {
        let answer = post(&app, content_type, body.to_owned()).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.error().0, code, "{answer:?}");
        let message = answer.at("/errors/0/message").as_str().unwrap();
        assert!(!message.is_empty() && !message.contains('\n'), "{message}");
    }
    let untyped = app.request(Method::POST, "/graphql").body("{}");
    assert_eq!(Answer::of(untyped).await.status, 415);
    let charset = "Application/JSON; charset=utf-8";
    let answer = post(&app, charset, r#"{"query":"{ __typename }"}"#).await;
    assert_eq!(answer.at("/data/__typename"), "Query");
}

#[tokio::test]
async fn an_invalid_document_is_refused_with_the_reason() {
    let app = TestApp::start().await;
    for (document, code) in [
        ("", "GRAPHQL_PARSE_FAILED"),
        ("{ me {", "GRAPHQL_PARSE_FAILED"),
        ("nonsense", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ me }", "GRAPHQL_VALIDATION_FAILED"),
        (
            "mutation { createToken(expiresIn: \"x\") { token } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        (
            "{ me { id } } query B { me { id } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ] {
        let answer = app.graphql(document).send().await;
        assert_eq!(answer.status, 200, "{document}");
        assert_eq!(answer.error().0, code, "{document}: {answer:?}");
        let message = answer.at("/errors/0/message").as_str().unwrap();
        assert!(!message.is_empty() && !message.contains('\n'), "{message}");
    }
}

#[tokio::test]
async fn an_internal_error_is_logged_with_the_request_id_and_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let database = database_in(folder.path()).await;
    let backend = sea_orm::ConnectionTrait::get_database_backend(&database);
    // The table itself remains: the heartbeat of PostgreSQL uses it.
    let rename = "ALTER TABLE symbolon_user RENAME COLUMN role TO other";
    let rename = sea_orm::Statement::from_string(backend, rename);
    sea_orm::ConnectionTrait::execute_raw(&database, rename)
        .await
        .unwrap();
    let unknown = "A".repeat(32);
    let me = server.graphql("{ me { id } }");
    let graphql = me.bearer(&unknown).send().await;
    assert_eq!(graphql.error(), ("INTERNAL_SERVER_ERROR", ""));
    let id = graphql.header("x-request-id");
    assert_eq!(graphql.at("/errors/0/extensions/requestId"), id);
    let rest = server.request(Method::DELETE, "/tokens");
    let rest = Answer::of(rest.bearer_auth(&unknown)).await;
    assert_eq!(rest.status, 500);
    assert_eq!(rest.at("/code"), "INTERNAL_SERVER_ERROR");
    assert_eq!(rest.at("/requestId"), rest.header("x-request-id"));
    for answer in [&graphql, &rest] {
        let sent = answer.body.to_string().to_lowercase();
        assert!(!sent.contains("table") && !sent.contains("sql"), "{sent}");
        let log = server.log();
        let id = answer.header("x-request-id");
        let line = log.lines().find(|line| line.contains(id));
        assert!(line.is_some_and(|line| line.contains("role")), "{log}");
    }
}

#[tokio::test]
async fn a_panic_in_a_plain_route_is_masked() {
    #[poem::handler]
    fn panics() -> String {
        panic!("SELECT secret FROM vault")
    }
    let app = TestApp::with_routes(
        |_| {},
        |symbolon| symbolon.own_routes().at("/panics", poem::get(panics)),
    )
    .await;
    let answer = Answer::of(app.request(reqwest::Method::GET, "/panics")).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.at("/code"), "INTERNAL_SERVER_ERROR");
    assert!(!answer.body.to_string().contains("SELECT"));
    assert_eq!(app.register("ada").await, 1);
}

#[tokio::test]
async fn a_compressed_body_is_refused_with_the_accepted_coding() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0];
    let requests = || {
        let graphql = app.request(Method::POST, "/graphql");
        let tokens = app.post_tokens("ada").header("x", "y");
        [graphql.header("content-type", "application/json"), tokens]
    };
    for coding in [
        "gzip",
        "GZIP",
        "br",
        "zstd",
        "deflate",
        "x-unknown",
        "identity, gzip",
        "gzip, identity",
    ] {
        for request in requests() {
            let request = request.header("content-encoding", coding);
            let answer = Answer::of(request.body(gzip.to_vec())).await;
            assert_eq!(answer.status, 415, "{coding}");
            assert_eq!(answer.header("accept-encoding"), "identity", "{coding}");
            let body = answer.body.to_string();
            assert!(body.contains("UNSUPPORTED_MEDIA_TYPE"), "{body}");
            assert!(body.contains("without Content-Encoding"), "{body}");
        }
    }
    let typename = r#"{"query":"{ __typename }"}"#;
    for coding in ["identity", "Identity", "", " , identity,"] {
        for request in requests() {
            let request = request.header("content-encoding", coding);
            let answer = Answer::of(request.body(typename)).await;
            assert_eq!(answer.status, 200, "{coding}: {answer:?}");
        }
    }
    // The media type is wrong, so the response does not concern the coding.
    let other = post(&app, "text/plain", typename).await;
    assert_eq!(other.header("accept-encoding"), "");
    // A request whose body is not read.
    let health = app
        .request(Method::GET, "/healthz")
        .header("content-encoding", "gzip");
    assert_eq!(Answer::of(health).await.status, 200);
}

#[tokio::test]
async fn a_slash_at_the_end_of_a_path_changes_nothing() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let graphql = app.request(Method::POST, "/graphql/");
    let graphql = graphql.json(&serde_json::json!({ "query": "{ __typename }" }));
    assert_eq!(Answer::of(graphql).await.at("/data/__typename"), "Query");
    let created = app.request(Method::POST, "/tokens/");
    let created = Answer::of(created.basic_auth("ada", Some(crate::support::PASSWORD))).await;
    let token = created.string("/token");
    assert!(app.accepts(token).await);
    let deleted = app.request(Method::DELETE, "/tokens/").bearer_auth(token);
    assert_eq!(Answer::of(deleted).await.status, 204);
    for (path, allowed) in [
        ("/graphql/", "GET, POST"),
        ("/tokens/", "POST, DELETE"),
        ("/readyz/", "GET, HEAD"),
    ] {
        let answer = Answer::of(app.request(Method::PUT, path)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("allow")),
            (405, allowed)
        );
    }
    for path in ["/healthz/", "/readyz/"] {
        assert_eq!(Answer::of(app.request(Method::GET, path)).await.status, 200);
    }
    for path in ["/graphql//", "/tokens/x", "//graphql"] {
        assert_eq!(
            Answer::of(app.request(Method::GET, path)).await.status,
            404,
            "{path}"
        );
    }
}
