//! Renewal of sessions.

use chrono::TimeDelta;
use serde_json::json;

use crate::support::{Answer, PASSWORD, TestApp};

async fn renew(app: &TestApp, token: &str) -> Answer {
    let document = "mutation { renewToken { token expiresAt expiresIn user { username } } }";
    app.graphql(document).bearer(token).send().await
}

#[tokio::test]
async fn a_renewed_token_keeps_its_value_and_gets_a_full_lifetime() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    app.advance(TimeDelta::seconds(3599));
    let renewed = renew(&app, &token).await;
    assert_eq!(
        renewed.at("/data/renewToken"),
        &json!({
            "token": token,
            "expiresAt": "2026-01-01T01:59:59.000+00:00",
            "expiresIn": 3600,
            "user": { "username": "ada" },
        })
    );
    app.advance(TimeDelta::seconds(3599));
    assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
    app.advance(TimeDelta::seconds(1));
    let expired = renew(&app, &token).await;
    assert_eq!(expired.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
}

#[tokio::test]
async fn a_session_ends_30_days_after_the_last_sign_in_in_spite_of_renewals() {
    let app = TestApp::configured(|config| config.token_lifetime = 7 * 24 * 3600).await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    for _ in 0..5 {
        app.advance(TimeDelta::days(6) - TimeDelta::hours(1));
        renew(&app, &token).await;
    }
    // 29 days and 19 hours have passed.
    let renewed = renew(&app, &token).await;
    assert_eq!(
        renewed.at("/data/renewToken/expiresAt"),
        "2026-01-31T00:00:00.000+00:00"
    );
    app.advance(TimeDelta::hours(5));
    let expired = renew(&app, &token).await;
    assert_eq!(expired.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
    // A sign-in starts a new session.
    let token = app.sign_in("ada").await;
    app.advance(TimeDelta::days(6));
    let renewed = renew(&app, &token).await;
    assert_eq!(renewed.at("/data/renewToken/expiresIn"), 7 * 24 * 3600);
}

#[tokio::test]
async fn a_renewal_never_shortens_the_lifetime_of_a_token() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let create = "mutation { createToken(expiresIn: 7200) { token expiresAt } }";
    let created = app.graphql(create).basic("ada", PASSWORD).send().await;
    let token = created.at("/data/createToken/token").as_str().unwrap();
    let renewed = renew(&app, token).await;
    assert_eq!(
        renewed.at("/data/renewToken/expiresAt"),
        created.at("/data/createToken/expiresAt")
    );
}

#[tokio::test]
async fn an_ended_token_is_not_renewed() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    app.revoke(&token).await;
    let revoked = renew(&app, &token).await;
    assert_eq!(revoked.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
    let token = app.sign_in("ada").await;
    app.sql("UPDATE symbolon_user SET disabled_at = 0").await;
    let disabled = renew(&app, &token).await;
    assert_eq!(disabled.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
    let anonymous = app.graphql("mutation { renewToken { token } }");
    assert_eq!(
        anonymous.send().await.error(),
        ("UNAUTHENTICATED", "MISSING")
    );
}
