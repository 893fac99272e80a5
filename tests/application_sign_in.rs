//! Tokens for users whom the application has authenticated, and impersonation by admins.

use std::sync::Arc;
use std::sync::Mutex;

use chrono::TimeDelta;
use poem::Route;
use reqwest::Method;
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::json;
use symbolon::{
    AuditEventKind, CredentialType, Error, Forbidden, HookError, HookTransaction, Hooks,
    SessionToken, Symbolon, TokenOptions, Unauthenticated, User, UserId, async_trait,
};
use tokio::task::yield_now;

use crate::requester::{anonymous, as_user, client, denial, events, refusal, with_token};
use crate::support::{Answer, TestApp, digest_prefix, start_of_time};

fn id(id: i64) -> UserId {
    id.to_string().parse().unwrap()
}

async fn create_token(app: &TestApp, user: i64) -> Result<SessionToken, Error> {
    let options = TokenOptions::new();
    anonymous(app)
        .create_token(id(user), "github", &options)
        .await
}

#[tokio::test]
async fn the_application_signs_in_a_user() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    app.advance(TimeDelta::minutes(1));
    let issued = create_token(&app, ada).await.unwrap();
    assert!(app.accepts(issued.token()).await);
    let now = (start_of_time() + TimeDelta::minutes(1)).timestamp_millis();
    assert_eq!(app.row(ada).await.last_sign_in_at, Some(now));
    for kind in [AuditEventKind::SignedIn, AuditEventKind::TokenIssued] {
        let events = events(&app, kind).await;
        assert_eq!(events.len(), 1);
        let event = &events[0];
        assert_eq!((event.user, event.actor), (Some(id(ada)), Some(id(ada))));
        assert_eq!(event.credential_type, Some(CredentialType::Application));
        assert_eq!(event.credential_id.as_deref(), Some("github"));
        assert_eq!(event.address.as_deref(), Some("192.0.2.7"));
        assert_eq!(event.request_id.as_deref(), Some("request-7"));
    }
    let issued_event = &events(&app, AuditEventKind::TokenIssued).await[0];
    let digest = digest_prefix(issued.token());
    assert_eq!(issued_event.token.as_deref(), Some(digest.as_str()));
    // The token is that of the shared session.
    assert_eq!(app.sign_in("ada").await, issued.token());

    let options = TokenOptions::new().device("Phone").unwrap();
    let phone = anonymous(&app).create_token(id(ada), "magic-link", &options);
    assert!(phone.await.unwrap().token().starts_with("symd_"));
    let answer = app.graphql("{ me { sessions { nodes { device userAgent } } } }");
    let answer = answer.bearer(issued.token()).send().await;
    let phone = json!({ "device": "Phone", "userAgent": "test agent" });
    assert_eq!(answer.at("/data/me/sessions/nodes/1"), &phone);
}

#[tokio::test]
async fn the_address_of_the_application_sign_in_is_known() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    create_token(&app, ada).await.unwrap();
    // Attempts from other addresses use up the attempts for the username, but not those from the known address.
    for _ in 0..100 {
        let attempt = app.graphql("mutation { createToken { token } }");
        let answer = attempt.basic("ada", "wrong").send().await;
        if answer.error().0 == "RATE_LIMITED" {
            break;
        }
    }
    as_user(&app, "ada")
        .sign_in(&TokenOptions::new())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_application_cannot_sign_in_unknown_and_disabled_users() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    app.sql("UPDATE symbolon_user SET disabled_at = 0").await;
    for user in [ada, 99, 0, -1] {
        let refused = create_token(&app, user).await;
        assert_eq!(
            refusal(refused),
            Unauthenticated::InvalidCredentials,
            "{user}"
        );
    }
    assert!(events(&app, AuditEventKind::TokenIssued).await.is_empty());
    assert_eq!(app.row(ada).await.last_sign_in_at, None);
    let failed = events(&app, AuditEventKind::SignInFailed).await;
    let counts = failed.iter().map(|event| (event.user, event.count));
    assert_eq!(counts.collect::<Vec<_>>(), [(None, 3), (Some(id(ada)), 1)]);
}

#[tokio::test]
async fn the_name_of_a_method_is_checked() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    let options = TokenOptions::new();
    let long = "a".repeat(33);
    for method in ["", "two words", "ünïcode", "line\nbreak", &long] {
        let refused = anonymous(&app)
            .create_token(id(ada), method, &options)
            .await;
        assert!(matches!(refused, Err(Error::BadUserInput(_))), "{method}");
    }
    let longest = "a.b-C_9".repeat(4) + "abcd";
    let issued = anonymous(&app).create_token(id(ada), &longest, &options);
    issued.await.unwrap();
}

/// Hooks that record each call, and refuse sign-ins if the test says so.
#[derive(Clone, Default)]
struct SignInHooks(Arc<Mutex<(Vec<String>, bool)>>);

#[async_trait]
impl Hooks for SignInHooks {
    async fn before_sign_in(&self, _: &HookTransaction<'_>, user: &User) -> Result<(), HookError> {
        let mut state = self.0.lock().unwrap();
        let last = user.last_sign_in_at.map_or(0, |at| at.timestamp());
        state.0.push(format!("{} {last}", user.username));
        if state.1 {
            return Err(HookError::refuse("user", "Not today."));
        }
        Ok(())
    }
}

#[tokio::test]
async fn the_hook_runs_at_a_sign_in_by_the_application() {
    let hooks = SignInHooks::default();
    let app = TestApp::with_hooks(hooks.clone()).await;
    let ada = app.register("ada").await;
    create_token(&app, ada).await.unwrap();
    create_token(&app, ada).await.unwrap();
    let start = start_of_time().timestamp();
    let expected = ["ada 0".to_owned(), format!("ada {start}")];
    assert_eq!(hooks.0.lock().unwrap().0, expected);

    hooks.0.lock().unwrap().1 = true;
    app.advance(TimeDelta::minutes(1));
    let refused = create_token(&app, ada).await;
    let Err(Error::SignInRefused(message)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(message, "Not today.");
    assert_eq!(events(&app, AuditEventKind::SignedIn).await.len(), 2);
    let last = app.row(ada).await.last_sign_in_at;
    assert_eq!(last, Some(start_of_time().timestamp_millis()));
}

/// Changes a row in a transaction of another process, starts an operation that waits for the row, and commits the change.
async fn race<T: Send + 'static>(
    app: &TestApp,
    change: &str,
    operation: impl Future<Output = T> + Send + 'static,
) -> T {
    let database = app.database().await;
    let transaction = database.begin().await.unwrap();
    transaction.execute_unprepared(change).await.unwrap();
    let operation = tokio::spawn(operation);
    // The operation reaches the lock. The result must be the same if it does not.
    for _ in 0..50 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        yield_now().await;
    }
    assert!(!operation.is_finished());
    transaction.commit().await.unwrap();
    database.close().await.unwrap();
    operation.await.unwrap()
}

#[tokio::test]
async fn a_user_who_is_disabled_or_deleted_during_a_sign_in_by_the_application_gets_no_token() {
    for change in [
        "UPDATE symbolon_user SET disabled_at = 0",
        "DELETE FROM symbolon_user",
    ] {
        let app = TestApp::start().await;
        let ada = app.register("ada").await;
        let requester = anonymous(&app);
        let create = requester.create_token(id(ada), "github", &TokenOptions::new());
        let refused = race(&app, change, create).await;
        assert_eq!(refusal(refused), Unauthenticated::InvalidCredentials);
        assert!(events(&app, AuditEventKind::TokenIssued).await.is_empty());
    }
}

/// Starts an app with the user `ada` (1) and the admin `root` (2).
async fn with_admin() -> TestApp {
    let app = TestApp::start().await;
    app.register("ada").await;
    app.register("root").await;
    app.make_admin(2).await;
    app
}

async fn impersonate(app: &TestApp, user: i64) -> Result<SessionToken, Error> {
    let admin = as_user(app, "root");
    admin.impersonate(id(user), &TokenOptions::new()).await
}

#[tokio::test]
async fn an_admin_acts_as_a_user() {
    let app = with_admin().await;
    let issued = impersonate(&app, 1).await.unwrap();
    assert_eq!(issued.user.username, "ada");
    assert_eq!(app.me(issued.token()).await.at("/data/me/username"), "ada");
    assert_eq!(issued.expires_at, start_of_time() + TimeDelta::hours(1));
    assert_eq!(app.row(1).await.last_sign_in_at, None);

    let event = &events(&app, AuditEventKind::TokenIssued).await[0];
    assert_eq!((event.user, event.actor), (Some(id(1)), Some(id(2))));
    assert_eq!(event.credential_type, Some(CredentialType::Password));
    let digest = digest_prefix(issued.token());
    assert_eq!(event.token.as_deref(), Some(digest.as_str()));
    // Nobody has signed in as the user.
    let signed_in = events(&app, AuditEventKind::SignedIn).await;
    assert!(signed_in.iter().all(|event| event.user == Some(id(2))));

    // The user sees the session and can revoke it.
    let token = app.sign_in("ada").await;
    let sessions = app
        .graphql("{ me { sessions { nodes { device } } } }")
        .bearer(&token)
        .send()
        .await;
    assert_eq!(
        sessions.at("/data/me/sessions/nodes/1/device"),
        "impersonated by root"
    );
    with_token(&app, &token)
        .revoke_other_sessions()
        .await
        .unwrap();
    let refused = app.me(issued.token()).await;
    assert_eq!(refused.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
}

#[tokio::test]
async fn an_impersonation_ends_after_its_lifetime_and_grants_no_authority() {
    let app = with_admin().await;
    let issued = impersonate(&app, 1).await.unwrap();
    app.advance(TimeDelta::minutes(59));
    let renewed = app
        .mutate(issued.token(), "renewToken { expiresAt token }")
        .await;
    assert_eq!(
        renewed.at("/data/renewToken/expiresAt"),
        "2026-01-01T01:00:00.000+00:00"
    );
    let requester = with_token(&app, issued.token());
    assert_eq!(
        requester.renew_token().await.unwrap().expires_at,
        issued.expires_at
    );
    let create = "createAccessToken(input: { name: \"one\" }) { token }";
    let refused = app.mutate(issued.token(), create).await;
    assert_eq!(refused.error(), ("FORBIDDEN", "PASSWORD_REQUIRED"));
    app.advance(TimeDelta::minutes(1));
    let refused = app.me(issued.token()).await;
    assert_eq!(refused.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));

    let options = TokenOptions::new().device("Support").unwrap();
    let options = options.expires_in(120).unwrap();
    let issued = as_user(&app, "root")
        .impersonate(id(1), &options)
        .await
        .unwrap();
    assert_eq!(
        issued.expires_at,
        start_of_time() + TimeDelta::seconds(3720)
    );
    let token = app.sign_in("ada").await;
    let sessions = app
        .graphql("{ me { sessions { nodes { device } } } }")
        .bearer(&token)
        .send()
        .await;
    assert_eq!(
        sessions.at("/data/me/sessions/nodes/1/device"),
        "impersonated by root"
    );
}

#[tokio::test]
async fn impersonation_requires_the_password_of_an_admin() {
    let app = with_admin().await;
    app.register("bob").await;
    let options = TokenOptions::new();
    let admin_token = app.sign_in("root").await;
    let refused = with_token(&app, &admin_token)
        .impersonate(id(1), &options)
        .await;
    assert_eq!(denial(refused), Forbidden::PasswordRequired);
    let refused = as_user(&app, "bob").impersonate(id(1), &options).await;
    assert_eq!(denial(refused), Forbidden::RoleRequired);
    let refused = anonymous(&app).impersonate(id(1), &options).await;
    assert_eq!(refusal(refused), Unauthenticated::Missing);
    let wrong = crate::requester::basic("root", "wrong");
    let wrong = app.symbolon().requester(Some(&wrong), client());
    let refused = wrong.impersonate(id(1), &options).await;
    assert_eq!(refusal(refused), Unauthenticated::InvalidCredentials);
}

#[tokio::test]
async fn admins_and_disabled_and_unknown_users_cannot_be_impersonated() {
    let app = with_admin().await;
    app.register("other").await;
    app.make_admin(3).await;
    app.sql("UPDATE symbolon_user SET disabled_at = 0 WHERE id = 1")
        .await;
    for user in [1, 2, 3, 99] {
        let refused = impersonate(&app, user).await;
        assert!(
            matches!(refused, Err(Error::BadUserInput(_))),
            "{user}: {refused:?}"
        );
    }
    let issued = events(&app, AuditEventKind::TokenIssued).await;
    assert!(issued.is_empty());
}

type IsExpected = fn(&Error) -> bool;

#[tokio::test]
async fn changes_during_an_impersonation_are_respected() {
    let invalid: IsExpected = |error| {
        matches!(
            error,
            Error::Unauthenticated(Unauthenticated::InvalidCredentials)
        )
    };
    let demoted: IsExpected = |error| matches!(error, Error::Forbidden(Forbidden::RoleRequired));
    let refused_target: IsExpected = |error| matches!(error, Error::BadUserInput(_));
    let cases: [(&str, IsExpected); 6] = [
        (
            "UPDATE symbolon_user SET role = 'user' WHERE id = 2",
            demoted,
        ),
        (
            "UPDATE symbolon_user SET disabled_at = 0 WHERE id = 2",
            invalid,
        ),
        (
            "UPDATE symbolon_user SET password_version = password_version + 1 WHERE id = 2",
            invalid,
        ),
        (
            "UPDATE symbolon_user SET role = 'admin' WHERE id = 1",
            refused_target,
        ),
        (
            "UPDATE symbolon_user SET disabled_at = 0 WHERE id = 1",
            refused_target,
        ),
        ("DELETE FROM symbolon_user WHERE id = 1", refused_target),
    ];
    for (change, is_expected) in cases {
        let app = with_admin().await;
        let admin = as_user(&app, "root");
        // The password is verified before the change.
        admin.authenticate().await.unwrap();
        let operation = admin.impersonate(id(1), &TokenOptions::new());
        let refused = race(&app, change, operation).await;
        assert!(
            refused.as_ref().is_err_and(is_expected),
            "{change}: {refused:?}"
        );
        assert!(events(&app, AuditEventKind::TokenIssued).await.is_empty());
    }
}

#[tokio::test]
async fn the_hook_of_a_user_does_not_run_at_an_impersonation() {
    let hooks = SignInHooks::default();
    let app = TestApp::with_hooks(hooks.clone()).await;
    app.register("ada").await;
    app.register("root").await;
    app.make_admin(2).await;
    impersonate(&app, 1).await.unwrap();
    assert_eq!(hooks.0.lock().unwrap().0, ["root 0"]);
}

#[tokio::test]
async fn sign_ins_by_the_application_are_counted() {
    let routes = |symbolon: &Symbolon| -> Route {
        let metrics = symbolon.metrics();
        symbolon.own_routes().at("/metrics", metrics)
    };
    let app = TestApp::with_routes(|_| {}, routes).await;
    let ada = app.register("ada").await;
    create_token(&app, ada).await.unwrap();
    create_token(&app, 99).await.unwrap_err();
    as_user(&app, "ada")
        .sign_in(&TokenOptions::new())
        .await
        .unwrap();
    let metrics = Answer::of(app.request(Method::GET, "/metrics")).await;
    let metrics = metrics.body.as_str().unwrap();
    for (result, count) in [("success", 2), ("wrong_credentials", 1), ("throttled", 0)] {
        let labels = format!("endpoint=\"application\",result=\"{result}\"");
        let sample = format!("symbolon_sign_ins_total{{{labels}}} {count}\n");
        assert!(metrics.contains(&sample), "{sample}");
    }
}
