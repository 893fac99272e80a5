//! The mutation `createUser`.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, TestApp};

pub async fn create(app: &TestApp, input: Value) -> Answer {
    app.graphql_with(
        "mutation($input: CreateUserInput!) {
            createUser(input: $input) {
                user { id username email role createdAt lastSignInAt }
                userErrors { code field message }
            }
        }",
        &json!({ "input": input }),
    )
    .send()
    .await
}

/// Returns `field: CODE` for each user error of the response.
pub fn problems(answer: &Answer) -> Vec<String> {
    let errors = answer.at("/data/createUser/userErrors").as_array();
    let errors = errors.unwrap_or_else(|| panic!("{answer:?}"));
    for error in errors {
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(
        answer.at("/data/createUser/user").is_null(),
        !errors.is_empty()
    );
    errors
        .iter()
        .map(|error| format!("{}: {}", error["field"], error["code"]).replace('"', ""))
        .collect()
}

#[tokio::test]
async fn a_registered_user_is_returned_as_entered() {
    let app = TestApp::start().await;
    let input = json!({ "username": "Ada", "email": "Ada@Example.org", "password": PASSWORD });
    let answer = create(&app, input).await;
    assert_eq!(
        answer.at("/data/createUser"),
        &json!({
            "user": {
                "id": "1",
                "username": "Ada",
                "email": "Ada@Example.org",
                "role": "USER",
                "createdAt": "2026-01-01T00:00:00.000+00:00",
                "lastSignInAt": null,
            },
            "userErrors": [],
        })
    );
}

#[tokio::test]
async fn each_invalid_field_is_reported_with_its_code() {
    let app = TestApp::start().await;
    let name = |name: &str| json!({ "username": name, "password": PASSWORD });
    let password = |password: &str| json!({ "username": "ada", "password": password });
    let email = |email: &str| json!({ "username": "ada", "email": email, "password": PASSWORD });
    for (input, expected) in [
        (name(""), "username: BLANK"),
        (name("two words"), "username: INVALID"),
        (name("with:colon"), "username: INVALID"),
        (name("line\nbreak"), "username: INVALID"),
        (name("zero\u{200b}width"), "username: INVALID"),
        (name("soft\u{ad}hyphen"), "username: INVALID"),
        (name("right\u{202e}left"), "username: INVALID"),
        (name("\u{1f600}"), "username: INVALID"),
        (name(&"x".repeat(65)), "username: TOO_LONG"),
        (password(""), "password: BLANK"),
        (password("7 chars"), "password: TOO_SHORT"),
        (password(&"x".repeat(129)), "password: TOO_LONG"),
        (password("tab\tinside it"), "password: INVALID"),
        (
            password("passwordpassword"),
            "password: PASSWORD_TOO_COMMON",
        ),
        (email("nobody"), "email: INVALID"),
        (email("a@b@c"), "email: INVALID"),
        (email("Ada <ada@example.org>"), "email: INVALID"),
        (email("ada@exam ple.org"), "email: INVALID"),
        (
            email(&format!("a@{}.org", "x".repeat(254))),
            "email: INVALID",
        ),
    ] {
        let answer = create(&app, input.clone()).await;
        assert_eq!(problems(&answer), [expected], "{input}");
    }
}

#[tokio::test]
async fn values_at_the_bounds_are_accepted() {
    let app = TestApp::start().await;
    for (username, password) in [
        ("x".to_owned(), "8 chars!".to_owned()),
        ("x".repeat(64), "y".repeat(128)),
        ("é".repeat(64), "ß".repeat(128)),
        (
            "O'Neil-Smith_2.0+@example.org".to_owned(),
            "ünïcödé ☠".to_owned(),
        ),
    ] {
        let answer = create(&app, json!({ "username": username, "password": password })).await;
        assert_eq!(problems(&answer), [""; 0]);
        let token = app
            .graphql("mutation { createToken { token } }")
            .basic(&username, &password)
            .send()
            .await;
        assert!(token.at("/data/createToken/token").is_string(), "{token:?}");
    }
}

#[tokio::test]
async fn all_invalid_fields_are_reported_together() {
    let app = TestApp::start().await;
    let answer = create(
        &app,
        json!({ "username": "", "email": "x", "password": "x" }),
    )
    .await;
    assert_eq!(
        problems(&answer),
        ["username: BLANK", "email: INVALID", "password: TOO_SHORT"]
    );
}

#[tokio::test]
async fn usernames_and_emails_equal_in_canonical_form_are_taken() {
    let app = TestApp::start().await;
    let first = json!({ "username": "Zoë", "email": "Zoe@example.org", "password": PASSWORD });
    assert_eq!(problems(&create(&app, first).await), [""; 0]);
    for same in ["Zoë", "zoë", "ZOË", "Zoe\u{308}", "\u{ff3a}oë"] {
        let answer = create(&app, json!({ "username": same, "password": PASSWORD })).await;
        assert_eq!(problems(&answer), ["username: TAKEN"], "{same}");
    }
    let both = json!({ "username": "zoë", "email": "zoe@EXAMPLE.org", "password": PASSWORD });
    assert_eq!(
        problems(&create(&app, both).await),
        ["username: TAKEN", "email: TAKEN"]
    );
}

#[tokio::test]
async fn one_of_many_concurrent_registrations_of_one_name_succeeds() {
    let app = TestApp::start().await;
    let input = json!({ "username": "ada", "password": PASSWORD });
    let answers = join_all((0..16).map(|_| create(&app, input.clone()))).await;
    let taken = answers
        .iter()
        .filter(|answer| problems(answer) == ["username: TAKEN"]);
    assert_eq!(taken.count(), 15);
    assert_eq!(app.sign_in("ada").await.len(), 32);
}
