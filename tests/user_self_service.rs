//! Changes of users to themselves: password, profile and deletion.

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, TestApp};

/// A password other than [`PASSWORD`].
pub const OTHER: &str = "a staple of horse batteries";

async fn change(app: &TestApp, token: &str, current: &str, new: &str) -> Answer {
    app.graphql_with(
        "mutation($i: ChangePasswordInput!) { changePassword(input: $i) {
            token { token tokenType expiresIn user { username lastSignInAt } } userErrors { code field } } }",
        &json!({ "i": { "currentPassword": current, "newPassword": new } }),
    )
    .bearer(token)
    .send()
    .await
}

async fn update(app: &TestApp, token: &str, input: &Value) -> Answer {
    app.graphql_with(
        "mutation($i: UpdateUserInput!) { updateUser(input: $i) {
            user { username email } userErrors { code field } } }",
        &json!({ "i": input }),
    )
    .bearer(token)
    .send()
    .await
}

/// Changes the profile with the password.
async fn update_as(app: &TestApp, username: &str, input: &Value) -> Answer {
    app.graphql_with(
        "mutation($i: UpdateUserInput!) { updateUser(input: $i) {
            user { username email } userErrors { code field } } }",
        &json!({ "i": input }),
    )
    .basic(username, PASSWORD)
    .send()
    .await
}

async fn delete(app: &TestApp, token: &str, input: &Value) -> Answer {
    app.graphql_with(
        "mutation($i: DeleteUserInput!) { deleteUser(input: $i) {
            deletedUserId userErrors { code field } } }",
        &json!({ "i": input }),
    )
    .bearer(token)
    .send()
    .await
}

/// Returns `code field` of each user error of the only mutation.
fn user_errors(answer: &Answer) -> Vec<String> {
    let payload = answer.at("/data").as_object().unwrap().values().next();
    let errors = payload.unwrap()["userErrors"].as_array();
    let errors = errors.unwrap_or_else(|| panic!("{answer:?}")).iter();
    errors
        .map(|error| {
            let part = |name: &str| error[name].as_str().unwrap_or("-").to_owned();
            format!("{} {}", part("code"), part("field"))
        })
        .collect()
}

async fn sign_in_with(app: &TestApp, username: &str, password: &str) -> Answer {
    app.graphql("mutation { createToken { token } }")
        .basic(username, password)
        .send()
        .await
}

#[tokio::test]
async fn a_password_change_ends_the_session_and_starts_a_new_one() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let old = app.sign_in("ada").await;
    app.advance(TimeDelta::minutes(10));
    let changed = change(&app, &old, PASSWORD, OTHER).await;
    let token = changed.at("/data/changePassword/token");
    assert_eq!(token["tokenType"], "Bearer");
    assert_eq!(token["expiresIn"], 3600);
    assert_eq!(token["user"]["username"], "ada");
    let new = token["token"].as_str().unwrap();
    let me = app.graphql("{ me { lastSignInAt } }").bearer(new).send();
    assert_eq!(
        (
            &token["user"]["lastSignInAt"],
            me.await.at("/data/me/lastSignInAt")
        ),
        (
            &json!("2026-01-01T00:10:00.000+00:00"),
            &json!("2026-01-01T00:10:00.000+00:00")
        )
    );
    assert_eq!(
        app.me(&old).await.error(),
        ("UNAUTHENTICATED", "TOKEN_INVALID")
    );
    assert_eq!(app.me(new).await.at("/data/me/username"), "ada");
    let refused = sign_in_with(&app, "ada", PASSWORD).await;
    assert_eq!(refused.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    let signed_in = sign_in_with(&app, "ada", OTHER).await;
    assert_eq!(signed_in.at("/data/createToken/token"), new);
}

#[tokio::test]
async fn a_password_change_requires_the_current_password_and_a_valid_new_one() {
    let app = TestApp::start().await;
    let id = app.register("ada").await;
    let token = app.sign_in("ada").await;
    let before = app.row(id).await;
    for (current, new, error) in [
        ("wrong", OTHER, "WRONG_PASSWORD currentPassword"),
        ("", OTHER, "WRONG_PASSWORD currentPassword"),
        (PASSWORD, "short", "TOO_SHORT newPassword"),
        (PASSWORD, "", "BLANK newPassword"),
        (PASSWORD, &"x".repeat(129), "TOO_LONG newPassword"),
        (PASSWORD, "with\u{7}a bell", "INVALID newPassword"),
    ] {
        let answer = change(&app, &token, current, new).await;
        assert_eq!(user_errors(&answer), [error]);
        assert_eq!(answer.at("/data/changePassword/token"), &Value::Null);
    }
    let after = app.row(id).await;
    assert_eq!(after, before);
    let anonymous = app
        .graphql(r#"mutation { changePassword(input: { currentPassword: "x", newPassword: "y" }) { token { token } } }"#)
        .send()
        .await;
    assert_eq!(anonymous.error(), ("UNAUTHENTICATED", "MISSING"));
}

#[tokio::test]
async fn one_of_two_concurrent_password_changes_succeeds() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let passwords = ["one new password", "another new password"];
    let answers = join_all(passwords.map(|new| change(&app, &token, PASSWORD, new))).await;
    let won: Vec<_> = answers
        .iter()
        .map(|answer| answer.at("/data/changePassword/token").is_object())
        .collect();
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{answers:?}");
    for (password, won) in passwords.iter().zip(won) {
        let signed_in = sign_in_with(&app, "ada", password).await;
        assert_eq!(signed_in.at("/data/createToken/token").is_string(), won);
    }
}

#[tokio::test]
async fn a_password_change_ends_the_session_for_later_fields_of_its_request() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let document = format!(
        "mutation {{
            updateUser(input: {{ username: \"Lovelace\" }}) {{ user {{ username }} }}
            changePassword(input: {{ currentPassword: \"{PASSWORD}\", newPassword: \"{OTHER}\" }}) {{ token {{ user {{ username }} }} }}
            again: updateUser(input: {{ username: \"ada\" }}) {{ user {{ username }} }}
        }}"
    );
    let answer = app.graphql(&document).bearer(&token).send().await;
    assert_eq!(answer.error(), ("UNAUTHENTICATED", "TOKEN_INVALID"));
    let signed_in = sign_in_with(&app, "lovelace", OTHER).await;
    assert!(signed_in.at("/data/createToken/token").is_string());
}

#[tokio::test]
async fn each_field_of_a_profile_is_updated_by_itself() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let profile = |username: &str, email: Value| json!({ "username": username, "email": email });
    for (name, input, now) in [
        ("ada", json!({}), profile("ada", Value::Null)),
        (
            "ada",
            json!({ "email": "ada@example.org" }),
            profile("ada", json!("ada@example.org")),
        ),
        (
            "ada",
            json!({ "username": "Ada" }),
            profile("Ada", json!("ada@example.org")),
        ),
        (
            "ada",
            json!({ "username": "lovelace", "email": "ADA@example.org" }),
            profile("lovelace", json!("ADA@example.org")),
        ),
        (
            "lovelace",
            json!({ "id": "1", "email": null }),
            profile("lovelace", Value::Null),
        ),
    ] {
        let answer = update_as(&app, name, &input).await;
        assert_eq!(answer.at("/data/updateUser/user"), &now, "{answer:?}");
        assert_eq!(user_errors(&answer), [""; 0]);
    }
    // The token belongs to the user, not to the name.
    assert_eq!(app.me(&token).await.at("/data/me/username"), "lovelace");
    let old_name = sign_in_with(&app, "ada", PASSWORD).await;
    assert_eq!(old_name.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    assert_eq!(app.sign_in("lovelace").await, token);
}

async fn profile_of(app: &TestApp, id: i64) -> [Option<String>; 4] {
    let row = app.row(id).await;
    [
        Some(row.username),
        Some(row.username_canonical),
        row.email,
        row.email_canonical,
    ]
}

#[tokio::test]
async fn invalid_profile_input_is_reported_for_each_field_and_changes_nothing() {
    let app = TestApp::start().await;
    let id = app.register("ada").await;
    app.register("bob").await;
    let token = app.sign_in("ada").await;
    update_as(&app, "bob", &json!({ "email": "bob@example.org" })).await;
    let before = profile_of(&app, id).await;
    for (input, errors) in [
        (json!({ "username": "BOB" }), vec!["TAKEN username"]),
        (
            json!({ "username": "bob", "email": "Bob@Example.org" }),
            vec!["TAKEN username", "TAKEN email"],
        ),
        (
            json!({ "username": "a b", "email": "nowhere" }),
            vec!["INVALID username", "INVALID email"],
        ),
        (json!({ "username": "" }), vec!["BLANK username"]),
        (
            json!({ "username": "x".repeat(65), "email": "ada@example.org" }),
            vec!["TOO_LONG username"],
        ),
    ] {
        let answer = update_as(&app, "ada", &input).await;
        assert_eq!(user_errors(&answer), errors, "{input}");
        assert_eq!(answer.at("/data/updateUser/user"), &Value::Null);
    }
    assert_eq!(profile_of(&app, id).await, before);
    let refused = update(&app, &token, &json!({ "id": "2", "username": "bobby" })).await;
    assert_eq!(refused.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
    let refused = update(&app, &token, &json!({ "id": "99", "username": "x" })).await;
    assert_eq!(refused.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
}

#[tokio::test]
async fn one_of_many_concurrent_renames_to_one_name_succeeds() {
    let app = TestApp::start().await;
    let mut tokens = Vec::new();
    for number in 0..8 {
        app.register(&format!("u{number}")).await;
        tokens.push(app.sign_in(&format!("u{number}")).await);
    }
    let wish = json!({ "username": "ada" });
    let answers = join_all(tokens.iter().map(|token| update(&app, token, &wish))).await;
    let (got, refused): (Vec<_>, Vec<_>) = answers
        .iter()
        .partition(|answer| answer.at("/data/updateUser/user").is_object());
    assert_eq!(got.len(), 1);
    for answer in refused {
        assert_eq!(user_errors(answer), ["TAKEN username"]);
    }
}

#[tokio::test]
async fn a_user_deletes_itself_with_its_password() {
    let app = TestApp::start().await;
    app.register("ada").await;
    app.register("bob").await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    for (input, error) in [
        (json!({}), "WRONG_PASSWORD password"),
        (json!({ "password": "wrong" }), "WRONG_PASSWORD password"),
        (
            json!({ "id": "1", "password": "" }),
            "WRONG_PASSWORD password",
        ),
    ] {
        assert_eq!(user_errors(&delete(&app, &ada, &input).await), [error]);
    }
    let of_another = delete(&app, &bob, &json!({ "id": "1", "password": PASSWORD })).await;
    assert_eq!(of_another.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
    assert_eq!(app.me(&ada).await.at("/data/me/username"), "ada");

    let deleted = delete(&app, &ada, &json!({ "password": PASSWORD })).await;
    assert_eq!(deleted.at("/data/deleteUser/deletedUserId"), "1");
    assert_eq!(
        app.me(&ada).await.error(),
        ("UNAUTHENTICATED", "TOKEN_INVALID")
    );
    let refused = sign_in_with(&app, "ada", PASSWORD).await;
    assert_eq!(refused.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    // The name is free again. The id is not reused.
    assert_eq!(app.register("ada").await, 3);
    assert_eq!(app.me(&bob).await.at("/data/me/username"), "bob");
}
