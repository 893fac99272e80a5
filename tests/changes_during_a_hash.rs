//! Changes of a user, a role or a session while a request of the user computes a hash.

use sea_orm::{EntityTrait, PaginatorTrait};
use symbolon::{Registration, Role};

use crate::hash_queue::one_slow_hash_at_a_time;
use crate::privilege_escalation::NEW_PASSWORD;
use crate::sign_in::attempt;
use crate::support::{Answer, PASSWORD, TestApp, eventually};

#[tokio::test]
async fn a_password_change_or_disable_during_the_hash_refuses_the_sign_in() {
    let app = TestApp::configured(one_slow_hash_at_a_time).await;
    app.register("ada").await;
    for change in ["password_version = password_version + 1", "disabled_at = 0"] {
        let is_busy = async || attempt(&app, "nobody").await.error().0 == "SERVICE_UNAVAILABLE";
        let sign_in = eventually("the request gets the hashing thread", async || {
            let answer = attempt(&app, "ada").await;
            (answer.error().0 != "SERVICE_UNAVAILABLE").then_some(answer)
        });
        let meanwhile = async {
            eventually("the hash is under way", async || {
                is_busy().await.then_some(())
            })
            .await;
            app.sql(&format!("UPDATE symbolon_user SET {change}")).await;
            assert!(is_busy().await, "the hash was over before {change}");
        };
        let (answer, ()) = tokio::join!(sign_in, meanwhile);
        assert_eq!(
            answer.error(),
            ("UNAUTHENTICATED", "INVALID_CREDENTIALS"),
            "{change}"
        );
        assert_eq!(app.row(1).await.token_digest, None, "{change}");
    }
}

#[tokio::test]
async fn a_password_change_during_the_hash_refuses_the_deletion() {
    let app = TestApp::configured(one_slow_hash_at_a_time).await;
    let id = app.register("ada").await;
    let token = app.sign_in("ada").await;
    let document = format!(
        r#"mutation {{ deleteUser(input: {{ password: "{PASSWORD}" }}) {{ deletedUserId }} }}"#
    );
    let is_busy = async || attempt(&app, "nobody").await.error().0 == "SERVICE_UNAVAILABLE";
    let deletion = eventually("the request gets the hashing thread", async || {
        let answer = app.graphql(&document).bearer(&token).send().await;
        (answer.error().0 != "SERVICE_UNAVAILABLE").then_some(answer)
    });
    let meanwhile = async {
        eventually("the hash is under way", async || {
            is_busy().await.then_some(())
        })
        .await;
        app.sql("UPDATE symbolon_user SET password_version = password_version + 1")
            .await;
        assert!(is_busy().await, "the hash was over before the change");
    };
    let (answer, ()) = tokio::join!(deletion, meanwhile);
    assert_eq!(answer.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
    assert_eq!(app.row(id).await.username, "ada");
}

/// Starts an app with the admins `ada` (1) and `alan` (2) and the user `bob` (3), in which a hash takes
/// some tenths of a second.
async fn with_closed_registration() -> TestApp {
    let app = TestApp::configured(|config| {
        config.registration = false;
        config.argon2_memory = 19_456;
        config.argon2_iterations = 10;
    })
    .await;
    for (name, role) in [
        ("ada", Role::Admin),
        ("alan", Role::Admin),
        ("bob", Role::User),
    ] {
        let new = Registration {
            username: name.to_owned(),
            email: None,
            password: PASSWORD.to_owned(),
        };
        app.operator().add_user(&new, role).await.unwrap();
    }
    app
}

/// Returns the response to a change by `ada` with her password. The SQL statement runs after her
/// password was verified, while the new password is hashed.
async fn while_a_password_is_hashed(call: &str, change: &str) -> (TestApp, Answer) {
    let app = with_closed_registration().await;
    let document = format!("mutation {{ {call} }}");
    let call = app.graphql(&document).basic("ada", PASSWORD).send();
    let changes = async {
        eventually("the password is verified", async || {
            app.row(1).await.last_sign_in_at
        })
        .await;
        app.sql(change).await;
    };
    let (answer, ()) = tokio::join!(call, changes);
    (app, answer)
}

#[tokio::test]
async fn a_role_removed_during_the_hash_refuses_the_registration() {
    let call = format!(
        r#"createUser(input: {{ username: "eve", password: "{NEW_PASSWORD}" }}) {{ user {{ id }} }}"#
    );
    let change = "UPDATE symbolon_user SET role = 'user' WHERE id = 1";
    let (app, answer) = while_a_password_is_hashed(&call, change).await;
    assert_eq!(answer.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
    assert!(app.operator().user("eve").await.unwrap().is_none());
}

#[tokio::test]
async fn a_password_changed_during_the_hash_refuses_the_grant() {
    let call = format!(
        r#"setUserPassword(input: {{ id: 3, newPassword: "{NEW_PASSWORD}" }}) {{ user {{ id }} }}"#
    );
    for (change, error) in [
        (
            "UPDATE symbolon_user SET password_version = password_version + 1 WHERE id = 1",
            ("UNAUTHENTICATED", "INVALID_CREDENTIALS"),
        ),
        (
            "UPDATE symbolon_user SET disabled_at = 0 WHERE id = 1",
            ("UNAUTHENTICATED", "INVALID_CREDENTIALS"),
        ),
        (
            "UPDATE symbolon_user SET role = 'user' WHERE id = 1",
            ("FORBIDDEN", "ROLE_REQUIRED"),
        ),
    ] {
        let (app, answer) = while_a_password_is_hashed(&call, change).await;
        assert_eq!(answer.error(), error, "{change}");
        let (target, untouched) = (app.row(3).await, app.row(2).await);
        assert_eq!(target.password_version, untouched.password_version);
    }
}

#[tokio::test]
async fn a_session_ended_during_the_hash_refuses_the_registration() {
    let app = with_closed_registration().await;
    let token = app.sign_in("ada").await;
    let document = format!(
        r#"mutation {{ createUser(input: {{ username: "eve", password: "{NEW_PASSWORD}" }}) {{ user {{ id }} }} }}"#
    );
    let buckets = async || {
        let database = app.database().await;
        let count = entity::throttle::Entity::find().count(&database).await;
        database.close().await.unwrap();
        count.unwrap()
    };
    let before = buckets().await;
    let call = app.graphql(&document).bearer(&token).send();
    let ends = async {
        eventually("the registration is counted", async || {
            (buckets().await > before).then_some(())
        })
        .await;
        app.revoke(&token).await;
    };
    let (answer, ()) = tokio::join!(call, ends);
    assert_eq!(answer.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
    assert!(app.operator().user("eve").await.unwrap().is_none());
}
