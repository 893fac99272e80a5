//! Device sessions: start, list, renewal and revocation.

use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::Method;
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use sha2::Digest;

use crate::support::{Answer, PASSWORD, TestApp, digest_prefix, eventually, start_of_time};

const LIST: &str = "{ me { sessions { nodes {
    id device current createdAt lastUsedAt expiresAt address userAgent } } } }";

async fn with_ada() -> TestApp {
    let app = TestApp::start().await;
    app.register("ada").await;
    app
}

async fn sessions(app: &TestApp, token: &str) -> Vec<Value> {
    let answer = app.graphql(LIST).bearer(token).send().await;
    let nodes = answer.at("/data/me/sessions/nodes").as_array();
    nodes.unwrap_or_else(|| panic!("{answer:?}")).clone()
}

/// The names of the devices in the list of sessions; the shared session is null.
async fn devices(app: &TestApp, token: &str) -> Vec<Value> {
    let sessions = sessions(app, token).await;
    sessions
        .iter()
        .map(|session| session["device"].clone())
        .collect()
}

async fn id_of(app: &TestApp, token: &str) -> String {
    let sessions = sessions(app, token).await;
    let current = sessions.iter().find(|session| session["current"] == true);
    current.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn rows(app: &TestApp) -> Vec<entity::session::Model> {
    let database = app.database().await;
    let rows = entity::session::Entity::find().all(&database).await;
    database.close().await.unwrap();
    rows.unwrap()
}

async fn error(app: &TestApp, token: &str) -> (String, String) {
    let answer = app.me(token).await;
    let (code, reason) = answer.error();
    (code.to_owned(), reason.to_owned())
}

fn expired() -> (String, String) {
    ("UNAUTHENTICATED".to_owned(), "TOKEN_EXPIRED".to_owned())
}

#[tokio::test]
async fn each_device_session_has_its_own_token_and_the_shared_token_stays_the_same() {
    let app = with_ada().await;
    let shared = app.sign_in("ada").await;
    let before = app.row(1).await;
    let phone = app.sign_in_on("ada", "Ada's phone").await;
    let again = app.sign_in_on("ada", "Ada's phone").await;
    assert_ne!(phone, again);
    let random = phone.strip_prefix("symd_").unwrap();
    assert_eq!(random.len(), 38);
    assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    // The shared session is reused, and its columns have not changed.
    assert_eq!(app.sign_in("ada").await, shared);
    let after = app.row(1).await;
    assert_eq!(after.token_digest, before.token_digest);
    assert_eq!(after.token_nonce, before.token_nonce);
    assert_eq!(after.token_expiration, before.token_expiration);
    for token in [&shared, &phone, &again] {
        assert!(app.accepts(token).await);
    }
    // The database contains only the digest.
    let rows = rows(&app).await;
    let digest = sha2::Sha256::digest(&phone).to_vec();
    assert!(rows.iter().any(|row| row.digest == digest));
    assert!(!format!("{rows:?}").contains(&phone));
    // A token with a wrong character has a wrong checksum.
    let wrong = phone.replace(&phone[9..10], if &phone[9..10] == "0" { "1" } else { "0" });
    assert_eq!(error(&app, &wrong).await.1, "TOKEN_INVALID");
}

#[tokio::test]
async fn the_list_contains_all_live_sessions_with_their_details() {
    let app = with_ada().await;
    let create = app.graphql("mutation { createToken { token } }");
    let create = create
        .basic("ada", PASSWORD)
        .header("user-agent", b"Shared/1.0");
    let shared = create
        .send()
        .await
        .string("/data/createToken/token")
        .to_owned();
    app.advance(TimeDelta::seconds(10));
    let long = "x".repeat(300);
    let create = app.graphql(r#"mutation { createToken(device: "  my  phone ") { token } }"#);
    let create = create
        .basic("ada", PASSWORD)
        .header("user-agent", long.as_bytes());
    let phone = create
        .send()
        .await
        .string("/data/createToken/token")
        .to_owned();
    let list = sessions(&app, &phone).await;
    let id = digest_prefix(&phone);
    assert_eq!(list.len(), 2);
    assert_eq!(list[0]["device"], Value::Null);
    assert_eq!(list[0]["current"], false);
    assert_eq!(list[0]["userAgent"], "Shared/1.0");
    assert_eq!(list[0]["createdAt"], "2026-01-01T00:00:00.000+00:00");
    assert_eq!(list[0]["expiresAt"], "2026-01-01T01:00:00.000+00:00");
    assert_eq!(
        list[1],
        json!({
            "id": id, "device": "my phone", "current": true,
            "createdAt": "2026-01-01T00:00:10.000+00:00", "lastUsedAt": null,
            "expiresAt": "2026-01-01T01:00:10.000+00:00",
            "address": "127.0.0.1", "userAgent": "x".repeat(256),
        })
    );
    assert!(
        sessions(&app, &shared).await[0]["current"]
            .as_bool()
            .unwrap()
    );
    // Ended sessions are not listed, and other users have their own lists.
    app.register("bob").await;
    let bob = app.sign_in_on("bob", "desk").await;
    assert_eq!(devices(&app, &bob).await, ["desk"]);
    app.revoke(&shared).await;
    assert_eq!(devices(&app, &phone).await, ["my phone"]);
    // Admins see the sessions of others. Other users do not.
    let other = "{ user(username: \"ada\") { sessions { nodes { device } } } }";
    assert_eq!(
        app.graphql(other).bearer(&bob).send().await.error().0,
        "FORBIDDEN"
    );
    app.make_admin(2).await;
    let seen = app.graphql(other).bearer(&bob).send().await;
    assert_eq!(seen.at("/data/user/sessions/nodes/0/device"), "my phone");
}

#[tokio::test]
async fn the_last_use_of_each_session_is_written_later_and_at_most_once_a_minute() {
    let app = with_ada().await;
    let shared = app.sign_in("ada").await;
    let phone = app.sign_in_on("ada", "phone").await;
    for (index, token) in [&shared, &phone].into_iter().enumerate() {
        let last_used = async |expected: &str| {
            eventually("the last use", async || {
                let at = sessions(&app, token).await[index]["lastUsedAt"].clone();
                (at == expected).then_some(())
            })
            .await;
        };
        app.me(token).await;
        last_used("2026-01-01T00:00:00.000+00:00").await;
    }
    app.advance(TimeDelta::seconds(59));
    for token in [&shared, &phone] {
        app.me(token).await;
        // A change of the user invalidates the cached identity, so the next request reads the database.
        app.mutate(
            token,
            r#"updateUser(input: { username: "ada" }) { user { id } }"#,
        )
        .await;
    }
    app.advance(TimeDelta::seconds(1));
    for (index, token) in [&shared, &phone].into_iter().enumerate() {
        app.me(token).await;
        eventually("the last use a minute later", async || {
            let at = sessions(&app, token).await[index]["lastUsedAt"].clone();
            assert_ne!(at, "2026-01-01T00:00:59.000+00:00");
            (at == "2026-01-01T00:01:00.000+00:00").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_device_signs_out_another_device_within_one_request() {
    let app = with_ada().await;
    let shared = app.sign_in("ada").await;
    let phone = app.sign_in_on("ada", "phone").await;
    let laptop = app.sign_in_on("ada", "laptop").await;
    let access = app.access_token("ada", json!({ "name": "script" })).await;
    let id = id_of(&app, &laptop).await;
    let revoke = format!(r#"revokeSession(id: "{id}")"#);
    assert_eq!(
        app.mutate(&phone, &revoke).await.at("/data/revokeSession"),
        true
    );
    assert_eq!(error(&app, &laptop).await, expired());
    assert_eq!(
        app.mutate(&phone, &revoke).await.at("/data/revokeSession"),
        false
    );
    // The ids of other users and malformed ids match nothing.
    app.register("bob").await;
    let bob = app.sign_in_on("bob", "desk").await;
    let foreign = id_of(&app, &bob).await;
    for id in [&foreign, "", "0", &"f".repeat(20_000), &shared] {
        let revoke = format!(r#"revokeSession(id: "{id}")"#);
        assert_eq!(
            app.mutate(&phone, &revoke).await.at("/data/revokeSession"),
            false
        );
    }
    assert!(app.accepts(&bob).await);
    let others = app.mutate(&phone, "revokeOtherSessions").await;
    assert_eq!(others.at("/data/revokeOtherSessions"), 1);
    assert_eq!(error(&app, &shared).await, expired());
    assert!(app.accepts(&phone).await && app.accepts(&access).await && app.accepts(&bob).await);
    // With the password, no session is the current one.
    let all = app.mutate_as("ada", "revokeOtherSessions").await;
    assert_eq!(all.at("/data/revokeOtherSessions"), 1);
    assert_eq!(error(&app, &phone).await, expired());
    assert!(app.accepts(&access).await);
}

#[tokio::test]
async fn a_device_session_is_renewed_up_to_the_maximum_age() {
    let app = TestApp::configured(|config| config.session_max_age = 1).await;
    app.register("ada").await;
    let phone = app.sign_in_on("ada", "phone").await;
    let renew = "renewToken { token expiresAt }";
    app.advance(TimeDelta::minutes(30));
    // A later sign-in does not extend the maximum age of earlier device sessions.
    app.sign_in("ada").await;
    let renewed = app.mutate(&phone, renew).await;
    assert_eq!(renewed.at("/data/renewToken/token"), phone.as_str());
    assert_eq!(
        renewed.at("/data/renewToken/expiresAt"),
        "2026-01-01T01:30:00.000+00:00"
    );
    for _ in 0..60 {
        app.advance(TimeDelta::minutes(59));
        if !app.accepts(&phone).await {
            break;
        }
        app.mutate(&phone, renew).await;
    }
    let rows = rows(&app).await;
    let phone_row = rows.iter().find(|row| row.device.is_some()).unwrap();
    let end = (start_of_time() + TimeDelta::days(1)).timestamp_millis();
    assert_eq!(phone_row.expires_at, Some(end));
    assert_eq!(error(&app, &phone).await, expired());
    let late = app.mutate(&phone, renew).await;
    assert_eq!(late.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
    let create = r#"mutation { createToken(device: "tv", expiresIn: 120) { expiresIn } }"#;
    let short = app.graphql(create).basic("ada", PASSWORD).send().await;
    assert_eq!(short.at("/data/createToken/expiresIn"), 120);
}

#[tokio::test]
async fn an_ended_device_session_stays_ended_when_the_clock_moves_and_the_user_is_enabled() {
    let app = with_ada().await;
    app.register("root").await;
    app.make_admin(2).await;
    let phone = app.sign_in_on("ada", "phone").await;
    let laptop = app.sign_in_on("ada", "laptop").await;
    app.sign_in("ada").await;
    app.revoke(&phone).await;
    assert_eq!(error(&app, &phone).await, expired());
    app.advance(TimeDelta::days(-400));
    assert_eq!(error(&app, &phone).await, expired());
    // A session from the far future was issued while a clock was wrong.
    assert_eq!(error(&app, &laptop).await, expired());
    app.advance(TimeDelta::days(400));
    assert!(app.accepts(&laptop).await);
    app.mutate_as("root", "disableUser(id: 1) { user { id } }")
        .await;
    app.mutate_as("root", "enableUser(id: 1) { user { id } }")
        .await;
    assert_eq!(error(&app, &laptop).await, expired());
    // After 30 days, the row is deleted.
    app.advance(TimeDelta::days(31));
    app.operator().purge().await.unwrap();
    assert_eq!(error(&app, &laptop).await.1, "TOKEN_INVALID");
    assert_eq!(rows(&app).await.len(), 0);
}

#[tokio::test]
async fn a_sign_in_on_another_device_updates_the_cached_user() {
    let app = with_ada().await;
    let phone = app.sign_in_on("ada", "phone").await;
    let last_sign_in = async || {
        let me = app.graphql("{ me { lastSignInAt } }").bearer(&phone);
        me.send().await.string("/data/me/lastSignInAt").to_owned()
    };
    assert_eq!(last_sign_in().await, "2026-01-01T00:00:00.000+00:00");
    app.advance(TimeDelta::seconds(5));
    app.sign_in_on("ada", "laptop").await;
    assert_eq!(last_sign_in().await, "2026-01-01T00:00:05.000+00:00");
}

#[tokio::test]
async fn the_51st_device_session_replaces_the_oldest() {
    let app = TestApp::unthrottled().await;
    app.register("ada").await;
    let shared = app.sign_in("ada").await;
    let first = app.sign_in_on("ada", "device 0").await;
    let second = app.sign_in_on("ada", "device 1").await;
    for number in 2..50 {
        app.sign_in_on("ada", &format!("device {number}")).await;
    }
    assert!(app.accepts(&first).await);
    let last = app.sign_in_on("ada", "device 50").await;
    assert_eq!(error(&app, &first).await, expired());
    assert!(app.accepts(&second).await && app.accepts(&last).await && app.accepts(&shared).await);
    assert_eq!(sessions(&app, &shared).await.len(), 51);
    // The number of rows is limited as well, also if sessions are started concurrently.
    let starts = (0..70).map(|number| {
        let app = &app;
        async move { app.sign_in_on("ada", &format!("more {number}")).await }
    });
    join_all(starts).await;
    assert_eq!(rows(&app).await.len(), 101);
    assert_eq!(sessions(&app, &shared).await.len(), 51);
    // A clock that is set back revives expired sessions, but not more than the limit.
    app.advance(TimeDelta::hours(2));
    for number in 0..50 {
        app.sign_in_on("ada", &format!("later {number}")).await;
    }
    app.advance(TimeDelta::hours(-2));
    let shared = app.sign_in("ada").await;
    assert!(sessions(&app, &shared).await.len() <= 51);
    let events = "{ auditEvents(first: 1, kind: TOKEN_REVOKED) { nodes { count } } }";
    app.make_admin(1).await;
    let events = app.graphql(events).bearer(&shared).send().await;
    assert!(
        events.at("/data/auditEvents/nodes/0/count").is_number(),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_password_change_by_a_device_starts_a_new_session_of_this_device() {
    let app = with_ada().await;
    let shared = app.sign_in("ada").await;
    let phone = app.sign_in_on("ada", "phone").await;
    let laptop = app.sign_in_on("ada", "laptop").await;
    let change = format!(
        r#"changePassword(input: {{ currentPassword: "{PASSWORD}", newPassword: "a better password" }})
            {{ token {{ token user {{ username }} }} }}"#
    );
    let changed = app.mutate(&phone, &change).await;
    let new = changed
        .string("/data/changePassword/token/token")
        .to_owned();
    assert!(new.starts_with("symd_") && new != phone);
    for token in [&shared, &phone, &laptop] {
        assert_eq!(error(&app, token).await, expired());
    }
    assert_eq!(devices(&app, &new).await, ["phone"]);
}

#[tokio::test]
async fn invalid_device_names_are_refused_and_change_nothing() {
    let app = with_ada().await;
    let long = "x".repeat(65);
    for device in ["", " ", "a\u{7}b", &long, &"é".repeat(40_000)[..20_000]] {
        let document = "mutation($d: String) { createToken(device: $d) { token } }";
        let request = app.graphql_with(document, &json!({ "d": device }));
        let answer = request.basic("ada", PASSWORD).send().await;
        assert_eq!(answer.error().0, "BAD_USER_INPUT", "{device:?}");
    }
    let both = r#"mutation { createToken(device: "phone", fresh: true) { token } }"#;
    let both = app.graphql(both).basic("ada", PASSWORD).send().await;
    assert_eq!(both.error().0, "BAD_USER_INPUT");
    assert_eq!(rows(&app).await.len(), 0);
    let allowed = r#"mutation { createToken(device: "phone", fresh: false) { token } }"#;
    let allowed = app.graphql(allowed).basic("ada", PASSWORD).send().await;
    assert!(
        allowed
            .string("/data/createToken/token")
            .starts_with("symd_")
    );
    let null = "mutation { createToken(device: null) { token } }";
    let null = app.graphql(null).basic("ada", PASSWORD).send().await;
    assert_eq!(null.string("/data/createToken/token").len(), 32);
}

#[tokio::test]
async fn post_tokens_starts_a_device_session_only_if_the_body_names_a_device() {
    let app = with_ada().await;
    let shared = app.sign_in("ada").await;
    let post = async |body: &str| {
        let request = app.request(Method::POST, "/tokens").body(body.to_owned());
        Answer::of(request.basic_auth("ada", Some(PASSWORD))).await
    };
    for body in [
        "",
        " ",
        "device=phone",
        "[]",
        "null",
        "\"device\"",
        "{}",
        r#"{"device": null}"#,
        r#"{"Device": "phone"}"#,
        r#"[{"device": "phone"}]"#,
        "\u{0}",
    ] {
        let answer = post(body).await;
        assert_eq!(answer.at("/token"), shared.as_str(), "{body:?}");
    }
    let phone = post(r#" {"device": "phone", "other": 1} "#).await;
    let phone = phone.string("/token").to_owned();
    assert!(phone.starts_with("symd_"));
    assert_eq!(devices(&app, &phone).await, [Value::Null, json!("phone")]);
    for body in [
        r#"{"device": 1}"#,
        r#"{"device": ""}"#,
        r#"{"device": ["a"]}"#,
    ] {
        let answer = post(body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.at("/code"), "BAD_USER_INPUT", "{body}");
    }
    let large = post(&" ".repeat(70_000)).await;
    assert_eq!(
        (large.status.as_u16(), large.at("/code")),
        (413, &json!("PAYLOAD_TOO_LARGE"))
    );
    let delete = app.request(Method::DELETE, "/tokens").bearer_auth(&phone);
    assert_eq!(Answer::of(delete).await.status, 204);
    assert_eq!(error(&app, &phone).await, expired());
    assert!(app.accepts(&shared).await);
}
