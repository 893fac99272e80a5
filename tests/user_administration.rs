//! The administration of users by admins, and the protection of the last admin.

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, TestApp};

/// Starts an app with the admin `ada` (1) and the user `bob` (2), and returns their tokens.
async fn ada_and_bob() -> (TestApp, String, String) {
    let app = TestApp::start().await;
    app.register("ada").await;
    app.register("bob").await;
    app.make_admin(1).await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    (app, ada, bob)
}

/// Calls a mutation that returns a `UserPayload`.
async fn mutate(app: &TestApp, token: &str, call: &str) -> Answer {
    let document = format!(
        "mutation {{ done: {call} {{ user {{ role disabledAt }} userErrors {{ code field }} }} }}"
    );
    app.graphql(&document).bearer(token).send().await
}

/// Calls a mutation with the password, which grants of authority require.
async fn grant(app: &TestApp, username: &str, call: &str) -> Answer {
    let document = format!(
        "mutation {{ done: {call} {{ user {{ role disabledAt }} userErrors {{ code field }} }} }}"
    );
    let request = app.graphql(&document);
    request.basic(username, PASSWORD).send().await
}

fn codes(answer: &Answer) -> Vec<&str> {
    let errors = answer.at("/data/done/userErrors").as_array();
    let errors = errors.unwrap_or_else(|| panic!("{answer:?}")).iter();
    errors
        .map(|error| error["code"].as_str().unwrap())
        .collect()
}

fn calls(id: u32) -> [String; 4] {
    [
        format!("setUserRole(id: {id}, role: ADMIN)"),
        format!("setUserPassword(input: {{ id: {id}, newPassword: \"another good password\" }})"),
        format!("disableUser(id: {id})"),
        format!("enableUser(id: {id})"),
    ]
}

#[tokio::test]
async fn administrative_mutations_require_the_role_admin() {
    let (app, ada, bob) = ada_and_bob().await;
    let revoke = "mutation { revokeUserTokens(id: 1) }";
    for call in calls(1) {
        let answer = mutate(&app, &bob, &call).await;
        assert_eq!(answer.error(), ("FORBIDDEN", "ROLE_REQUIRED"), "{call}");
        let document = format!("mutation {{ {call} {{ user {{ id }} }} }}");
        let answer = app.graphql(&document).send().await;
        assert_eq!(answer.error(), ("UNAUTHENTICATED", "MISSING"), "{call}");
    }
    let answer = app.graphql(revoke).bearer(&bob).send().await;
    assert_eq!(answer.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
    let events = "{ auditEvents { nodes { id } } }";
    let answer = app.graphql(events).bearer(&bob).send().await;
    assert_eq!(answer.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
    let answer = app.graphql(events).bearer(&ada).send().await;
    assert!(answer.at("/data/auditEvents/nodes/0/id").is_string());
}

#[tokio::test]
async fn an_unknown_user_id_is_reported_as_invalid() {
    let (app, ada, _) = ada_and_bob().await;
    for call in calls(99) {
        assert_eq!(
            codes(&grant(&app, "ada", &call).await),
            ["INVALID"],
            "{call}"
        );
    }
    let document =
        r#"mutation { deleteUser(input: { id: "x" }) { deletedUserId userErrors { code } } }"#;
    let answer = app.graphql(document).bearer(&ada).send().await;
    assert_eq!(answer.at("/data/deleteUser/userErrors/0/code"), "INVALID");
    let document = "mutation { revokeUserTokens(id: 99) }";
    let answer = app.graphql(document).bearer(&ada).send().await;
    assert_eq!(answer.error(), ("BAD_USER_INPUT", ""));
}

#[tokio::test]
async fn a_disabled_user_is_refused_at_once_and_gets_a_new_token_once_enabled() {
    let (app, ada, bob) = ada_and_bob().await;
    let disabled = mutate(&app, &ada, "disableUser(id: 2)").await;
    assert_eq!(
        disabled.at("/data/done/user/disabledAt"),
        "2026-01-01T00:00:00.000+00:00"
    );
    assert_eq!(
        app.me(&bob).await.error(),
        ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    );
    let sign_in = || {
        let create = app.graphql("mutation { createToken { token } }");
        create.basic("bob", PASSWORD).send()
    };
    assert_eq!(
        sign_in().await.error(),
        ("UNAUTHENTICATED", "INVALID_CREDENTIALS")
    );
    // A repetition is no error and changes nothing.
    app.advance(TimeDelta::minutes(30));
    let again = mutate(&app, &ada, "disableUser(id: 2)").await;
    assert_eq!(again.at("/data/done"), disabled.at("/data/done"));

    let enabled = grant(&app, "ada", "enableUser(id: 2)").await;
    assert_eq!(enabled.at("/data/done/user/disabledAt"), &Value::Null);
    assert_eq!(
        app.me(&bob).await.error(),
        ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    );
    let token = app.sign_in("bob").await;
    assert_ne!(token, bob);
    assert_eq!(app.me(&token).await.at("/data/me/username"), "bob");
}

#[tokio::test]
async fn a_password_set_by_an_admin_ends_the_session_of_the_user() {
    let (app, _, bob) = ada_and_bob().await;
    let call = r#"setUserPassword(input: { id: 2, newPassword: "another good password" })"#;
    assert_eq!(codes(&grant(&app, "ada", call).await), [""; 0]);
    assert_eq!(
        app.me(&bob).await.error(),
        ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    );
    let create = || app.graphql("mutation { createToken { token } }");
    let old = create().basic("bob", PASSWORD).send().await;
    assert_eq!(old.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    let new = create().basic("bob", "another good password").send().await;
    assert!(new.at("/data/createToken/token").is_string());
    let short = r#"setUserPassword(input: { id: 2, newPassword: "short" })"#;
    assert_eq!(codes(&grant(&app, "ada", short).await), ["TOO_SHORT"]);
    let own = r#"setUserPassword(input: { id: 1, newPassword: "another good password" })"#;
    let refused = grant(&app, "ada", own).await;
    assert_eq!(refused.error(), ("BAD_USER_INPUT", ""));
}

#[tokio::test]
async fn a_role_change_takes_effect_at_the_next_request() {
    let (app, ada, _) = ada_and_bob().await;
    let made = grant(&app, "ada", "setUserRole(id: 2, role: ADMIN)").await;
    assert_eq!(made.at("/data/done/user/role"), "ADMIN");
    let unmade = grant(&app, "bob", "setUserRole(id: 1, role: USER)").await;
    assert_eq!(unmade.at("/data/done/user/role"), "USER");
    let refused = grant(&app, "ada", "setUserRole(id: 1, role: ADMIN)").await;
    assert_eq!(refused.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
    let refused = mutate(&app, &ada, "disableUser(id: 2)").await;
    assert_eq!(refused.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
    // The change applies to the next field of the same request.
    let document = "mutation {
        a: setUserRole(id: 1, role: ADMIN) { user { role } }
        b: setUserRole(id: 2, role: USER) { user { role } }
        c: setUserRole(id: 2, role: ADMIN) { user { role } }
    }";
    let request = app.graphql(document).basic("bob", PASSWORD);
    let answer = request.send().await;
    assert_eq!(answer.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
    assert_eq!(answer.at("/errors/0/path/0"), "c");
}

#[tokio::test]
async fn revoke_user_tokens_ends_all_tokens_and_returns_their_number() {
    let (app, ada, bob) = ada_and_bob().await;
    let document = "mutation { revokeUserTokens(id: 2) }";
    let revoke = || app.graphql(document).bearer(&ada).send();
    assert_eq!(revoke().await.at("/data/revokeUserTokens"), 1);
    assert_eq!(
        app.me(&bob).await.error(),
        ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    );
    assert_eq!(revoke().await.at("/data/revokeUserTokens"), 0);
    assert_ne!(app.sign_in("bob").await, bob);
}

#[tokio::test]
async fn an_admin_updates_and_deletes_other_users_without_their_passwords() {
    let (app, ada, bob) = ada_and_bob().await;
    let call = r#"updateUser(input: { id: 2, username: "robert", email: "bob@example.org" })"#;
    assert_eq!(codes(&grant(&app, "ada", call).await), [""; 0]);
    assert_eq!(app.me(&bob).await.at("/data/me/username"), "robert");
    let document = "mutation { deleteUser(input: { id: 2 }) { deletedUserId } }";
    let deleted = app.graphql(document).bearer(&ada).send().await;
    assert_eq!(deleted.at("/data/deleteUser/deletedUserId"), "2");
    assert_eq!(
        app.me(&bob).await.error(),
        ("UNAUTHENTICATED", "TOKEN_INVALID")
    );
    // Admins delete themselves with their password, like every user.
    let document = "mutation { deleteUser(input: { id: 1 }) { userErrors { code } } }";
    let own = app.graphql(document).bearer(&ada).send().await;
    assert_eq!(
        own.at("/data/deleteUser/userErrors/0/code"),
        "WRONG_PASSWORD"
    );
}

#[tokio::test]
async fn the_last_admin_cannot_be_removed() {
    let (app, ada, _) = ada_and_bob().await;
    for call in ["setUserRole(id: 1, role: USER)", "disableUser(id: 1)"] {
        assert_eq!(
            codes(&grant(&app, "ada", call).await),
            ["LAST_ADMIN"],
            "{call}"
        );
    }
    let delete = json!({ "i": { "password": PASSWORD } });
    let document =
        "mutation($i: DeleteUserInput!) { done: deleteUser(input: $i) { userErrors { code } } }";
    let answer = app
        .graphql_with(document, &delete)
        .bearer(&ada)
        .send()
        .await;
    assert_eq!(codes(&answer), ["LAST_ADMIN"]);
    // The password was right, so no attempt is counted.
    for _ in 0..25 {
        let request = app.graphql_with(document, &delete);
        assert_eq!(codes(&request.bearer(&ada).send().await), ["LAST_ADMIN"]);
    }
    // A disabled admin does not count.
    app.sql("UPDATE symbolon_user SET role = 'admin', disabled_at = 0 WHERE id = 2")
        .await;
    let answer = grant(&app, "ada", "setUserRole(id: 1, role: USER)").await;
    assert_eq!(codes(&answer), ["LAST_ADMIN"]);
    grant(&app, "ada", "enableUser(id: 2)").await;
    let answer = grant(&app, "ada", "setUserRole(id: 1, role: USER)").await;
    assert_eq!(answer.at("/data/done/user/role"), "USER");
}

#[tokio::test]
async fn concurrent_demotions_of_all_admins_leave_one_admin() {
    let app = TestApp::unthrottled().await;
    let names: Vec<_> = (1..=4).map(|number| format!("admin{number}")).collect();
    for name in &names {
        app.register(name).await;
    }
    for change in ["setUserRole(id: {}, role: USER)", "disableUser(id: {})"] {
        app.sql("UPDATE symbolon_user SET role = 'admin', disabled_at = NULL")
            .await;
        // Each admin demotes all others.
        let attacks = names.iter().enumerate().flat_map(|(own, name)| {
            (0..4).filter(move |other| *other != own).map(move |other| {
                let call = change.replace("{}", &(other + 1).to_string());
                (name, call)
            })
        });
        join_all(attacks.map(async |(name, call)| grant(&app, name, &call).await)).await;
        let mut left = 0;
        for id in 1..=4 {
            let row = app.row(id).await;
            let is_admin = row.role == entity::user::Role::Admin && row.disabled_at.is_none();
            left += i32::from(is_admin);
        }
        assert_eq!(left, 1, "{change}");
    }
}

#[tokio::test]
async fn admins_register_users_while_registration_is_closed() {
    let (app, ..) = ada_and_bob().await;
    let app = app.restart(|config| config.registration = false).await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let document = format!(
        r#"mutation {{ createUser(input: {{ username: "eve", password: "{PASSWORD}" }}) {{ user {{ id }} }} }}"#
    );
    let anonymous = app.graphql(&document).send().await;
    assert_eq!(anonymous.error(), ("FORBIDDEN", "REGISTRATION_CLOSED"));
    let user = app.graphql(&document).bearer(&bob).send().await;
    assert_eq!(user.error(), ("FORBIDDEN", "REGISTRATION_CLOSED"));
    let admin = app.graphql(&document).bearer(&ada).send().await;
    assert_eq!(admin.at("/data/createUser/user/id"), "3");
    app.sign_in("eve").await;
}
