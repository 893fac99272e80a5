//! One-time links: password reset and invitation, from the link to the new password.

mod killed_servers;
mod link_commands;

use chrono::TimeDelta;
use futures_util::future::join_all;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use sha2::Digest;
use symbolon::{Config, MutationError, Symbolon, UserId};

use crate::support::{Answer, Client, PASSWORD, Server, TestApp, digest_prefix};

const NEW: &str = "another good password";
const BASE: &str = "https://login.example.org/prefix";

const USED: &str = "This link has already been used. Sign in, or ask for a new link.";
const EXPIRED: &str = "This link has expired. Ask for a new link.";
const NOT_VALID: &str = "This link is not valid. Check that you opened the whole link and the latest one, or ask for a \
                         new link.";

/// Starts an app with the admin `root` (1) and the user `ada` (2).
async fn start() -> TestApp {
    configured(|_| {}).await
}

async fn configured(configure: impl FnOnce(&mut Config)) -> TestApp {
    let app = TestApp::configured(|config| {
        config.public_url = Some(format!("{BASE}/"));
        configure(config);
    })
    .await;
    app.register("root").await;
    app.register("ada").await;
    app.make_admin(1).await;
    app
}

async fn create_link(client: &Client, id: i64) -> Answer {
    let call = format!(
        "createResetLink(id: {id}) {{ link {{ url token expiresAt user {{ username }} }} userErrors {{ code field }} }}"
    );
    client.mutate_as("root", &call).await
}

/// Creates a reset link for a user, and returns its token.
async fn reset_token(client: &Client, id: i64) -> String {
    let answer = create_link(client, id).await;
    answer.string("/data/createResetLink/link/token").to_owned()
}

async fn invite(client: &Client, input: &str) -> Answer {
    let call = format!(
        "inviteUser(input: {input}) {{ user {{ id username role email }} link {{ url token expiresAt }} \
         userErrors {{ code field }} }}"
    );
    client.mutate_as("root", &call).await
}

async fn reset(client: &Client, token: &str, password: &str) -> Answer {
    let document =
        "mutation($t: String!, $p: String!) { resetPassword(token: $t, newPassword: $p) {
        user { id username } userErrors { code field message } } }";
    let variables = json!({ "t": token, "p": password });
    client.graphql_with(document, &variables).send().await
}

fn is_done(answer: &Answer) -> bool {
    answer.at("/data/resetPassword/user/username").is_string()
}

/// Returns the message with which the token was refused.
fn refusal(answer: &Answer) -> &str {
    let error = answer.at("/data/resetPassword/userErrors/0");
    assert_eq!(
        (&error["field"], &error["code"]),
        (&json!("token"), &json!("INVALID")),
        "{answer:?}"
    );
    answer.string("/data/resetPassword/userErrors/0/message")
}

async fn signs_in(client: &Client, username: &str, password: &str) -> bool {
    let create = client.graphql("mutation { createToken { token } }");
    let answer = create.basic(username, password).send().await;
    if answer.at("/data/createToken/token").is_string() {
        return true;
    }
    assert_eq!(answer.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    false
}

async fn rows(app: &TestApp) -> Vec<entity::one_time_token::Model> {
    let database = app.database().await;
    let rows = entity::one_time_token::Entity::find().all(&database).await;
    database.close().await.unwrap();
    rows.unwrap()
}

#[tokio::test]
async fn a_reset_replaces_the_password_and_ends_every_credential() {
    let app = start().await;
    let session = app.sign_in("ada").await;
    let access = app.access_token("ada", json!({ "name": "laptop" })).await;
    assert!(app.accepts(&session).await && app.accepts(&access).await);
    let created = create_link(&app, 2).await;
    let link = created.at("/data/createResetLink/link");
    let token = link["token"].as_str().unwrap();
    assert_eq!(token.strip_prefix("symo_").map(str::len), Some(38));
    assert_eq!(
        link,
        &json!({
            "url": format!("{BASE}/reset#token={token}&username=ada"),
            "token": token,
            "expiresAt": "2026-01-01T00:15:00.000+00:00",
            "user": { "username": "ada" },
        })
    );
    // Creating a link ends nothing.
    assert!(app.accepts(&session).await);

    let done = reset(&app, token, NEW).await;
    let expected =
        json!({ "resetPassword": { "user": { "id": "2", "username": "ada" }, "userErrors": [] } });
    assert_eq!(done.at("/data"), &expected);
    let refused = app.me(&session).await;
    assert_eq!(refused.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
    let refused = app.me(&access).await;
    assert_eq!(refused.error(), ("UNAUTHENTICATED", "TOKEN_INVALID"));
    assert!(!signs_in(&app, "ada", PASSWORD).await);
    // The token is no credential.
    assert!(!app.accepts(token).await && !signs_in(&app, "ada", token).await);
    assert!(signs_in(&app, "ada", NEW).await);

    let document = "{ auditEvents(userId: 2, first: 20) {
        nodes { kind actorType actorId credentialType credentialId token } } }";
    let request = app.graphql(document).bearer(&app.sign_in("root").await);
    let answer = request.send().await;
    let events = answer.at("/data/auditEvents/nodes").as_array().unwrap();
    let find = |kind: &str| {
        let event = events.iter().find(|event| event["kind"] == kind);
        event.unwrap_or_else(|| panic!("{kind} is not in {events:?}"))
    };
    assert_eq!(find("RESET_LINK_CREATED")["token"], digest_prefix(token));
    assert_eq!(find("RESET_LINK_CREATED")["actorId"], "1");
    assert_eq!(
        find("PASSWORD_CHANGED"),
        &json!({
            "kind": "PASSWORD_CHANGED",
            "actorType": "USER",
            "actorId": "2",
            "credentialType": "ONE_TIME_TOKEN",
            "credentialId": digest_prefix(token),
            "token": null,
        })
    );
    let revoked = events
        .iter()
        .filter(|event| event["kind"] == "TOKEN_REVOKED");
    assert_eq!(revoked.count(), 2);
    assert!(!answer.body.to_string().contains(token));
}

#[tokio::test]
async fn an_invited_user_chooses_the_first_password() {
    let app = start().await;
    let invited = invite(
        &app,
        r#"{ username: "Čapek", email: "c@example.org", role: ADMIN }"#,
    )
    .await;
    let first = invited.string("/data/inviteUser/link/token").to_owned();
    assert_eq!(
        invited.at("/data/inviteUser"),
        &json!({
            "user": { "id": "3", "username": "Čapek", "role": "ADMIN", "email": "c@example.org" },
            "link": {
                "url": format!("{BASE}/invite#token={first}&username=%C4%8Capek"),
                "token": first,
                "expiresAt": "2026-01-08T00:00:00.000+00:00",
            },
            "userErrors": [],
        })
    );
    for password in ["!", "", "*", &first, PASSWORD] {
        assert!(!signs_in(&app, "čapek", password).await, "{password}");
    }
    // Another invitation returns a new link and ends the first one.
    for (input, problem) in [
        (
            r#"{ username: "čapek", role: USER }"#,
            json!({ "field": "role", "code": "INVALID" }),
        ),
        (
            r#"{ username: "čapek", email: "d@example.org" }"#,
            json!({ "field": "email", "code": "INVALID" }),
        ),
        (
            r#"{ username: "ada" }"#,
            json!({ "field": "username", "code": "TAKEN" }),
        ),
        (
            r#"{ username: "new", email: "c@example.org" }"#,
            json!({ "field": "email", "code": "TAKEN" }),
        ),
        (
            r#"{ username: "" }"#,
            json!({ "field": "username", "code": "BLANK" }),
        ),
    ] {
        let refused = invite(&app, input).await;
        assert_eq!(
            refused.at("/data/inviteUser/userErrors"),
            &json!([problem]),
            "{input}"
        );
        assert!(refused.at("/data/inviteUser/link").is_null());
    }
    let again = invite(&app, r#"{ username: "čapek", email: "C@example.org" }"#).await;
    let second = again.string("/data/inviteUser/link/token").to_owned();
    assert_eq!(again.at("/data/inviteUser/user/id"), "3");
    assert_eq!(rows(&app).await.len(), 1);
    assert_eq!(refusal(&reset(&app, &first, NEW).await), NOT_VALID);
    assert!(is_done(&reset(&app, &second, NEW).await));
    assert!(signs_in(&app, "čapek", NEW).await);
    let taken = invite(&app, r#"{ username: "čapek" }"#).await;
    assert_eq!(taken.at("/data/inviteUser/userErrors/0/code"), "TAKEN");
    assert_eq!(refusal(&reset(&app, &second, PASSWORD).await), USED);
    // The default role.
    let user = invite(&app, r#"{ username: "eve" }"#).await;
    assert_eq!(user.at("/data/inviteUser/user/role"), "USER");
}

#[tokio::test]
async fn an_invited_user_takes_as_long_to_refuse_as_an_unknown_user() {
    let app = configured(|config| {
        config.argon2_memory = 16_384;
        config.argon2_iterations = 3;
    })
    .await;
    invite(&app, r#"{ username: "bob" }"#).await;
    let time = async |username: &str| {
        let started = std::time::Instant::now();
        assert!(!signs_in(&app, username, "wrong").await);
        started.elapsed()
    };
    // The load of the machine delays single requests, so the shortest times are compared.
    let (mut unknown, mut invited) = (std::time::Duration::MAX, std::time::Duration::MAX);
    for _ in 0..40 {
        unknown = unknown.min(time("nobody").await);
        invited = invited.min(time("bob").await);
        if invited * 2 > unknown && unknown * 2 > invited {
            return;
        }
    }
    panic!("{invited:?}, {unknown:?}");
}

#[tokio::test]
async fn a_verified_password_issues_no_token_after_the_same_request_has_ended_it() {
    let app = start().await;
    app.make_admin(2).await;
    let token = reset_token(&app, 2).await;
    let reset =
        format!(r#"resetPassword(token: "{token}", newPassword: "{NEW}") {{ user {{ id }} }}"#);
    for (password, end) in [
        (PASSWORD, reset),
        (NEW, "disableUser(id: 2) { user { id } }".to_owned()),
    ] {
        let document = format!(
            r#"mutation {{ first: createToken {{ token }} end: {end}
                shared: createToken(fresh: true) {{ token }} device: createToken(device: "tv") {{ token }} }}"#
        );
        let answer = app.graphql(&document).basic("ada", password).send().await;
        assert_eq!(
            answer.error(),
            ("UNAUTHENTICATED", "INVALID_CREDENTIALS"),
            "{end}"
        );
        assert_eq!(answer.at("/errors/0/path/0"), "shared", "{end}");
        let row = app.row(2).await;
        assert!(row.token_nonce.is_none(), "{end}");
    }
}

#[tokio::test]
async fn an_unusable_token_is_refused_with_the_reason() {
    let app = start().await;
    let replaced = reset_token(&app, 2).await;
    let expiring = reset_token(&app, 2).await;
    let access = app.access_token("ada", json!({ "name": "laptop" })).await;
    let (start, last) = expiring.split_at(expiring.len() - 1);
    let wrong_checksum = format!("{start}{}", if last == "0" { "1" } else { "0" });
    for token in [
        "",
        "symo_",
        &replaced,
        &wrong_checksum,
        &format!("{expiring} "),
        &access,
        &"symo_0".repeat(1000),
        // A well-formed token that was never issued.
        "symo_000000000000000000000000000000003rrNMw",
    ] {
        assert_eq!(
            refusal(&reset(&app, token, NEW).await),
            NOT_VALID,
            "{token}"
        );
    }
    app.advance(TimeDelta::milliseconds(899_999));
    let weak = reset(&app, &expiring, "short").await;
    assert_eq!(
        weak.at("/data/resetPassword/userErrors/0/field"),
        "newPassword"
    );
    app.advance(TimeDelta::milliseconds(1));
    assert_eq!(refusal(&reset(&app, &expiring, NEW).await), EXPIRED);
    // A token from the future was issued while a clock was wrong.
    let future = reset_token(&app, 2).await;
    app.advance(TimeDelta::seconds(-61));
    assert_eq!(refusal(&reset(&app, &future, NEW).await), EXPIRED);
    app.advance(TimeDelta::seconds(61));

    let token = reset_token(&app, 2).await;
    // A token whose deletion failed to reach the user who was disabled.
    app.sql("UPDATE symbolon_user SET disabled_at = 1 WHERE id = 2")
        .await;
    assert_eq!(refusal(&reset(&app, &token, NEW).await), NOT_VALID);
    let refused = create_link(&app, 2).await;
    assert_eq!(
        refused.at("/data/createResetLink"),
        &json!({ "link": null, "userErrors": [{ "code": "INVALID", "field": "id" }] })
    );
    app.sql("UPDATE symbolon_user SET disabled_at = NULL WHERE id = 2")
        .await;
    assert!(is_done(&reset(&app, &token, NEW).await));
    assert_eq!(refusal(&reset(&app, &token, PASSWORD).await), USED);
    assert!(signs_in(&app, "ada", NEW).await);
    let unknown = create_link(&app, 99).await;
    let error = unknown.at("/data/createResetLink/userErrors/0");
    assert_eq!(error, &json!({ "code": "INVALID", "field": "id" }));
}

#[tokio::test]
async fn one_of_several_concurrent_uses_of_a_token_succeeds() {
    let app = configured(|config| config.throttle.enabled = false).await;
    for round in 0..5 {
        let token = reset_token(&app, 2).await;
        let passwords: Vec<_> = (0..8)
            .map(|n| format!("a good password {round}-{n}"))
            .collect();
        let uses = passwords
            .iter()
            .map(|password| reset(&app, &token, password));
        let answers = join_all(uses).await;
        let winners: Vec<_> = (0..8).filter(|&n| is_done(&answers[n])).collect();
        let [winner] = winners[..] else {
            panic!("{winners:?}: {answers:?}");
        };
        for (n, answer) in answers.iter().enumerate() {
            if n != winner {
                assert_eq!(refusal(answer), USED);
            }
            assert_eq!(signs_in(&app, "ada", &passwords[n]).await, n == winner);
        }
    }
}

#[tokio::test]
async fn concurrent_links_leave_one_live_token() {
    let app = start().await;
    let tokens = join_all((0..8).map(|_| reset_token(&app, 2))).await;
    assert_eq!(rows(&app).await.len(), 1);
    let mut done = 0;
    for token in &tokens {
        done += i32::from(is_done(&reset(&app, token, NEW).await));
    }
    assert_eq!(done, 1);
    let invite = || invite(&app, r#"{ username: "bob" }"#);
    invite().await;
    join_all((0..8).map(|_| invite())).await;
    assert_eq!(
        rows(&app)
            .await
            .iter()
            .filter(|row| row.used_at.is_none())
            .count(),
        1
    );
}

/// Each way that deletes the unused tokens of a user.
const WAYS: &[&str] = &[
    "changePassword",
    "setUserPassword",
    "resetPassword with another token",
    "revokeAllTokens",
    "revokeUserTokens",
    "disableUser",
    "deleteUser",
    "Operator::set_password",
    "Operator::revoke_tokens",
    "Operator::revoke_all_tokens",
    "Operator::disable",
    "nothing",
];

#[tokio::test]
async fn each_change_of_the_password_and_each_revocation_deletes_unused_tokens() {
    let app = configured(|config| config.throttle.enabled = false).await;
    for (number, way) in WAYS.iter().enumerate() {
        let name = format!("user{number}");
        let invited = invite(&app, &format!(r#"{{ username: "{name}" }}"#)).await;
        let invitation = invited.string("/data/inviteUser/link/token").to_owned();
        let id: i64 = invited.string("/data/inviteUser/user/id").parse().unwrap();
        if ["changePassword", "revokeAllTokens"].contains(way) {
            // Only users with a password can do this.
            assert!(is_done(&reset(&app, &invitation, PASSWORD).await));
        }
        let token = reset_token(&app, id).await;
        let user: UserId = id.to_string().parse().unwrap();
        let operator = app.operator();
        let admin = async |call: String| {
            let answer = app.mutate_as("root", &call).await;
            assert!(answer.at("/errors").is_null(), "{way}: {answer:?}");
        };
        match *way {
            "changePassword" => {
                let session = app.sign_in(&name).await;
                let input = format!(r#"{{ currentPassword: "{PASSWORD}", newPassword: "{NEW}" }}"#);
                let call = format!("changePassword(input: {input}) {{ token {{ token }} }}");
                let changed = app.mutate(&session, &call).await;
                changed.string("/data/changePassword/token/token");
            }
            "setUserPassword" => {
                let input = format!(r#"{{ id: {id}, newPassword: "{NEW}" }}"#);
                admin(format!(
                    "setUserPassword(input: {input}) {{ user {{ id }} }}"
                ))
                .await;
            }
            "resetPassword with another token" => {
                assert!(is_done(&reset(&app, &invitation, NEW).await));
            }
            "revokeAllTokens" => {
                // The token is not counted.
                let revoked = app.mutate_as(&name, "revokeAllTokens").await;
                assert_eq!(revoked.at("/data/revokeAllTokens"), 0);
            }
            "revokeUserTokens" => admin(format!("revokeUserTokens(id: {id})")).await,
            "disableUser" => admin(format!("disableUser(id: {id}) {{ user {{ id }} }}")).await,
            "deleteUser" => {
                admin(format!(
                    "deleteUser(input: {{ id: {id} }}) {{ deletedUserId }}"
                ))
                .await;
            }
            "Operator::set_password" => drop(operator.set_password(user, NEW).await.unwrap()),
            "Operator::revoke_tokens" => {
                assert_eq!(operator.revoke_tokens(user).await.unwrap(), 0);
            }
            "Operator::revoke_all_tokens" => drop(operator.revoke_all_tokens().await.unwrap()),
            "Operator::disable" => drop(operator.disable(user).await.unwrap()),
            _ => {}
        }
        let of_user = rows(&app).await.into_iter().filter(|row| row.user_id == id);
        let unused = of_user.filter(|row| row.used_at.is_none()).count();
        if way.contains("isable") {
            operator.enable(user).await.unwrap();
        }
        let answer = reset(&app, &token, "one more good password").await;
        if *way == "nothing" {
            assert!(is_done(&answer) && unused == 2, "{answer:?}");
        } else {
            assert_eq!((refusal(&answer), unused), (NOT_VALID, 0), "{way}");
        }
    }
}

#[tokio::test]
async fn a_deleted_user_leaves_no_token() {
    let app = start().await;
    let token = reset_token(&app, 2).await;
    assert!(is_done(&reset(&app, &token, NEW).await));
    reset_token(&app, 2).await;
    assert_eq!(rows(&app).await.len(), 2);
    app.mutate_as("root", "deleteUser(input: { id: 2 }) { deletedUserId }")
        .await;
    assert!(rows(&app).await.is_empty());
}

#[tokio::test]
async fn a_refused_password_does_not_use_up_the_token() {
    let app = start().await;
    let token = reset_token(&app, 2).await;
    for (password, code) in [
        ("", "BLANK"),
        ("short", "TOO_SHORT"),
        (&"x".repeat(129), "TOO_LONG"),
        ("password123", "PASSWORD_TOO_COMMON"),
        ("a\u{7}bcdefgh", "INVALID"),
    ] {
        let answer = reset(&app, &token, password).await;
        let error = answer.at("/data/resetPassword/userErrors/0");
        assert_eq!(
            (&error["field"], &error["code"]),
            (&json!("newPassword"), &json!(code))
        );
    }
    assert!(is_done(&reset(&app, &token, NEW).await));
    let token = reset_token(&app, 1).await;
    let answer = reset(&app, &token, "my-Root-password").await;
    let code = answer.at("/data/resetPassword/userErrors/0/code");
    assert_eq!(code, "PASSWORD_CONTAINS_USERNAME");
}

#[tokio::test]
async fn a_reset_clears_the_throttle_of_the_user() {
    let app = start().await;
    let throttled = async || {
        let create = app.graphql("mutation { createToken { token } }");
        let answer = create.basic("ada", "wrong").send().await;
        answer.error().0 == "RATE_LIMITED"
    };
    while !throttled().await {}
    let token = reset_token(&app, 2).await;
    assert!(is_done(&reset(&app, &token, NEW).await));
    assert!(signs_in(&app, "ada", NEW).await);
}

#[tokio::test]
async fn an_unknown_token_and_a_refused_password_cost_no_hash() {
    // Only the throttle admits requests to the hash queue, and it admits one change per address.
    let app = configured(|config| config.throttle.registrations = "4/1".parse().unwrap()).await;
    let tokens = [reset_token(&app, 1).await, reset_token(&app, 2).await];
    for _ in 0..10 {
        let unknown = "symo_000000000000000000000000000000003rrNMw";
        assert_eq!(refusal(&reset(&app, unknown, NEW).await), NOT_VALID);
        assert!(!is_done(&reset(&app, &tokens[1], "short").await));
    }
    // Two registrations and two resets.
    for token in &tokens {
        assert!(is_done(&reset(&app, token, NEW).await));
    }
    let mut operator_link = app.operator().create_reset_link("2".parse().unwrap()).await;
    let (_, link) = operator_link.as_mut().unwrap();
    let limited = reset(&app, link.token(), NEW).await;
    assert_eq!(limited.error().0, "RATE_LIMITED");
    app.advance(TimeDelta::hours(2));
    // A request computes at most one new hash. The first reset is done.
    let chosen = "one more good password";
    let token = app.operator().create_reset_link("1".parse().unwrap()).await;
    let token = token.unwrap().1.token().to_owned();
    let other = app.operator().create_reset_link("2".parse().unwrap()).await;
    let other = other.unwrap().1.token().to_owned();
    let call = |token: &str| {
        format!(r#"resetPassword(token: "{token}", newPassword: "{chosen}") {{ user {{ id }} }}"#)
    };
    let document = format!(
        "mutation {{ a: {} b: {} c: {} }}",
        call("x"),
        call(&other),
        call(&token)
    );
    let answer = app.graphql(&document).send().await;
    assert_eq!(answer.error().0, "LIMIT_EXCEEDED");
    assert!(signs_in(&app, "ada", chosen).await && !signs_in(&app, "root", chosen).await);
}

#[tokio::test]
async fn links_begin_with_the_configured_url_and_not_with_the_host_header() {
    let app = start().await;
    for header in ["host", "x-forwarded-host", "forwarded"] {
        let create = app.graphql("mutation { createResetLink(id: 2) { link { url } } }");
        let value = if header == "forwarded" {
            "host=evil.example"
        } else {
            "evil.example"
        };
        let request = create
            .header(header, value.as_bytes())
            .basic("root", PASSWORD);
        let answer = request.header("x-forwarded-proto", b"http").send().await;
        let url = answer.string("/data/createResetLink/link/url");
        assert!(
            url.starts_with(&format!("{BASE}/reset#token=symo_")),
            "{url}"
        );
    }
    // The application's own page serves only resets.
    let app = app
        .restart(|config| {
            config.public_url = None;
            config.reset_page = Some("https://app.example.org/new?lang=de".to_owned());
        })
        .await;
    let created = create_link(&app, 2).await;
    let url = created.string("/data/createResetLink/link/url");
    assert!(
        url.starts_with("https://app.example.org/new?lang=de#token=symo_"),
        "{url}"
    );
    let before = rows(&app).await;
    let refused = invite(&app, r#"{ username: "bob" }"#).await;
    assert_eq!(refused.error().0, "BAD_USER_INPUT");
    let app = app.restart(|config| config.public_url = None).await;
    let refused = create_link(&app, 2).await;
    assert_eq!(refused.error().0, "BAD_USER_INPUT");
    let message = refused.string("/errors/0/message");
    assert!(message.contains("SYMBOLON_PUBLIC_URL"), "{message}");
    let by_operator = app.operator().create_reset_link("2".parse().unwrap()).await;
    assert!(matches!(
        by_operator,
        Err(MutationError::Error(symbolon::Error::BadUserInput(_)))
    ));
    assert_eq!(rows(&app).await, before);
    let database = app.database().await;
    let users = entity::user::Entity::find().count(&database).await.unwrap();
    database.close().await.unwrap();
    assert_eq!(users, 2);
}

#[tokio::test]
async fn an_invalid_url_for_links_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let bad = [
        "",
        "login.example.org",
        "//login.example.org",
        "ftp://login.example.org",
        "javascript:alert(1)",
        "https://",
        "https://ada:secret@login.example.org",
        "https://login.example.org/#x",
    ];
    for url in bad.into_iter().chain(["https://login.example.org/?x=1"]) {
        let mut config = Config::new(format!("sqlite://{}", folder.path().join("a.db").display()));
        config.public_url = Some(url.to_owned());
        let refused = Symbolon::open(config).await.unwrap_err().to_string();
        assert!(refused.contains("the public URL"), "{url}: {refused}");
        assert!(!refused.contains("secret"));
    }
    for url in bad {
        let mut config = Config::new(format!("sqlite://{}", folder.path().join("a.db").display()));
        config.reset_page = Some(url.to_owned());
        let refused = Symbolon::open(config).await.unwrap_err().to_string();
        assert!(refused.contains("the reset page"), "{url}: {refused}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_invited_admin_does_not_count_as_an_admin_who_can_sign_in() {
    let app = start().await;
    let invited = invite(&app, r#"{ username: "eve", role: ADMIN }"#).await;
    let token = invited.string("/data/inviteUser/link/token").to_owned();
    let lower = "setUserRole(id: 1, role: USER) { userErrors { code } }";
    let refused = app.mutate_as("root", lower).await;
    assert_eq!(
        refused.at("/data/setUserRole/userErrors/0/code"),
        "LAST_ADMIN"
    );
    assert!(is_done(&reset(&app, &token, NEW).await));
    let lowered = app.mutate_as("root", lower).await;
    assert_eq!(lowered.at("/data/setUserRole/userErrors"), &json!([]));
}

#[tokio::test]
async fn tokens_are_purged_30_days_after_their_end() {
    let app = start().await;
    let token = reset_token(&app, 2).await;
    assert!(is_done(&reset(&app, &token, NEW).await));
    let expiring = reset_token(&app, 2).await;
    app.advance(TimeDelta::days(30));
    app.operator().purge().await.unwrap();
    assert_eq!(refusal(&reset(&app, &token, NEW).await), USED);
    app.advance(TimeDelta::milliseconds(1));
    app.operator().purge().await.unwrap();
    assert_eq!(refusal(&reset(&app, &token, NEW).await), NOT_VALID);
    assert_eq!(refusal(&reset(&app, &expiring, NEW).await), EXPIRED);
    app.advance(TimeDelta::minutes(15));
    app.operator().purge().await.unwrap();
    assert_eq!(refusal(&reset(&app, &expiring, NEW).await), NOT_VALID);
    assert!(rows(&app).await.is_empty());
}

#[tokio::test]
async fn only_an_admin_with_the_password_creates_links() {
    let app = start().await;
    let root = app.sign_in("root").await;
    let access = app.access_token("root", json!({ "name": "all" })).await;
    for call in [
        "createResetLink(id: 2) { link { url } }",
        r#"inviteUser(input: { username: "bob" }) { link { url } }"#,
    ] {
        let document = format!("mutation {{ {call} }}");
        let anonymous = app.graphql(&document).send().await;
        assert_eq!(anonymous.error(), ("UNAUTHENTICATED", "MISSING"));
        for token in [&root, &access] {
            let refused = app.mutate(token, call).await;
            assert_eq!(refused.error(), ("FORBIDDEN", "PASSWORD_REQUIRED"));
        }
        let refused = app.mutate_as("ada", call).await;
        assert_eq!(refused.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
        let wrong = app.graphql(&document).basic("root", "wrong").send().await;
        assert_eq!(wrong.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    }
    assert!(rows(&app).await.is_empty());
}

#[tokio::test]
async fn the_trace_log_and_the_database_contain_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command| {
        command
            .env("SYMBOLON_LOG", "trace")
            .env("SYMBOLON_PUBLIC_URL", BASE);
    });
    server.register("root").await;
    server.register("ada").await;
    crate::support::succeed(
        crate::support::symbolon(folder.path()).args(["user", "set-role", "root", "admin"]),
    );
    let token = reset_token(&server, 2).await;
    let invited = invite(&server, r#"{ username: "bob" }"#).await;
    let invitation = invited.string("/data/inviteUser/link/token").to_owned();
    // The token and the password are in the document itself.
    let mut last = String::new();
    for (token, password) in [
        (&token, "short"),
        (&token, NEW),
        (&token, NEW),
        (&invitation, NEW),
    ] {
        let call = format!(
            r#"resetPassword(token: "{token}", newPassword: "{password}") {{ user {{ id }} }}"#
        );
        let answer = server
            .graphql(&format!("mutation {{ {call} }}"))
            .send()
            .await;
        assert!(answer.at("/errors").is_null(), "{answer:?}");
        last = answer.header("x-request-id").to_owned();
        // A syntax error in a document with a token.
        server.graphql(&format!("mutation {{ {call} ")).send().await;
        let path = format!("/reset?token={token}");
        Answer::of(server.request(reqwest::Method::GET, &path)).await;
    }
    let log = server.log_when(|log| log.contains(&last));
    let database = crate::support::database_in(folder.path()).await;
    let tokens = entity::one_time_token::Entity::find()
        .all(&database)
        .await
        .unwrap();
    let events = entity::audit_event::Entity::find()
        .all(&database)
        .await
        .unwrap();
    database.close().await.unwrap();
    let stored = format!("{tokens:?} {events:?}");
    assert!(log.contains("RESET_LINK_CREATED") && stored.contains("ONE_TIME_TOKEN"));
    for token in [&token, &invitation] {
        assert!(log.contains(&digest_prefix(token)) && stored.contains(&digest_prefix(token)));
        let digest = sha2::Sha256::digest(token.as_str()).to_vec();
        assert!(tokens.iter().any(|row| row.digest == digest));
        let random = &token["symo_".len()..];
        assert!(!log.contains(random) && !stored.contains(random));
    }
    assert!(!log.contains(NEW) && !log.contains(BASE));
}

#[tokio::test]
async fn a_second_instance_refuses_a_used_token_and_the_old_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        Server::configured(folder.path(), |command| {
            command.env("SYMBOLON_PUBLIC_URL", BASE);
        })
    };
    let (one, two) = (start(), start());
    one.register("root").await;
    one.register("ada").await;
    crate::support::succeed(
        crate::support::symbolon(folder.path()).args(["user", "set-role", "root", "admin"]),
    );
    let session = two.sign_in("ada").await;
    assert!(two.accepts(&session).await);
    let token = reset_token(&one, 2).await;
    assert!(is_done(&reset(&one, &token, NEW).await));
    assert_eq!(refusal(&reset(&two, &token, PASSWORD).await), USED);
    let is_refused = |answer: &Answer| answer.at("/data/me") == &Value::Null;
    let refused =
        crate::support::poll_until_propagated(async || two.me(&session).await, is_refused);
    assert_eq!(refused.await.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
    assert!(!signs_in(&two, "ada", PASSWORD).await && signs_in(&two, "ada", NEW).await);
}
