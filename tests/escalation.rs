//! A stolen Bearer token grants and changes no authority, and an access token reads no more than its
//! scopes.

use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, TestApp};

const NEW_PASSWORD: &str = "another good password";

/// An app with the admins `ada` (1) and `alan` (2) and the user `bob` (3), who is disabled in the end of
/// no test.
async fn with_admins() -> TestApp {
    let app = TestApp::unthrottled().await;
    for name in ["ada", "alan", "bob"] {
        app.register(name).await;
    }
    app.sql("UPDATE symbolon_user SET role = 'admin' WHERE id < 3")
        .await;
    app
}

/// The operations that grant or change authority, with the role that each needs.
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

async fn with_bearer(app: &TestApp, token: &str, document: &str) -> Answer {
    app.operation(document).bearer(token).send().await
}

/// The rows that authority depends on.
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

/// An access token with these scopes, made with the password.
async fn access_token(app: &TestApp, username: &str, name: &str, scopes: &[&str]) -> String {
    let document =
        "mutation($i: CreateAccessTokenInput!) { createAccessToken(input: $i) { token } }";
    let input = json!({ "i": { "name": name, "scopes": scopes } });
    let create = app.operation_with(document, &input);
    let answer = create.basic(username, PASSWORD).send().await;
    let token = answer.at("/data/createAccessToken/token").as_str();
    token.unwrap_or_else(|| panic!("{answer:?}")).to_owned()
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
        let answer = app.operation(&document).send().await;
        assert_eq!(answer.error(), ("UNAUTHENTICATED", "MISSING"), "{call}");
        let answer = app.operation(&document).basic("bob", "wrong").send().await;
        let error = ("UNAUTHENTICATED", "INVALID_CREDENTIALS");
        assert_eq!(answer.error(), error, "{call}");
        if role == "ADMIN" {
            let answer = app.operation(&document).basic("bob", PASSWORD).send().await;
            assert_eq!(answer.error(), ("FORBIDDEN", "ROLE_REQUIRED"), "{call}");
        }
    }
    assert_eq!(authority(&app).await, before);
}

#[tokio::test]
async fn the_password_of_an_admin_grants_authority() {
    let app = with_admins().await;
    for (_, call) in grants() {
        let document = format!("mutation {{ {call} }}");
        let answer = app.operation(&document).basic("ada", PASSWORD).send().await;
        assert_eq!(answer.at("/errors"), &Value::Null, "{call}: {answer:?}");
        // The name by which the next request signs in.
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
    let create = app.operation("mutation { createToken { token } }");
    let signed_in = create.basic("mallory", NEW_PASSWORD).send().await;
    assert!(signed_in.at("/data/createToken/token").is_string());
}

#[tokio::test]
async fn a_disabled_admin_grants_nothing() {
    let app = with_admins().await;
    app.sql("UPDATE symbolon_user SET disabled_at = 0 WHERE id = 1")
        .await;
    for (_, call) in grants() {
        let document = format!("mutation {{ {call} }}");
        let answer = app.operation(&document).basic("ada", PASSWORD).send().await;
        let error = ("UNAUTHENTICATED", "INVALID_CREDENTIALS");
        assert_eq!(answer.error(), error, "{call}");
    }
}

#[tokio::test]
async fn reading_needs_a_scope() {
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
async fn the_list_of_users_is_for_admins() {
    let app = with_admins().await;
    let bob = app.sign_in("bob").await;
    for document in [
        "{ users { nodes { id } } }",
        "{ user(id: 1) { id } }",
        "{ user(id: 99) { id } }",
        r#"{ user(id: "x") { id } }"#,
        r#"{ user(username: "ada") { id } }"#,
        r#"{ user(username: "unknown") { id } }"#,
        r#"{ user(username: "not a name") { id } }"#,
    ] {
        let answer = with_bearer(&app, &bob, document).await;
        assert_eq!(answer.error(), ("FORBIDDEN", "ROLE_REQUIRED"), "{document}");
    }
    for document in [
        "{ user(id: 3) { id email role createdAt } }",
        r#"{ user(username: "BOB") { id email role createdAt } }"#,
    ] {
        let own = with_bearer(&app, &bob, document).await;
        assert_eq!(own.at("/data/user/id"), "3");
        assert_eq!(own.at("/data/user/role"), "USER");
        assert_eq!(own.at("/data/user/createdAt"), "2026-01-01T00:00:00+00:00");
    }
}
