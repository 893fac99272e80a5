//! The authority of requesters that an application keeps, and of impersonations, ends like every other authority.

use std::sync::Arc;

use async_graphql::{
    Context, Data, EmptySubscription, Executor, MergedObject, Request, Response, Subscription,
};
use chrono::TimeDelta;
use futures_util::{Stream, StreamExt, stream};
use poem::{get, handler};
use reqwest::Method;
use serde_json::json;
use symbolon::{
    AuditEventKind, ContextExt, Error, Registration, Requester, Role, TokenOptions, UserId,
};

use crate::requester::{anonymous, as_user, denial, events, refusal, with_token};
use crate::support::{Answer, PASSWORD, TestApp};

#[derive(MergedObject, Default)]
struct Query(symbolon::Query);

/// Returns an app with the user 1, `ada`, and the admins 2 and 3, `root` and `boss`.
async fn with_admins() -> TestApp {
    let app = TestApp::start().await;
    for name in ["ada", "root", "boss"] {
        app.register(name).await;
    }
    app.make_admin(2).await;
    app.make_admin(3).await;
    app
}

/// Returns the reason of the first error.
fn reason(response: &Response) -> String {
    let extensions = response.errors[0].extensions.as_ref().unwrap();
    extensions.get("reason").unwrap().to_string()
}

#[tokio::test]
async fn a_kept_requester_changes_nothing_after_its_token_has_expired() {
    let app = TestApp::start().await;
    app.register("root").await;
    app.make_admin(1).await;
    let app = app.restart(|config| config.registration = false).await;
    let input = json!({ "name": "one", "scopes": ["account:write"], "expiresIn": 3600 });
    let token = app.access_token("root", input).await;
    let kept = with_token(&app, &token);
    kept.identity().await.unwrap();
    app.advance(TimeDelta::hours(2));
    let new = Registration {
        username: "eve".to_owned(),
        email: None,
        password: PASSWORD.to_owned(),
    };
    kept.register(&new).await.unwrap_err();
    assert!(app.operator().user("eve").await.unwrap().is_none());
    refusal(kept.revoke_all_tokens().await);
    refusal(kept.revoke_other_sessions().await);
}

#[tokio::test]
async fn a_kept_requester_executes_nothing_after_its_token_has_expired() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let kept = with_token(&app, &app.sign_in("ada").await);
    let schema = app
        .symbolon()
        .schema(Query::default(), symbolon::Mutation, EmptySubscription)
        .finish();
    let executor = app.symbolon().executor(schema);
    let me = || Request::new("{ me { username } }").data(kept.clone());
    assert!(executor.execute(me()).await.is_ok());
    app.advance(TimeDelta::hours(3));
    let refused = executor.execute(me()).await;
    assert_eq!(reason(&refused), r#""TOKEN_EXPIRED""#);
}

#[tokio::test]
async fn a_kept_requester_with_a_password_sees_changes_of_other_processes() {
    let app = with_admins().await;
    let kept = as_user(&app, "root");
    kept.require_password(Role::Admin).await.unwrap();
    // Like another process whose notification has not arrived.
    app.sql("UPDATE symbolon_user SET role = 'user' WHERE id = 2")
        .await;
    denial(kept.require_password(Role::Admin).await);
    app.sql("UPDATE symbolon_user SET disabled_at = 1 WHERE id = 2")
        .await;
    refusal(kept.authenticate().await);
}

struct Ticks;

#[Subscription]
impl Ticks {
    async fn ticks(
        &self,
        ctx: &Context<'_>,
    ) -> async_graphql::Result<impl Stream<Item = u32> + use<>> {
        ctx.requester()?.authenticate().await?;
        Ok(stream::iter([1]))
    }
}

#[tokio::test]
async fn a_subscription_requires_a_token() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let schema = app
        .symbolon()
        .schema(Query::default(), symbolon::Mutation, Ticks)
        .finish();
    let executor = app.symbolon().executor(schema);
    let mut session = Data::default();
    session.insert(as_user(&app, "ada"));
    let session = Some(Arc::new(session));
    let mut events = executor.execute_stream(Request::new("subscription { ticks }"), session);
    let refused = events.next().await.unwrap();
    assert_eq!(reason(&refused), r#""MISSING""#);
    assert!(events.next().await.is_none());
}

#[handler]
async fn log_in(requester: Requester) -> Result<String, Error> {
    Ok(requester.authenticate().await?.user().username.clone())
}

#[tokio::test]
async fn pages_of_other_origins_cannot_use_the_password_that_a_browser_has_stored() {
    let routes = |symbolon: &symbolon::Symbolon| symbolon.own_routes().at("/log-in", get(log_in));
    let app = TestApp::with_routes(|_| {}, routes).await;
    app.register("ada").await;
    let send = async |headers: &[(&str, &str)]| {
        let mut request = app
            .request(Method::GET, "/log-in")
            .basic_auth("ada", Some(PASSWORD));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request).await
    };
    assert_eq!(send(&[]).await.status, 200);
    assert_eq!(send(&[("sec-fetch-site", "same-origin")]).await.status, 200);
    for headers in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[
            ("origin", "http://evil.example"),
            ("sec-fetch-site", "same-site"),
        ],
    ] {
        assert_eq!(send(headers).await.status, 403, "{headers:?}");
    }
}

#[tokio::test]
async fn an_impersonation_ends_when_its_user_becomes_an_admin() {
    let app = with_admins().await;
    let options = TokenOptions::new();
    let issued = as_user(&app, "root")
        .impersonate(UserId::from(1), &options)
        .await
        .unwrap();
    assert!(app.accepts(issued.token()).await);
    let promote = "setUserRole(id: 1, role: ADMIN) { userErrors { message } }";
    app.mutate_as("boss", promote).await;
    assert!(!app.accepts(issued.token()).await);
    let disable = "disableUser(id: 2) { userErrors { message } }";
    let refused = app.mutate(issued.token(), disable).await;
    assert_eq!(refused.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
    refusal(with_token(&app, issued.token()).renew_token().await);
}

#[tokio::test]
async fn an_impersonation_has_the_name_of_the_admin_and_lasts_at_most_an_hour() {
    let app = with_admins().await;
    let options = TokenOptions::new().device("Phone").unwrap();
    let issued = as_user(&app, "root")
        .impersonate(UserId::from(1), &options)
        .await
        .unwrap();
    let sessions = app.graphql("{ me { sessions { nodes { device } } } }");
    let sessions = sessions.bearer(issued.token()).send().await;
    let device = sessions.at("/data/me/sessions/nodes/0/device");
    assert_eq!(device, "impersonated by root");
    let options = TokenOptions::new().expires_in(3601).unwrap();
    let refused = as_user(&app, "root")
        .impersonate(UserId::from(1), &options)
        .await;
    assert!(
        matches!(refused, Err(Error::BadUserInput(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_audit_trail_leads_from_each_change_of_an_impersonation_to_the_admin() {
    let app = with_admins().await;
    let mut tokens = Vec::new();
    for _ in 0..13 {
        let options = TokenOptions::new();
        let issued = as_user(&app, "root")
            .impersonate(UserId::from(1), &options)
            .await;
        tokens.push(issued.unwrap().token().to_owned());
    }
    let rename = r#"updateUser(input: { username: "renamed" }) { userErrors { code } }"#;
    app.mutate(&tokens[11], rename).await;
    let change = &events(&app, AuditEventKind::ProfileChanged).await[0];
    let issued = events(&app, AuditEventKind::TokenIssued).await;
    let issuing = issued
        .iter()
        .find(|event| event.token == change.credential_id)
        .unwrap();
    assert_eq!(issuing.actor, Some(UserId::from(2)));
    // The requester of an unknown client still has a short debug output.
    assert!(format!("{:?}", anonymous(&app)).len() < 1000);
}
