//! Signing in: one response to all failures, and the comparison of usernames and passwords.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;

use crate::support::{Answer, PASSWORD, TestApp, start_of_time};

pub const CREATE: &str = "mutation { createToken { token } }";

pub async fn attempt(app: &TestApp, username: &str) -> Answer {
    app.graphql(CREATE).basic(username, PASSWORD).send().await
}

#[tokio::test]
async fn unknown_user_wrong_password_and_disabled_user_get_one_response() {
    let app = TestApp::start().await;
    app.register("ada").await;
    app.register("eve").await;
    app.sql("UPDATE symbolon_user SET disabled_at = 0 WHERE username = 'eve'")
        .await;
    let unknown = attempt(&app, "nobody").await;
    let wrong = app.graphql(CREATE).basic("ada", "wrong").send().await;
    let disabled = attempt(&app, "eve").await;
    assert_eq!(unknown.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    assert_eq!(unknown.body, wrong.body);
    assert_eq!(unknown.body, disabled.body);
}

#[tokio::test]
async fn a_password_is_compared_in_normalized_form() {
    let app = TestApp::start().await;
    app.graphql("mutation { createUser(input: {username: \"ada\", password: \"cre\u{300}me bru\u{302}le\u{301}e\"}) { user { id } } }")
        .send()
        .await;
    for spelling in ["crème brûlée", "cre\u{300}me\u{a0}bru\u{302}lée"] {
        let answer = app.graphql(CREATE).basic("ada", spelling).send().await;
        assert!(
            answer.at("/data/createToken/token").is_string(),
            "{spelling}"
        );
    }
}

#[tokio::test]
async fn usernames_are_compared_in_canonical_form() {
    let app = TestApp::start().await;
    app.register("Zoë").await;
    for spelling in ["Zoë", "zoë", "ZOË", "Zoe\u{308}"] {
        let answer = app
            .graphql("mutation { createToken { user { username } } }")
            .basic(spelling, PASSWORD)
            .send()
            .await;
        assert_eq!(answer.at("/data/createToken/user/username"), "Zoë");
    }
}

#[tokio::test]
async fn the_last_sign_in_is_recorded() {
    let app = TestApp::start().await;
    let id = app.register("ada").await;
    assert_eq!(app.row(id).await.last_sign_in_at, None);
    let start = start_of_time().timestamp_millis();
    for later in [0, 59] {
        app.advance(TimeDelta::seconds(later));
        app.sign_in("ada").await;
        let at = app.row(id).await.last_sign_in_at;
        assert_eq!(at, Some(start + later * 1000));
    }
}

#[tokio::test]
async fn create_token_requires_basic_credentials() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let encode = |text: &str| format!("Basic {}", STANDARD.encode(text));
    for (header, reason) in [
        (format!("Bearer {token}"), "MISSING"),
        (String::new(), "MISSING"),
        ("Basic".to_owned(), "MISSING"),
        ("Basic %%%".to_owned(), "MISSING"),
        (encode("no colon"), "MISSING"),
        (encode("ada:line\nbreak"), "MISSING"),
        (encode("ada:"), "INVALID_CREDENTIALS"),
        (encode("ada:wrong"), "INVALID_CREDENTIALS"),
        (encode(&format!("nobody:{PASSWORD}")), "INVALID_CREDENTIALS"),
        (
            encode(&format!("not a name:{PASSWORD}")),
            "INVALID_CREDENTIALS",
        ),
        (encode(&format!(":{PASSWORD}")), "INVALID_CREDENTIALS"),
    ] {
        let answer = app
            .graphql("mutation { createToken { token } }")
            .authorization(header.as_bytes())
            .send()
            .await;
        assert_eq!(answer.error(), ("UNAUTHENTICATED", reason), "{header}");
        assert_eq!(answer.header("www-authenticate"), "");
    }
}
