//! A stolen Bearer token grants and changes no authority, and an access token reads no more than its
//! scopes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, TestApp};

pub const NEW_PASSWORD: &str = "another good password";

/// Starts an app with the admins `ada` (1) and `alan` (2) and the user `bob` (3).
pub async fn with_admins() -> TestApp {
    let app = TestApp::unthrottled().await;
    for name in ["ada", "alan", "bob"] {
        app.register(name).await;
    }
    app.sql("UPDATE symbolon_user SET role = 'admin' WHERE id < 3")
        .await;
    app
}

/// The operations that grant or change authority, with the required role.
fn grants() -> Vec<(&'static str, String)> {
    let calls = [
        ("ADMIN", "setUserRole(id: 3, role: ADMIN) { user { id } }"),
        ("ADMIN", "setUserRole(id: 2, role: USER) { user { id } }"),
        (
            "ADMIN",
            r#"setUserPassword(input: { id: 2, newPassword: "another good password" }) { user { id } }"#,
        ),
        ("ADMIN", "enableUser(id: 3) { user { id } }"),
        (
            "ADMIN",
            r#"updateUser(input: { id: 2, email: "mallory@example.org" }) { user { id } }"#,
        ),
        (
            "ADMIN",
            "updateUser(input: { id: 2, email: null }) { user { id } }",
        ),
        (
            "ADMIN",
            r#"updateUser(input: { id: 2, username: "mallory" }) { user { id } }"#,
        ),
        (
            "USER",
            r#"updateUser(input: { email: "mallory@example.org" }) { user { id } }"#,
        ),
        (
            "USER",
            r#"updateUser(input: { username: "lovelace", email: null }) { user { id } }"#,
        ),
        (
            "USER",
            r#"createAccessToken(input: { name: "mine" }) { token }"#,
        ),
    ];
    calls
        .into_iter()
        .map(|(role, call)| (role, call.to_owned()))
        .collect()
}

pub async fn with_bearer(app: &TestApp, token: &str, document: &str) -> Answer {
    app.graphql(document).bearer(token).send().await
}

/// Returns the rows that determine authority.
async fn authority(app: &TestApp) -> Vec<Value> {
    let mut rows = Vec::new();
    for id in 1..=3 {
        let row = app.row(id).await;
        rows.push(json!([
            row.username,
            row.email,
            format!("{:?}", row.role),
            row.password_hash,
            row.disabled_at,
        ]));
    }
    rows
}

/// Creates an access token with these scopes.
async fn access_token(app: &TestApp, username: &str, name: &str, scopes: &[&str]) -> String {
    let input = json!({ "name": name, "scopes": scopes });
    app.access_token(username, input).await
}

#[tokio::test]
async fn a_bearer_token_grants_no_authority() {
    let app = with_admins().await;
    let tokens = [
        app.sign_in("ada").await,
        access_token(&app, "ada", "all", &["*"]).await,
        access_token(&app, "ada", "write", &["account:write"]).await,
    ];
    let before = authority(&app).await;
    for token in &tokens {
        for (_, call) in grants() {
            let answer = with_bearer(&app, token, &format!("mutation {{ {call} }}")).await;
            assert_eq!(answer.error(), ("FORBIDDEN", "PASSWORD_REQUIRED"), "{call}");
        }
    }
    assert_eq!(authority(&app).await, before);
}

#[tokio::test]
async fn the_role_is_checked_before_the_password() {
    let app = with_admins().await;
    let bob = app.sign_in("bob").await;
    let before = authority(&app).await;
    for (role, call) in grants() {
        let document = format!("mutation {{ {call} }}");
        let expected = match role {
            "ADMIN" => "ROLE_REQUIRED",
            _ => "PASSWORD_REQUIRED",
        };
        let answer = with_bearer(&app, &bob, &document).await;
        assert_eq!(answer.error(), ("FORBIDDEN", expected), "{call}");
        let answer = app.graphql(&document).send().await;
        assert_eq!(answer.error(), ("UNAUTHENTICATED", "MISSING"), "{call}");
        let answer = app.graphql(&document).basic("bob", "wrong").send().await;
        let error = ("UNAUTHENTICATED", "INVALID_CREDENTIALS");
        assert_eq!(answer.error(), error, "{call}");
        if role == "ADMIN" {
            let answer = app.graphql(&document).basic("bob", PASSWORD).send().await;
            assert_eq!(answer.error(), ("FORBIDDEN", "ROLE_REQUIRED"), "{call}");
        }
    }
    assert_eq!(authority(&app).await, before);
}

#[tokio::test]
async fn an_admin_grants_authority_with_a_password() {
    let app = with_admins().await;
    for (_, call) in grants() {
        let document = format!("mutation {{ {call} }}");
        let answer = app.graphql(&document).basic("ada", PASSWORD).send().await;
        assert_eq!(answer.at("/errors"), &Value::Null, "{call}: {answer:?}");
        // The next request signs in with this name.
        app.sql(
            "UPDATE symbolon_user SET username = 'ada', username_canonical = 'ada' WHERE id = 1",
        )
        .await;
    }
    let (ada, alan, bob) = (app.row(1).await, app.row(2).await, app.row(3).await);
    assert_eq!(ada.email, None);
    assert_eq!(alan.username, "mallory");
    assert_eq!(alan.role, entity::user::Role::User);
    assert_eq!(bob.role, entity::user::Role::Admin);
    let create = app.graphql("mutation { createToken { token } }");
    let signed_in = create.basic("mallory", NEW_PASSWORD).send().await;
    assert!(signed_in.at("/data/createToken/token").is_string());
}

#[tokio::test]
async fn a_disabled_admin_grants_no_authority() {
    let app = with_admins().await;
    app.sql("UPDATE symbolon_user SET disabled_at = 0 WHERE id = 1")
        .await;
    for (_, call) in grants() {
        let document = format!("mutation {{ {call} }}");
        let answer = app.graphql(&document).basic("ada", PASSWORD).send().await;
        let error = ("UNAUTHENTICATED", "INVALID_CREDENTIALS");
        assert_eq!(answer.error(), error, "{call}");
    }
}

#[tokio::test]
async fn queries_require_a_scope_of_an_access_token() {
    let app = with_admins().await;
    let narrow = access_token(&app, "ada", "narrow", &["notes:read"]).await;
    for document in [
        "{ users { nodes { id } } }",
        "{ users { totalCount } }",
        "{ user(id: 1) { id } }",
        "{ user(id: 3) { id } }",
        r#"{ user(username: "ada") { id } }"#,
        "{ auditEvents { nodes { id } } }",
        "{ me { email } }",
        "{ me { createdAt } }",
        "{ me { lastSignInAt } }",
        "{ me { disabledAt } }",
        "{ me { accessTokens { name } } }",
    ] {
        let answer = with_bearer(&app, &narrow, document).await;
        assert_eq!(
            answer.error(),
            ("FORBIDDEN", "SCOPE_REQUIRED"),
            "{document}"
        );
    }
    let answer = with_bearer(&app, &narrow, "{ me { id username role __typename } }").await;
    assert_eq!(answer.at("/errors"), &Value::Null);
}

#[tokio::test]
async fn aliases_fragments_and_variables_do_not_bypass_the_password_requirement() {
    let app = with_admins().await;
    let token = app.sign_in("ada").await;
    let narrow = access_token(&app, "ada", "narrow", &["account:write", "audit:read"]).await;
    let call = "setUserRole(id: 3, role: ADMIN) { user { id } }";
    let before = authority(&app).await;
    for (document, name) in [
        (format!("mutation {{ a: {call} b: {call} }}"), None),
        (
            format!("mutation {{ ...F }} fragment F on Mutation {{ {call} }}"),
            None,
        ),
        (
            format!("mutation {{ ... on Mutation @include(if: true) {{ {call} }} }}"),
            None,
        ),
        (
            format!("mutation A {{ renewToken {{ token }} }} mutation B {{ {call} }}"),
            Some("B"),
        ),
        (
            format!("query A {{ me {{ id }} }} mutation B {{ {call} }}"),
            Some("B"),
        ),
        (
            format!("mutation {{ disableUser(id: 3) {{ user {{ id }} }} {call} }}"),
            None,
        ),
    ] {
        for token in [&token, &narrow] {
            let body = json!({ "query": document, "operationName": name });
            let request = app.request(Method::POST, "/graphql").json(&body);
            let answer = Answer::of(request.bearer_auth(token)).await;
            let reason = answer.at("/errors/0/extensions/reason");
            assert_eq!(reason, "PASSWORD_REQUIRED", "{document}");
        }
    }
    let enable = app.graphql("mutation { enableUser(id: 3) { user { id } } }");
    enable.basic("ada", PASSWORD).send().await;
    app.sign_in("bob").await;
    assert_eq!(authority(&app).await, before);
    // A nested field of a payload has its usual requirement.
    let document = "mutation { disableUser(id: 3) { ...P } }
        fragment P on UserPayload { user { id username x: email ... on User { accessTokens { name } } role } }";
    let answer = with_bearer(&app, &narrow, document).await;
    let errors = answer.at("/errors").as_array().unwrap();
    let paths: Vec<_> = errors
        .iter()
        .map(|error| error["path"][2].clone())
        .collect();
    for field in ["x", "accessTokens", "role"] {
        assert!(paths.contains(&json!(field)), "{answer:?}");
    }
    for error in errors {
        assert_eq!(error["extensions"]["reason"], "SCOPE_REQUIRED");
    }
    let user =
        json!({ "id": "3", "username": "bob", "x": null, "accessTokens": null, "role": null });
    assert_eq!(answer.at("/data/disableUser/user"), &user);
}

#[tokio::test]
async fn other_endpoints_grant_no_additional_authority() {
    let app = with_admins().await;
    let token = access_token(&app, "ada", "all", &["*"]).await;
    let trade = app.request(Method::POST, "/tokens").bearer_auth(&token);
    let answer = Answer::of(trade).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.at("/reason"), "SESSION_REQUIRED");
    // `/auth` accepts Bearer tokens only.
    let auth = app.request(Method::GET, "/auth");
    let answer = Answer::of(auth.basic_auth("ada", Some(PASSWORD))).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.at("/reason"), "MISSING");
    let both = app.graphql("mutation { setUserRole(id: 3, role: ADMIN) { user { id } } }");
    let both = both.bearer(&token).basic("bob", PASSWORD).send().await;
    assert_eq!(both.status, 400);
    assert_eq!(both.at("/code"), "BAD_REQUEST");
    // A browser adds the password by itself, also to cross-site requests.
    let call = app.graphql("mutation { setUserRole(id: 3, role: ADMIN) { user { id } } }");
    let call = call
        .basic("ada", PASSWORD)
        .header("sec-fetch-site", b"cross-site");
    assert_eq!(call.send().await.error(), ("FORBIDDEN", "CROSS_SITE"));
    assert_eq!(app.row(3).await.role, entity::user::Role::User);
}
