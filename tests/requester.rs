//! `Requester`: the operations of an embedding application on behalf of its clients.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use futures_util::FutureExt;
use poem::web::Json;
use poem::{Route, handler, post};
use reqwest::Method;
use serde_json::{Value, json};
use symbolon::sea_orm::{ConnectionTrait, Statement};
use symbolon::{
    AuditEvent, AuditEventFilter, AuditEventKind, Client, CredentialType, Error, FieldErrorCode,
    Forbidden, HookError, HookTransaction, Hooks, MutationError, Registrant, Registration,
    Requester, Role, Symbolon, TokenOptions, Unauthenticated, User, UserId, async_trait,
};

use crate::support::{Answer, PASSWORD, TestApp, eventually, start_of_time};

pub fn basic(username: &str, password: &str) -> String {
    format!(
        "Basic {}",
        STANDARD.encode(format!("{username}:{password}"))
    )
}

pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A client in a test network.
pub fn client() -> Client {
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    Client::new(Some(address))
        .with_user_agent("test agent")
        .with_request_id("request-7")
}

pub fn as_user(app: &TestApp, username: &str) -> Requester {
    let authorization = basic(username, PASSWORD);
    app.symbolon().requester(Some(&authorization), client())
}

pub fn with_token(app: &TestApp, token: &str) -> Requester {
    app.symbolon().requester(Some(&bearer(token)), client())
}

pub fn anonymous(app: &TestApp) -> Requester {
    app.symbolon().requester(None, client())
}

/// Returns the newest audit events of this kind first.
pub async fn events(app: &TestApp, kind: AuditEventKind) -> Vec<AuditEvent> {
    let filter = AuditEventFilter {
        kind: Some(kind),
        ..AuditEventFilter::default()
    };
    app.operator().audit_events(filter, None).await.unwrap()
}

pub fn refusal<T>(result: Result<T, Error>) -> Unauthenticated {
    match result {
        Err(Error::Unauthenticated(why)) => why,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("not refused"),
    }
}

pub fn denial<T>(result: Result<T, Error>) -> Forbidden {
    match result {
        Err(Error::Forbidden(why)) => why,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("not refused"),
    }
}

#[tokio::test]
async fn each_method_accepts_its_credentials_only() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    app.register("root").await;
    app.make_admin(2).await;
    let token = app.sign_in("ada").await;
    let access = app
        .access_token("ada", json!({ "name": "one", "scopes": ["notes:read"] }))
        .await;
    let (none, malformed) = (
        anonymous(&app),
        app.symbolon().requester(Some("?"), client()),
    );
    let (with_token, with_access) = (with_token(&app, &token), with_token(&app, &access));
    let (password, admin) = (as_user(&app, "ada"), as_user(&app, "root"));

    let identity = with_token.identity().await.unwrap();
    assert_eq!(i64::from(identity.user().id), ada);
    assert_eq!(refusal(none.identity().await), Unauthenticated::Missing);
    assert_eq!(
        refusal(malformed.identity().await),
        Unauthenticated::NotBearer
    );
    assert_eq!(
        refusal(password.identity().await),
        Unauthenticated::NotBearer
    );

    assert_eq!(
        with_token.authenticate().await.unwrap().user().username,
        "ada"
    );
    assert_eq!(
        password.authenticate().await.unwrap().user().username,
        "ada"
    );
    assert_eq!(refusal(none.authenticate().await), Unauthenticated::Missing);
    assert_eq!(
        refusal(malformed.authenticate().await),
        Unauthenticated::NotBasic
    );
    let direct = app.symbolon().authenticate(&bearer(&token), client());
    assert_eq!(direct.await.unwrap().user().username, "ada");

    with_token.require_role(Role::User).await.unwrap();
    let refused = with_token.require_role(Role::Admin).await;
    assert_eq!(denial(refused), Forbidden::RoleRequired);
    with_token.require_scope("other").await.unwrap();
    with_access.require_scope("notes:read").await.unwrap();
    let refused = with_access.require_scope("other").await;
    assert_eq!(denial(refused), Forbidden::ScopeRequired);

    admin.require_password(Role::Admin).await.unwrap();
    let refused = as_user(&app, "ada").require_password(Role::Admin).await;
    assert_eq!(denial(refused), Forbidden::RoleRequired);
    let refused = with_token.require_password(Role::User).await;
    assert_eq!(denial(refused), Forbidden::PasswordRequired);
}

#[tokio::test]
async fn a_password_of_a_form_is_verified_like_any_other() {
    let app = TestApp::start().await;
    let ada = app.register("ada").await;
    app.register("eve").await;
    app.sql("UPDATE symbolon_user SET disabled_at = 0 WHERE username = 'eve'")
        .await;
    for (name, password) in [("nobody", PASSWORD), ("ada", "wrong"), ("eve", PASSWORD)] {
        let refused = anonymous(&app).verify_password(name, password).await;
        assert_eq!(
            refusal(refused),
            Unauthenticated::InvalidCredentials,
            "{name}"
        );
    }
    let failed = events(&app, AuditEventKind::SignInFailed).await;
    assert_eq!(failed.iter().map(|event| event.count).sum::<i64>(), 3);

    let requester = anonymous(&app);
    let user = requester.verify_password(" ada ", PASSWORD).await.unwrap();
    assert_eq!(i64::from(user.id), ada);
    let signed_in = &events(&app, AuditEventKind::SignedIn).await[0];
    assert_eq!(signed_in.actor, Some(user.id));
    assert_eq!(signed_in.credential_type, Some(CredentialType::Password));
    assert_eq!(signed_in.address.as_deref(), Some("192.0.2.7"));
    assert_eq!(signed_in.request_id.as_deref(), Some("request-7"));
    assert!(app.row(ada).await.last_sign_in_at.is_some());

    // The form does not authenticate the request, and the request verifies no second password.
    assert_eq!(
        refusal(requester.authenticate().await),
        Unauthenticated::Missing
    );
    let second = requester.verify_password("ada", PASSWORD).await;
    assert!(matches!(second, Err(Error::LimitExceeded(_))), "{second:?}");
}

#[tokio::test]
async fn the_throttle_limits_the_passwords_of_forms() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let mut last = None;
    for _ in 0..100 {
        let attempt = anonymous(&app).verify_password("ada", "wrong").await;
        if matches!(attempt, Err(Error::RateLimited { .. })) {
            last = Some(attempt);
            break;
        }
    }
    assert!(last.is_some());
    // The right password is refused too, and by each method.
    let refused = anonymous(&app).verify_password("ada", PASSWORD).await;
    assert!(matches!(refused, Err(Error::RateLimited { .. })));
    let options = TokenOptions::new();
    let refused = anonymous(&app)
        .sign_in_with("ada", PASSWORD, &options)
        .await;
    assert!(matches!(refused, Err(Error::RateLimited { .. })));
    let refused = as_user(&app, "ada").sign_in(&options).await;
    assert!(matches!(refused, Err(Error::RateLimited { .. })));
    eventually("the throttled attempts are recorded", async || {
        let throttled = events(&app, AuditEventKind::Throttled).await;
        (throttled.first()?.count >= 4).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_sign_in_issues_the_token_that_is_requested() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let options = TokenOptions::new();
    let shared = as_user(&app, "ada").sign_in(&options).await.unwrap();
    assert!(app.accepts(shared.token()).await);
    assert_eq!(shared.user.username, "ada");
    assert!(!format!("{shared:?}").contains(shared.token()));
    let form = anonymous(&app)
        .sign_in_with("ada", PASSWORD, &options)
        .await;
    assert_eq!(form.unwrap().token(), shared.token());

    let options = TokenOptions::new().device("Phone").unwrap();
    let options = options.expires_in(3600).unwrap();
    let phone = as_user(&app, "ada").sign_in(&options).await.unwrap();
    assert!(phone.token().starts_with("symd_"));
    let expected = start_of_time() + TimeDelta::hours(1);
    assert_eq!(phone.expires_at, expected);

    let fresh = as_user(&app, "ada").sign_in(&TokenOptions::new().fresh());
    let fresh = fresh.await.unwrap();
    assert_ne!(fresh.token(), shared.token());
    assert!(!app.accepts(shared.token()).await);

    assert!(matches!(
        TokenOptions::new().device(" "),
        Err(Error::BadUserInput(_))
    ));
    for seconds in [i64::MIN, 0, 119, 2_592_001, i64::MAX] {
        let refused = TokenOptions::new().expires_in(seconds);
        assert!(matches!(refused, Err(Error::BadUserInput(_))), "{seconds}");
    }
    let refused = with_token(&app, fresh.token())
        .sign_in(&TokenOptions::new())
        .await;
    assert_eq!(refusal(refused), Unauthenticated::NotBasic);
}

#[tokio::test]
async fn a_requester_that_is_kept_does_not_outlive_its_token() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let kept = with_token(&app, &token);
    kept.identity().await.unwrap();
    app.revoke(&token).await;
    assert_eq!(
        refusal(kept.identity().await),
        Unauthenticated::TokenExpired
    );

    let token = app.sign_in("ada").await;
    let kept = with_token(&app, &token);
    kept.require_role(Role::User).await.unwrap();
    app.advance(TimeDelta::hours(1));
    assert_eq!(
        refusal(kept.require_role(Role::User).await),
        Unauthenticated::TokenExpired
    );

    // Another process disables the user.
    let token = app.sign_in("ada").await;
    let kept = with_token(&app, &token);
    kept.require_scope("notes:read").await.unwrap();
    app.sql("UPDATE symbolon_user SET disabled_at = 0").await;
    assert_eq!(
        refusal(kept.require_scope("notes:read").await),
        Unauthenticated::TokenExpired
    );
}

fn registration(username: &str) -> Registration {
    Registration {
        username: username.to_owned(),
        email: None,
        password: PASSWORD.to_owned(),
    }
}

#[tokio::test]
async fn registration_follows_the_rules_of_create_user() {
    let app = TestApp::start().await;
    let user = anonymous(&app)
        .register(&registration("ada"))
        .await
        .unwrap();
    assert_eq!((user.username.as_str(), user.role), ("ada", Role::User));
    let registered = &events(&app, AuditEventKind::Registered).await[0];
    assert_eq!(registered.address.as_deref(), Some("192.0.2.7"));
    let taken = anonymous(&app).register(&registration("ADA")).await;
    let Err(MutationError::Fields(errors)) = taken else {
        panic!("{taken:?}");
    };
    assert_eq!(errors[0].code, FieldErrorCode::Taken);
    let mut refused = None;
    for number in 0..100 {
        let name = format!("user{number}");
        if let Err(error) = anonymous(&app).register(&registration(&name)).await {
            refused = Some(error);
            break;
        }
    }
    let is_limited = |error| matches!(error, MutationError::Error(Error::RateLimited { .. }));
    assert!(refused.is_some_and(is_limited));

    let app = TestApp::configured(|config| config.registration = false).await;
    let operator = app.operator();
    let root = registration("root");
    operator.add_user(&root, Role::Admin).await.unwrap();
    let closed = anonymous(&app).register(&registration("ada")).await;
    let is_closed = matches!(
        closed,
        Err(MutationError::Error(Error::Forbidden(
            Forbidden::RegistrationClosed
        )))
    );
    assert!(is_closed, "{closed:?}");
    let added = as_user(&app, "root").register(&registration("ada")).await;
    assert_eq!(added.unwrap().username, "ada");
}

#[tokio::test]
async fn tokens_are_renewed_and_revoked() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let phone = app.sign_in_on("ada", "Phone").await;
    app.advance(TimeDelta::minutes(10));
    let renewed = with_token(&app, &token).renew_token().await.unwrap();
    assert_eq!(renewed.token(), token);
    let renewed_until = renewed.expires_at;
    let before = with_token(&app, &phone)
        .identity()
        .await
        .unwrap()
        .expires_at();
    assert!(before.is_some_and(|before| before < renewed_until));

    let requester = with_token(&app, &token);
    assert_eq!(requester.revoke_other_sessions().await.unwrap(), 1);
    assert!(!app.accepts(&phone).await && app.accepts(&token).await);
    assert!(requester.revoke_token().await.unwrap());
    assert!(!app.accepts(&token).await);
    assert!(!requester.revoke_token().await.unwrap());

    let token = app.sign_in("ada").await;
    let access = app.access_token("ada", json!({ "name": "one" })).await;
    assert_eq!(as_user(&app, "ada").revoke_all_tokens().await.unwrap(), 2);
    assert!(!app.accepts(&token).await && !app.accepts(&access).await);
    let refused = with_token(&app, &token).revoke_all_tokens().await;
    assert_eq!(refusal(refused), Unauthenticated::TokenExpired);
}

#[tokio::test]
async fn an_operation_completes_after_its_future_is_dropped() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let requester = as_user(&app, "ada");
    let pending = requester.sign_in(&TokenOptions::new()).now_or_never();
    assert!(pending.is_none());
    eventually("the sign-in is complete", async || {
        let issued = events(&app, AuditEventKind::TokenIssued).await;
        issued.first().map(drop)
    })
    .await;
    // A future that is never polled does nothing.
    drop(as_user(&app, "ada").revoke_all_tokens());
    assert!(events(&app, AuditEventKind::TokenRevoked).await.is_empty());
}

#[handler]
async fn log_in(requester: Requester) -> Result<Json<Value>, Error> {
    let session = requester.sign_in(&TokenOptions::new()).await?;
    Ok(Json(json!({ "token": session.token() })))
}

#[tokio::test]
async fn a_poem_route_extracts_the_requester() {
    let routes =
        |symbolon: &Symbolon| -> Route { symbolon.own_routes().at("/log-in", post(log_in)) };
    let app = TestApp::with_routes(|_| {}, routes).await;
    app.register("ada").await;
    let request = || app.request(Method::POST, "/log-in");
    let ada = || request().basic_auth("ada", Some(PASSWORD));
    let answer = Answer::of(ada()).await;
    assert!(app.accepts(answer.string("/token")).await);
    let refused = Answer::of(request()).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.at("/reason"), "MISSING");
    // Browsers add Basic credentials to requests from pages of other origins.
    let foreign = ada().header("origin", "https://evil.example");
    let refused = Answer::of(foreign).await;
    assert_eq!(
        (refused.status.as_u16(), refused.at("/reason")),
        (403, &json!("CROSS_SITE"))
    );
}

/// Hooks of one registration. They write a row, and then fail if the name says so.
struct NewProfile;

#[async_trait]
impl Hooks for NewProfile {
    async fn before_register(
        &self,
        _: &HookTransaction<'_>,
        registrant: &Registrant,
    ) -> Result<(), HookError> {
        if registrant.username == "eve" {
            return Err(HookError::refuse("displayName", "Eve has no display name."));
        }
        Ok(())
    }

    async fn after_register(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        let insert = Statement::from_sql_and_values(
            transaction.get_database_backend(),
            "INSERT INTO profile (user_id) VALUES ($1)",
            [user.id.into()],
        );
        transaction.execute_raw(insert).await?;
        if user.username == "mallory" {
            return Err(HookError::refuse(
                "displayName",
                "Mallory has no display name.",
            ));
        }
        Ok(())
    }
}

#[tokio::test]
async fn the_hooks_of_one_registration_share_its_transaction() {
    let app = TestApp::start().await;
    let database = app.symbolon().connection();
    let create = "CREATE TABLE profile (user_id BIGINT PRIMARY KEY)";
    database.execute_unprepared(create).await.unwrap();
    for name in ["eve", "mallory"] {
        let refused = anonymous(&app).register_with(&registration(name), NewProfile);
        let Err(MutationError::Fields(errors)) = refused.await else {
            panic!("{name} was registered");
        };
        assert_eq!(
            (errors[0].field, errors[0].code),
            ("displayName", FieldErrorCode::Invalid)
        );
        assert!(app.operator().user(name).await.unwrap().is_none());
    }
    let ada = anonymous(&app).register_with(&registration("ada"), NewProfile);
    let ada = ada.await.unwrap();
    // The hooks belong to that registration only.
    anonymous(&app)
        .register(&registration("bob"))
        .await
        .unwrap();
    let select = Statement::from_string(
        database.get_database_backend(),
        "SELECT user_id FROM profile",
    );
    let rows = database.query_all_raw(select).await.unwrap();
    let ids: Vec<UserId> = rows
        .iter()
        .map(|row| row.try_get_by_index(0).unwrap())
        .collect();
    assert_eq!(ids, [ada.id]);
}
