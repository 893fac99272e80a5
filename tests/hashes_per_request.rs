//! The number of hashes that a request computes.

use std::time::Instant;

use serde_json::{Value, json};
use symbolon::{AuditEventFilter, AuditEventKind};

use crate::privilege_escalation::with_admins;
use crate::sign_in::CREATE;
use crate::support::{PASSWORD, TestApp};
use crate::user_self_service::OTHER;

#[tokio::test]
async fn aliases_share_one_password_verification() {
    // With the default parameters, a hash takes far longer than everything else.
    let app = TestApp::configured(|config| {
        config.argon2_memory = 19456;
        config.argon2_iterations = 2;
    })
    .await;
    let mut many = "mutation {".to_owned();
    for n in 0..50 {
        many += &format!(" a{n}: createToken {{ token }}");
    }
    many += " }";
    let time = async |document: &str| {
        let start = Instant::now();
        let answer = app.graphql(document).basic("ada", "wrong").send().await;
        let code = answer.at("/errors/0/extensions/reason");
        assert_eq!(code, "INVALID_CREDENTIALS");
        start.elapsed()
    };
    let (mut one, mut fifty) = (time(CREATE).await, time(&many).await);
    for _ in 0..4 {
        one = one.min(time(CREATE).await);
        fifty = fifty.min(time(&many).await);
    }
    // Each field fails, but only one password is verified.
    assert!(fifty < one * 10, "{fifty:?} for fifty, {one:?} for one");
    app.register("ada").await;
    let document = "mutation { a: createToken { token } b: createToken { token } }";
    let both = app.graphql(document).basic("ada", PASSWORD).send().await;
    assert!(both.at("/data/a/token").is_string());
    assert_eq!(both.at("/data/a/token"), both.at("/data/b/token"));
}

/// Returns the number of events of this kind in the audit trail, including counted ones.
async fn events(app: &TestApp, kind: AuditEventKind) -> i64 {
    let filter = AuditEventFilter {
        kind: Some(kind),
        ..AuditEventFilter::default()
    };
    let events = app.operator().audit_events(filter, None).await.unwrap();
    events.iter().map(|event| event.count).sum()
}

#[tokio::test]
async fn a_request_verifies_its_password_only_once() {
    let app = with_admins().await;
    let aliases = (0..20).map(|n| {
        format!(
            "a{n}: setUserRole(id: 3, role: ADMIN) {{ user {{ id }} }}
             b{n}: disableUser(id: 99) {{ userErrors {{ code }} }}
             c{n}: createToken {{ token }} "
        )
    });
    let document = format!("mutation {{ {} }}", aliases.take(16).collect::<String>());
    let send = async |password| {
        let request = app.graphql(&document);
        request.basic("ada", password).send().await
    };
    let answer = send(PASSWORD).await;
    assert_eq!(answer.at("/errors"), &Value::Null);
    assert_eq!(events(&app, AuditEventKind::SignedIn).await, 1);
    let answer = send("wrong").await;
    assert_eq!(answer.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    assert_eq!(events(&app, AuditEventKind::SignInFailed).await, 1);
    // The Basic credentials are verified before the password in the input.
    let document = format!(
        r#"mutation {{ createToken {{ token }} deleteUser(input: {{ password: "{PASSWORD}" }}) {{ deletedUserId }} }}"#
    );
    let answer = app.graphql(&document).basic("bob", PASSWORD).send().await;
    assert_eq!(answer.at("/data/deleteUser/deletedUserId"), "3");
}

#[tokio::test]
async fn a_request_computes_one_new_hash() {
    let app = TestApp::start().await;
    let answer = app
        .graphql(
            r#"mutation {
                a: createUser(input: {username: "a", password: "correct horse"}) { user { id } }
                b: createUser(input: {username: "b", password: "correct horse"}) { user { id } }
            }"#,
        )
        .send()
        .await;
    assert_eq!(answer.error(), ("LIMIT_EXCEEDED", ""));
    assert_eq!(
        answer.at("/errors/0/extensions/limit"),
        "newPasswordsPerRequest"
    );
    assert_eq!(answer.at("/errors/0/path"), &json!(["b"]));
    // The other field was executed: the fields of an operation are independent.
    assert_eq!(
        app.graphql("mutation { createToken { user { id } } }")
            .basic("a", "correct horse")
            .send()
            .await
            .at("/data/createToken/user/id"),
        "1"
    );
}

#[tokio::test]
async fn a_request_verifies_one_password_guess() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let guess = |alias: &str, password: &str| {
        format!(
            "{alias}: changePassword(input: {{ currentPassword: \"{password}\", newPassword: \"{OTHER}\" }}) {{ userErrors {{ code }} }}"
        )
    };
    let delete =
        format!("c: deleteUser(input: {{ password: \"{PASSWORD}\" }}) {{ deletedUserId }}");
    let document = format!(
        "mutation {{ {} {} {delete} }}",
        guess("a", "wrong"),
        guess("b", PASSWORD)
    );
    // A null in a non-null field makes the whole response null.
    let answer = app.graphql(&document).bearer(&token).send().await;
    let error = answer.at("/errors/0/extensions");
    assert_eq!(error["code"], "LIMIT_EXCEEDED");
    assert_eq!(error["limit"], "verifiedPasswordsPerRequest");
    assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
}
