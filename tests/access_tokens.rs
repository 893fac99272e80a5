//! Access tokens: creation, scopes, listing, last use and revocation.

use chrono::TimeDelta;
use futures_util::future::join_all;
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use sha2::Digest;

use crate::support::{Answer, GraphqlRequest, PASSWORD, TestApp, eventually};

const CREATE: &str = "mutation($i: CreateAccessTokenInput!) { createAccessToken(input: $i) {
    token accessToken { id name scopes createdAt expiresAt lastUsedAt } userErrors { code field } } }";

pub async fn create(app: &TestApp, input: Value) -> Answer {
    let request = app.graphql_with(CREATE, &json!({ "i": input }));
    request.basic("ada", PASSWORD).send().await
}

/// Creates an access token of `ada` and returns it.
pub async fn made(app: &TestApp, input: Value) -> String {
    app.access_token("ada", input).await
}

pub fn problems(answer: &Answer) -> Vec<String> {
    let errors = answer.at("/data/createAccessToken/userErrors").as_array();
    let errors = errors.unwrap_or_else(|| panic!("{answer:?}")).iter();
    errors
        .map(|error| format!("{}: {}", error["field"], error["code"]).replace('"', ""))
        .collect()
}

pub async fn with_ada() -> (TestApp, String) {
    let app = TestApp::start().await;
    app.register("ada").await;
    let session = app.sign_in("ada").await;
    (app, session)
}

#[tokio::test]
async fn an_access_token_is_shown_once_and_stored_as_a_digest() {
    let (app, session) = with_ada().await;
    let input = json!({ "name": " My  laptop ", "scopes": ["notes:read", "a", "a"] });
    let answer = create(&app, input).await;
    let token = answer.at("/data/createAccessToken/token").as_str().unwrap();
    let random = token.strip_prefix("sym_").unwrap();
    assert_eq!(random.len(), 38);
    assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(
        answer.at("/data/createAccessToken/accessToken"),
        &json!({
            "id": "1",
            "name": "My laptop",
            "scopes": ["a", "notes:read"],
            "createdAt": "2026-01-01T00:00:00.000+00:00",
            "expiresAt": null,
            "lastUsedAt": null,
        })
    );
    let database = app.database().await;
    let row = entity::access_token::Entity::find().one(&database).await;
    database.close().await.unwrap();
    assert_eq!(
        row.unwrap().unwrap().digest,
        sha2::Sha256::digest(token).to_vec()
    );
    assert_eq!(app.me(token).await.at("/data/me/username"), "ada");
    // The session stays live.
    assert_eq!(app.me(&session).await.at("/data/me/username"), "ada");
}

#[tokio::test]
async fn an_access_token_outlives_the_session_of_its_user() {
    let (app, session) = with_ada().await;
    let request = app.graphql_with(CREATE, &json!({ "i": { "name": "phone" } }));
    let answer = request.basic("ada", PASSWORD).send().await;
    let token = answer.at("/data/createAccessToken/token").as_str().unwrap();
    app.revoke(&session).await;
    assert_eq!(app.me(token).await.at("/data/me/username"), "ada");
    let request = app.graphql_with(CREATE, &json!({ "i": { "name": "other" } }));
    let refused = request.basic("ada", "wrong").send().await;
    assert_eq!(refused.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    let request = app.graphql_with(CREATE, &json!({ "i": { "name": "other" } }));
    assert_eq!(request.send().await.error(), ("UNAUTHENTICATED", "MISSING"));
}

#[tokio::test]
async fn invalid_access_token_input_is_reported_for_each_field() {
    let (app, _) = with_ada().await;
    made(&app, json!({ "name": "laptop" })).await;
    let many: Vec<_> = (0..33).map(|number| format!("s{number}")).collect();
    for (input, errors) in [
        (json!({ "name": "laptop" }), vec!["name: TAKEN"]),
        (json!({ "name": " " }), vec!["name: BLANK"]),
        (json!({ "name": "x".repeat(65) }), vec!["name: TOO_LONG"]),
        (json!({ "name": "a\u{7}" }), vec!["name: INVALID"]),
        (
            json!({ "name": "a", "scopes": [] }),
            vec!["scopes: INVALID"],
        ),
        (
            json!({ "name": "a", "scopes": ["a b"] }),
            vec!["scopes: INVALID"],
        ),
        (
            json!({ "name": "a", "scopes": [""] }),
            vec!["scopes: INVALID"],
        ),
        (
            json!({ "name": "a", "scopes": many }),
            vec!["scopes: INVALID"],
        ),
        (
            json!({ "name": "a", "expiresIn": 0 }),
            vec!["expiresIn: INVALID"],
        ),
        (
            json!({ "name": "a", "expiresAt": "2026-01-01T00:00:00Z" }),
            vec!["expiresAt: INVALID"],
        ),
        (
            json!({ "name": "a", "expiresIn": 60, "expiresAt": "2027-01-01T00:00:00Z" }),
            vec!["expiresAt: INVALID"],
        ),
        (
            json!({ "name": "", "scopes": ["é"], "expiresIn": -1 }),
            vec!["name: BLANK", "scopes: INVALID", "expiresIn: INVALID"],
        ),
    ] {
        let answer = create(&app, input).await;
        assert_eq!(problems(&answer), errors);
        assert_eq!(answer.at("/data/createAccessToken/token"), &Value::Null);
    }
}

#[tokio::test]
async fn an_access_token_expires_at_its_expiration() {
    let (app, _) = with_ada().await;
    let relative = made(&app, json!({ "name": "a", "expiresIn": 90 })).await;
    let at = "2026-01-01T00:02:00Z";
    let absolute = made(&app, json!({ "name": "b", "expiresAt": at })).await;
    for (seconds, alive) in [(89, [true, true]), (1, [false, true]), (30, [false, false])] {
        app.advance(TimeDelta::seconds(seconds));
        for (token, alive) in [&relative, &absolute].into_iter().zip(alive) {
            let answer = app.me(token).await;
            if alive {
                assert_eq!(answer.at("/data/me/username"), "ada");
            } else {
                assert_eq!(answer.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
            }
        }
    }
    let dead = app.revoke(&relative).await;
    assert_eq!(dead.at("/data/revokeToken"), false);
}

#[tokio::test]
async fn a_malformed_access_token_is_invalid() {
    let (app, _) = with_ada().await;
    let token = made(&app, json!({ "name": "laptop" })).await;
    let (rest, last) = token.split_at(token.len() - 1);
    let other = if last == "0" { "1" } else { "0" };
    for wrong in [
        format!("{rest}{other}"),
        rest.to_owned(),
        "sym_".to_owned(),
        token.replace("sym_", "SYM_"),
        format!("sym_{}", "0".repeat(38)),
    ] {
        let answer = app.me(&wrong).await;
        assert_eq!(
            answer.error(),
            ("UNAUTHENTICATED", "TOKEN_INVALID"),
            "{wrong}"
        );
    }
}

/// The mutations that change a user and do not grant authority.
fn account_mutations() -> [(&'static str, String); 5] {
    [
        (
            "updateUser",
            r#"updateUser(input: { username: "Ada" }) { user { id } }"#.to_owned(),
        ),
        (
            "disableUser",
            "disableUser(id: 2) { user { id } }".to_owned(),
        ),
        ("revokeUserTokens", "revokeUserTokens(id: 2)".to_owned()),
        ("revokeAccessToken", "revokeAccessToken(id: 99)".to_owned()),
        (
            "deleteUser",
            "deleteUser(input: { id: 2 }) { deletedUserId }".to_owned(),
        ),
    ]
}

#[tokio::test]
async fn user_mutations_require_a_scope_and_the_role() {
    let (app, _) = with_ada().await;
    app.register("bob").await;
    app.make_admin(1).await;
    let narrow = made(&app, json!({ "name": "a", "scopes": ["notes:read"] })).await;
    let fitting = made(&app, json!({ "name": "b", "scopes": ["account:write"] })).await;
    let of_bob = app.access_token("bob", json!({ "name": "c" })).await;
    let send = async |token: &str, call: &str| app.mutate(token, call).await;
    for (name, call) in account_mutations() {
        let refused = send(&narrow, &call).await;
        assert_eq!(refused.error(), ("FORBIDDEN", "SCOPE_REQUIRED"), "{name}");
        // A scope never satisfies a requirement for a password.
        if call.contains("id: 2") && name != "deleteUser" {
            let refused = send(&of_bob, &call).await;
            assert_eq!(refused.error(), ("FORBIDDEN", "ROLE_REQUIRED"), "{name}");
        }
    }
    for (name, call) in account_mutations() {
        let done = send(&fitting, &call).await;
        assert_eq!(done.at("/errors"), &Value::Null, "{name}");
    }
    let all = send(&narrow, "revokeAllTokens").await;
    assert_eq!(all.error(), ("FORBIDDEN", "SCOPE_REQUIRED"));
}

#[tokio::test]
async fn an_access_token_creates_no_token_and_changes_no_password() {
    let (app, _) = with_ada().await;
    app.sql("UPDATE symbolon_user SET role = 'admin'").await;
    app.register("bob").await;
    let token = made(&app, json!({ "name": "laptop" })).await;
    let change = format!(
        r#"changePassword(input: {{ currentPassword: "{PASSWORD}", newPassword: "another good password" }}) {{ token {{ token }} }}"#
    );
    for call in ["createToken { token }", "renewToken { token }", &change] {
        let answer = app.mutate(&token, call).await;
        assert_eq!(answer.error(), ("FORBIDDEN", "SESSION_REQUIRED"), "{call}");
    }
    for call in [
        r#"createAccessToken(input: { name: "more" }) { token }"#,
        r#"setUserPassword(input: { id: 2, newPassword: "another good password" }) { user { id } }"#,
    ] {
        let answer = app.mutate(&token, call).await;
        assert_eq!(answer.error(), ("FORBIDDEN", "PASSWORD_REQUIRED"), "{call}");
    }
}

#[tokio::test]
async fn access_tokens_are_listed_for_their_owner_and_for_admins() {
    let (app, session) = with_ada().await;
    app.register("bob").await;
    made(&app, json!({ "name": "laptop" })).await;
    made(&app, json!({ "name": "phone" })).await;
    let bob = app.sign_in("bob").await;
    let list = async |token: &str| {
        let document = r#"{ user(username: "ada") { accessTokens { name } } }"#;
        app.graphql(document).bearer(token).send().await
    };
    let both = json!([{ "name": "laptop" }, { "name": "phone" }]);
    let tokens = "/data/user/accessTokens";
    assert_eq!(list(&session).await.at(tokens), &both);
    let refused = list(&bob).await;
    assert_eq!(refused.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
    app.make_admin(2).await;
    assert_eq!(list(&bob).await.at(tokens), &both);
}

#[tokio::test]
async fn the_last_use_is_written_later_and_at_most_once_a_minute() {
    let (app, session) = with_ada().await;
    let token = made(&app, json!({ "name": "laptop" })).await;
    let document = "{ me { accessTokens { lastUsedAt } } }";
    let last_used = async |expected: Value| {
        eventually("the use is written", async || {
            let answer = app.graphql(document).bearer(&session).send().await;
            let at = answer.at("/data/me/accessTokens/0/lastUsedAt").clone();
            (at == expected).then_some(())
        })
        .await;
    };
    last_used(Value::Null).await;
    app.me(&token).await;
    last_used(json!("2026-01-01T00:00:00.000+00:00")).await;
    app.advance(TimeDelta::seconds(59));
    app.me(&token).await;
    app.advance(TimeDelta::seconds(1));
    app.me(&token).await;
    last_used(json!("2026-01-01T00:01:00.000+00:00")).await;
}

#[tokio::test]
async fn a_pending_last_use_is_written_at_shutdown() {
    let (app, _) = with_ada().await;
    let token = made(&app, json!({ "name": "laptop" })).await;
    app.me(&token).await;
    let app = app.restart(|_| {}).await;
    let database = app.database().await;
    let row = entity::access_token::Entity::find().one(&database).await;
    database.close().await.unwrap();
    assert!(row.unwrap().unwrap().last_used_at.is_some());
}

#[tokio::test]
async fn concurrent_creations_with_one_name_create_one_access_token() {
    let (app, _) = with_ada().await;
    let input = json!({ "name": "laptop" });
    let answers = join_all((0..8).map(|_| create(&app, input.clone()))).await;
    let taken = answers
        .iter()
        .filter(|answer| problems(answer) == ["name: TAKEN"]);
    assert_eq!(taken.count(), 7);
}

#[tokio::test]
async fn an_access_token_revokes_itself_through_graphql_and_rest() {
    let (app, session) = with_ada().await;
    let token = made(&app, json!({ "name": "a", "scopes": ["x"] })).await;
    assert_eq!(app.revoke(&token).await.at("/data/revokeToken"), true);
    assert_eq!(
        app.me(&token).await.error(),
        ("UNAUTHENTICATED", "TOKEN_INVALID")
    );
    let token = made(&app, json!({ "name": "a" })).await;
    let request = app.request(reqwest::Method::DELETE, "/tokens");
    let gone = Answer::of(request.bearer_auth(&token)).await;
    assert_eq!(gone.status, 204);
    assert_eq!(
        app.me(&token).await.error(),
        ("UNAUTHENTICATED", "TOKEN_INVALID")
    );
    assert_eq!(app.me(&session).await.at("/data/me/username"), "ada");
}

#[tokio::test]
async fn a_user_revokes_only_their_own_access_tokens() {
    let (app, session) = with_ada().await;
    app.register("bob").await;
    let bob = app.sign_in("bob").await;
    let token = made(&app, json!({ "name": "laptop" })).await;
    let end = |bearer: &str| -> GraphqlRequest {
        app.graphql("mutation { revokeAccessToken(id: 1) }")
            .bearer(bearer)
    };
    let by_another = end(&bob).send().await;
    assert_eq!(by_another.at("/data/revokeAccessToken"), false);
    assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
    let by_owner = end(&session).send().await;
    assert_eq!(by_owner.at("/data/revokeAccessToken"), true);
    assert_eq!(
        app.me(&token).await.error(),
        ("UNAUTHENTICATED", "TOKEN_INVALID")
    );
    let again = end(&session).send().await;
    assert_eq!(again.at("/data/revokeAccessToken"), false);
    // The name can be used again.
    made(&app, json!({ "name": "laptop" })).await;
}

#[tokio::test]
async fn an_expiration_of_an_access_token_does_not_overflow() {
    let app = TestApp::unthrottled().await;
    app.register("ada").await;
    let create = "mutation($n: String!, $i: Int, $a: DateTime) {
        createAccessToken(input: { name: $n, expiresIn: $i, expiresAt: $a }) {
            token accessToken { expiresAt } userErrors { field code } } }";
    let mut made = 0;
    for (number, (seconds, at, error)) in [
        (json!(i32::MAX), json!(null), None),
        (json!(i32::MIN), json!(null), Some("expiresIn")),
        (json!(0), json!(null), Some("expiresIn")),
        (
            json!(null),
            json!("+262142-12-31T23:59:59Z"),
            Some("expiresAt"),
        ),
        (
            json!(null),
            json!("-262143-01-01T00:00:00Z"),
            Some("expiresAt"),
        ),
        (json!(null), json!("9999-12-31T23:59:59.999Z"), None),
        (
            json!(null),
            json!("+10000-01-01T00:00:00Z"),
            Some("expiresAt"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let variables = json!({ "n": number.to_string(), "i": seconds, "a": at });
        let answer = app.graphql_with(create, &variables);
        let answer = answer.basic("ada", PASSWORD).send().await;
        let field = answer.at("/data/createAccessToken/userErrors/0/field");
        // A time that chrono cannot parse is no DateTime.
        let is_refused = answer.at("/errors/0/extensions/code") == "BAD_USER_INPUT";
        if let Some(error) = error {
            assert!(field == error || is_refused, "{variables}: {answer:?}");
            continue;
        }
        made += 1;
        let token = answer.at("/data/createAccessToken/token").as_str().unwrap();
        assert_eq!(app.me(token).await.at("/data/me/username"), "ada");
    }
    assert_eq!(made, 2);
}
