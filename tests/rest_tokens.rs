//! The endpoint `/tokens`, as a client of the Flask original uses it.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, PASSWORD, TestApp};

async fn post(app: &TestApp, username: &str, password: &str) -> Answer {
    let request = app.request(Method::POST, "/tokens");
    Answer::of(request.basic_auth(username, Some(password))).await
}

async fn delete(app: &TestApp, token: &str) -> Answer {
    Answer::of(app.request(Method::DELETE, "/tokens").bearer_auth(token)).await
}

#[tokio::test]
async fn a_client_of_the_flask_original_works_unchanged() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let created = post(&app, "ada", PASSWORD).await;
    assert_eq!(created.status, 200);
    assert_eq!(created.header("cache-control"), "no-store");
    assert_eq!(created.at("/expires_at"), "2026-01-01T01:00:00.000+00:00");
    let token = created.at("/token").as_str().unwrap().to_owned();
    assert_eq!(token.len(), 32);
    assert_eq!(
        post(&app, "ada", PASSWORD).await.at("/token"),
        token.as_str()
    );
    assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
    let deleted = delete(&app, &token).await;
    assert_eq!((deleted.status.as_u16(), &deleted.body), (204, &json!("")));
    assert_eq!(
        app.me(&token).await.error(),
        ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    );
    assert_ne!(
        post(&app, "ada", PASSWORD).await.at("/token"),
        token.as_str()
    );
}

#[tokio::test]
async fn rest_and_graphql_issue_the_same_token() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    assert_eq!(
        post(&app, "ada", PASSWORD).await.at("/token"),
        token.as_str()
    );
}

#[tokio::test]
async fn a_failed_basic_authentication_is_401_with_a_basic_challenge() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let challenge = r#"Basic realm="symbolon", charset="UTF-8""#;
    let wrong = post(&app, "ada", "wrong").await;
    let unknown = post(&app, "nobody", "wrong").await;
    for answer in [&wrong, &unknown] {
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("www-authenticate"), challenge);
        assert_eq!(
            answer.body,
            json!({
                "error": "Unauthorized",
                "message": "The username or password is wrong.",
                "code": "UNAUTHENTICATED",
                "reason": "INVALID_CREDENTIALS",
            })
        );
    }
    let missing = Answer::of(app.request(Method::POST, "/tokens")).await;
    assert_eq!(missing.status, 401);
    assert_eq!(missing.header("www-authenticate"), challenge);
    assert_eq!(missing.at("/reason"), "MISSING");
}

#[tokio::test]
async fn deleting_requires_a_bearer_token_and_reports_why_it_is_refused() {
    let app = TestApp::start().await;
    let missing = Answer::of(app.request(Method::DELETE, "/tokens")).await;
    assert_eq!(missing.status, 401);
    assert_eq!(
        missing.header("www-authenticate"),
        r#"Bearer realm="symbolon""#
    );
    assert_eq!(missing.at("/reason"), "MISSING");
    let unknown = delete(&app, &"A".repeat(32)).await;
    assert_eq!(unknown.status, 401);
    assert_eq!(
        unknown.header("www-authenticate"),
        r#"Bearer realm="symbolon", error="invalid_token""#
    );
    assert_eq!(unknown.at("/error"), "Unauthorized");
    assert_eq!(unknown.at("/reason"), "TOKEN_INVALID");
}

#[tokio::test]
async fn deleting_an_ended_token_is_no_error() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    assert_eq!(delete(&app, &token).await.status, 204);
    assert_eq!(delete(&app, &token).await.status, 204);
    let token = app.sign_in("ada").await;
    app.advance(TimeDelta::hours(2));
    assert_eq!(delete(&app, &token).await.status, 204);
}

#[tokio::test]
async fn other_methods_get_405_with_the_allowed_methods() {
    let app = TestApp::start().await;
    for (method, path, allow) in [
        (Method::GET, "/tokens", "POST, DELETE"),
        (Method::POST, "/healthz", "GET, HEAD"),
        (Method::DELETE, "/readyz", "GET, HEAD"),
        (Method::POST, "/", "GET, HEAD"),
        (Method::POST, "/reset", "GET, HEAD"),
        (Method::POST, "/invite", "GET, HEAD"),
        (Method::PUT, "/pages/password.js", "GET, HEAD"),
        (Method::PUT, "/pages/password.css", "GET, HEAD"),
    ] {
        let answer = Answer::of(app.request(method, path)).await;
        assert_eq!(answer.status, 405, "{path}");
        assert_eq!(answer.header("allow"), allow, "{path}");
        assert_eq!(answer.at("/code"), "METHOD_NOT_ALLOWED", "{path}");
    }
}

#[tokio::test]
async fn a_body_that_is_meant_as_json_must_be_json_and_other_bodies_are_ignored() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let shared = app.sign_in("ada").await;
    let post = async |media_type: Option<&str>, body: &[u8]| {
        let mut request = app.post_tokens("ada").body(body.to_vec());
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        Answer::of(request).await
    };
    let object: &[&[u8]] = &[
        b"{",
        b" \n{\"device\"",
        br#"{"device": "phone",}"#,
        br#"{"device": "\ud800"}"#,
        b"{\"device\": \"caf\xe9\"}",
        b"\xef\xbb\xbf{\"device\": \"phone\"}",
        br#"{"device": "phone"} {}"#,
        br"{'device': 'phone'}",
    ];
    let other: &[&[u8]] = &[
        b"device=phone",
        b"\0",
        b"caf\xe9",
        b"\xef\xbb\xbf",
        b"\xff\xfe{\0}\0",
        b"--x\r\n\r\n{\r\n--x--",
    ];
    let json = [
        "application/json",
        "Application/JSON ; charset=utf-8",
        "application/json; charset=utf-16",
        "application/merge-patch+json",
    ];
    let ignored = [
        None,
        Some("application/x-www-form-urlencoded"),
        Some("text/plain"),
        Some("application/jsonx"),
        Some("multipart/form-data; boundary=x"),
    ];
    for body in object.iter().chain(other) {
        let is_object = object.contains(body);
        let text = String::from_utf8_lossy(body);
        for media_type in json.map(Some).iter().chain(&ignored) {
            let answer = post(*media_type, body).await;
            if is_object || !ignored.contains(media_type) {
                assert_eq!(answer.status, 400, "{media_type:?} {text:?}");
                assert_eq!(answer.at("/code"), "BAD_REQUEST", "{media_type:?} {text:?}");
                let message = answer.string("/message");
                assert!(
                    message.starts_with("The body is not valid JSON"),
                    "{message}"
                );
            } else {
                assert_eq!(
                    answer.at("/token"),
                    shared.as_str(),
                    "{media_type:?} {text:?}"
                );
            }
        }
    }
    // Some clients always send the header `Content-Type`.
    for body in ["", " \r\n", "null", "[]", "\"device\"", "{}"] {
        let answer = post(Some("application/json"), body.as_bytes()).await;
        assert_eq!(answer.at("/token"), shared.as_str(), "{body:?}");
    }
}
