//! The life of a session token: issue, reuse, expiry and revocation.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{PASSWORD, TestApp, start_of_time};

const CREATE: &str =
    "mutation { createToken { token tokenType expiresAt expiresIn user { username } } }";

#[tokio::test]
async fn a_session_token_is_24_bytes_in_base64_and_lives_for_an_hour() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let answer = app.graphql(CREATE).basic("ada", PASSWORD).send().await;
    let token = answer.at("/data/createToken/token").as_str().unwrap();
    assert_eq!(token.len(), 32);
    assert!(
        token
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
    );
    assert_eq!(answer.at("/data/createToken/tokenType"), "Bearer");
    assert_eq!(answer.at("/data/createToken/expiresIn"), 3600);
    let expires_at = answer.at("/data/createToken/expiresAt").as_str().unwrap();
    assert_eq!(
        expires_at.parse::<DateTime<Utc>>().unwrap(),
        start_of_time() + TimeDelta::hours(1)
    );
    assert_eq!(answer.at("/data/createToken/user/username"), "ada");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_token_is_reused_while_more_than_60_s_remain() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let first = app.sign_in("ada").await;
    app.advance(TimeDelta::seconds(3539));
    let again = app.graphql(CREATE).basic("ada", PASSWORD).send().await;
    assert_eq!(again.at("/data/createToken/token"), first.as_str());
    assert_eq!(again.at("/data/createToken/expiresIn"), 61);
    app.advance(TimeDelta::seconds(1));
    let next = app.sign_in("ada").await;
    assert_ne!(next, first);
    assert_eq!(
        app.me(&first).await.error(),
        ("UNAUTHENTICATED", "TOKEN_INVALID")
    );
    assert_eq!(app.me(&next).await.at("/data/me/username"), "ada");
}

#[tokio::test]
async fn a_session_token_expires_to_the_millisecond() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    app.advance(TimeDelta::milliseconds(3_599_999));
    assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
    app.advance(TimeDelta::milliseconds(1));
    assert_eq!(
        app.me(&token).await.error(),
        ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    );
}

#[tokio::test]
async fn a_lifetime_is_120_s_to_30_days() {
    let app = TestApp::start().await;
    app.register("ada").await;
    for (seconds, allowed) in [
        (i32::MIN, false),
        (-1, false),
        (0, false),
        (119, false),
        (120, true),
        (2_592_000, true),
        (2_592_001, false),
        (i32::MAX, false),
    ] {
        let answer = app
            .graphql_with(
                "mutation($s: Int) { createToken(expiresIn: $s, fresh: true) { expiresIn } }",
                &json!({ "s": seconds }),
            )
            .basic("ada", PASSWORD)
            .send()
            .await;
        if allowed {
            assert_eq!(answer.at("/data/createToken/expiresIn"), seconds);
        } else {
            assert_eq!(answer.error(), ("BAD_USER_INPUT", ""));
        }
    }
}

#[tokio::test]
async fn a_lifetime_applies_to_new_tokens_only() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let first = app.sign_in("ada").await;
    let again = app
        .graphql("mutation { createToken(expiresIn: 7200) { token expiresIn } }")
        .basic("ada", PASSWORD)
        .send()
        .await;
    assert_eq!(again.at("/data/createToken/token"), first.as_str());
    assert_eq!(again.at("/data/createToken/expiresIn"), 3600);
}

#[tokio::test]
async fn the_default_lifetime_can_be_configured() {
    let app = TestApp::configured(|config| config.token_lifetime = 600).await;
    app.register("ada").await;
    let answer = app.graphql(CREATE).basic("ada", PASSWORD).send().await;
    assert_eq!(answer.at("/data/createToken/expiresIn"), 600);
}

#[tokio::test]
async fn a_fresh_token_replaces_the_live_one() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let first = app.sign_in("ada").await;
    let fresh = app
        .graphql("mutation { createToken(fresh: true) { token } }")
        .basic("ada", PASSWORD)
        .send()
        .await;
    let fresh = fresh.at("/data/createToken/token").as_str().unwrap();
    assert_ne!(fresh, first);
    assert_eq!(
        app.me(&first).await.error(),
        ("UNAUTHENTICATED", "TOKEN_INVALID")
    );
    assert_eq!(app.me(fresh).await.at("/data/me/username"), "ada");
}

#[tokio::test]
async fn several_create_token_fields_behave_like_several_requests() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let before = app.sign_in("ada").await;
    let document = "mutation { same: createToken { token } first: createToken(fresh: true) { token } \
        second: createToken(fresh: true) { token } again: createToken { token } }";
    let answer = app.graphql(document).basic("ada", PASSWORD).send().await;
    let token = |name: &str| answer.at(&format!("/data/{name}/token")).as_str().unwrap();
    assert_eq!(token("same"), before);
    for dead in [&before, token("first")] {
        assert_eq!(
            app.me(dead).await.error(),
            ("UNAUTHENTICATED", "TOKEN_INVALID")
        );
    }
    assert_ne!(token("second"), token("first"));
    assert_eq!(token("again"), token("second"));
    assert_eq!(app.me(token("again")).await.at("/data/me/username"), "ada");
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_and_a_new_one_is_issued() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    assert_eq!(app.revoke(&token).await.at("/data/revokeToken"), true);
    assert_eq!(
        app.me(&token).await.error(),
        ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    );
    let next = app.sign_in("ada").await;
    assert_ne!(next, token);
    assert_eq!(app.me(&next).await.at("/data/me/username"), "ada");
}

#[tokio::test]
async fn revoking_an_ended_token_is_no_error() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    assert_eq!(app.revoke(&token).await.at("/data/revokeToken"), true);
    assert_eq!(app.revoke(&token).await.at("/data/revokeToken"), false);
    let expired = app.sign_in("ada").await;
    app.advance(TimeDelta::hours(2));
    assert_eq!(app.revoke(&expired).await.at("/data/revokeToken"), false);
}

#[tokio::test]
async fn revoking_an_unknown_token_is_refused() {
    let app = TestApp::start().await;
    let unknown = "A".repeat(32);
    assert_eq!(
        app.revoke(&unknown).await.error(),
        ("UNAUTHENTICATED", "TOKEN_INVALID")
    );
    let anonymous = app.graphql("mutation { revokeToken }").send().await;
    assert_eq!(anonymous.error(), ("UNAUTHENTICATED", "MISSING"));
}

#[tokio::test]
async fn revoke_token_ends_the_token_for_the_rest_of_its_request() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let answer = app
        .graphql("mutation { first: revokeToken second: revokeToken }")
        .bearer(&token)
        .send()
        .await;
    assert_eq!(
        answer.at("/data"),
        &json!({ "first": true, "second": false })
    );
}

#[tokio::test]
async fn revoke_token_sets_the_expiration_one_second_back_and_deletes_the_nonce() {
    let app = TestApp::start().await;
    let id = app.register("ada").await;
    let token = app.sign_in("ada").await;
    let before = app.row(id).await;
    assert_eq!(before.token_nonce.unwrap().len(), 24);
    app.advance(TimeDelta::minutes(5));
    app.revoke(&token).await;
    let after = app.row(id).await;
    let one_second_back = start_of_time() + TimeDelta::minutes(5) - TimeDelta::seconds(1);
    assert_eq!(
        after.token_expiration,
        Some(one_second_back.timestamp_millis())
    );
    assert_eq!(after.token_nonce, None);
    assert_eq!(after.token_digest, before.token_digest);
}

#[tokio::test]
async fn a_revoked_token_stays_ended_when_the_clock_moves() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    app.advance(TimeDelta::minutes(5));
    app.revoke(&token).await;
    app.advance(TimeDelta::minutes(-4));
    assert_eq!(
        app.me(&token).await.error(),
        ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    );
    assert_ne!(app.sign_in("ada").await, token);
}

#[tokio::test]
async fn a_token_of_the_longest_lifetime_survives_a_clock_that_steps_back_by_a_minute() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let longest = app.graphql("mutation { createToken(expiresIn: 2592000) { token } }");
    let answer = longest.basic("ada", PASSWORD).send().await;
    let token = answer.at("/data/createToken/token").as_str().unwrap();
    app.advance(TimeDelta::minutes(-1));
    assert_eq!(app.me(token).await.at("/data/me/username"), "ada");
    assert_eq!(app.sign_in("ada").await, token);
    // The token is refused if the clock was further ahead when it was issued.
    app.advance(TimeDelta::seconds(-1));
    assert_eq!(
        app.me(token).await.error(),
        ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    );
}

#[tokio::test]
async fn a_token_revoked_after_its_expiration_stays_ended_when_the_clock_goes_back() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    app.advance(TimeDelta::hours(2));
    app.revoke(&token).await;
    app.advance(TimeDelta::hours(-2));
    assert_eq!(
        app.me(&token).await.error(),
        ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    );
}

#[tokio::test]
async fn an_expiration_beyond_every_lifetime_is_neither_accepted_nor_reused() {
    let app = TestApp::start().await;
    app.register("ada").await;
    app.advance(TimeDelta::days(365));
    let token = app.sign_in("ada").await;
    app.advance(TimeDelta::days(-365));
    assert_eq!(
        app.me(&token).await.error(),
        ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    );
    let next = app.sign_in("ada").await;
    assert_ne!(next, token);
    assert_eq!(app.me(&next).await.at("/data/me/username"), "ada");
}

#[tokio::test]
async fn a_session_token_survives_a_restart() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let app = app.restart(|_| {}).await;
    assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
    assert_eq!(app.sign_in("ada").await, token);
}

#[tokio::test]
async fn sixty_four_concurrent_sign_ins_get_one_token() {
    let app = TestApp::unthrottled().await;
    app.register("ada").await;
    let tokens = join_all((0..64).map(|_| app.sign_in("ada"))).await;
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    assert_eq!(app.me(&tokens[0]).await.at("/data/me/username"), "ada");
}

#[tokio::test]
async fn concurrent_sign_ins_agree_when_the_live_token_is_about_to_expire() {
    let app = TestApp::unthrottled().await;
    app.register("ada").await;
    let old = app.sign_in("ada").await;
    app.advance(TimeDelta::seconds(3550));
    let tokens = join_all((0..32).map(|_| app.sign_in("ada"))).await;
    assert_ne!(tokens[0], old);
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
}

#[tokio::test]
async fn a_sign_in_after_a_revocation_never_returns_the_revoked_token() {
    let app = TestApp::start().await;
    app.register("ada").await;
    for _ in 0..20 {
        let token = app.sign_in("ada").await;
        let racing = join_all((0..8).map(|_| app.sign_in("ada")));
        let revoked = async {
            assert_eq!(app.revoke(&token).await.at("/data/revokeToken"), true);
            // The token is revoked from here on, while some requests are still under way.
            app.sign_in("ada").await
        };
        let (_, next) = tokio::join!(racing, revoked);
        assert_ne!(next, token);
        assert_eq!(
            app.me(&token).await.error(),
            ("UNAUTHENTICATED", "TOKEN_INVALID")
        );
        assert_eq!(app.me(&next).await.at("/data/me/username"), "ada");
    }
}

#[tokio::test]
async fn exactly_one_of_many_concurrent_revocations_reports_success() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let answers = join_all((0..16).map(|_| app.revoke(&token))).await;
    let ended = answers
        .iter()
        .filter(|answer| answer.at("/data/revokeToken") == true);
    assert_eq!(ended.count(), 1);
}

#[tokio::test]
async fn a_disabled_user_has_no_token_and_gets_none() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    app.sql("UPDATE symbolon_user SET disabled_at = 0").await;
    assert_eq!(
        app.me(&token).await.error(),
        ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    );
    let refused = app.graphql(CREATE).basic("ada", PASSWORD).send().await;
    assert_eq!(refused.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
}

#[tokio::test]
async fn each_sign_in_replaces_the_session_without_token_reuse() {
    let app = TestApp::configured(|config| config.reuse = false).await;
    app.register("ada").await;
    let first = app.sign_in("ada").await;
    let second = app.sign_in("ada").await;
    assert_ne!(first, second);
    assert_eq!(
        app.me(&first).await.error(),
        ("UNAUTHENTICATED", "TOKEN_INVALID")
    );
    assert_eq!(app.me(&second).await.at("/data/me/username"), "ada");
}
