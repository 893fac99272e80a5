//! `Executor`: the operations of other servers.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use serde_json::{Value, json};
use symbolon::async_graphql::{
    self, BatchRequest, Context, Data, Executor as _, MergedObject, Object, Request, Response,
    Subscription,
};
use symbolon::{Authenticated, ContextExt, Executor, RequireRole, Role, TokenOptions};
use tokio::sync::broadcast;
use tokio::time::timeout;

use crate::requester::{anonymous, as_user, with_token};
use crate::support::TestApp;

type Ticks = broadcast::Sender<u32>;

struct Session(&'static str);

#[derive(Default)]
struct AppQuery;

#[Object]
impl AppQuery {
    /// The data of the request or of the WebSocket.
    async fn session(&self, ctx: &Context<'_>) -> Option<String> {
        let session = ctx.data_opt::<Session>()?;
        Some(session.0.to_owned())
    }

    async fn waits(&self) -> bool {
        std::future::pending().await
    }
}

#[derive(Default)]
struct AppMutation;

#[Object]
impl AppMutation {
    /// Signs in the first user.
    async fn enter(&self, ctx: &Context<'_>) -> async_graphql::Result<String> {
        let id = "1".parse()?;
        let options = TokenOptions::new();
        let session = ctx.requester()?.create_token(id, "test", &options).await?;
        Ok(session.token().to_owned())
    }
}

struct AppSubscription;

#[Subscription]
impl AppSubscription {
    #[graphql(guard = "Authenticated")]
    async fn ticks(
        &self,
        ctx: &Context<'_>,
    ) -> async_graphql::Result<impl Stream<Item = u32> + use<>> {
        ticks(ctx)
    }

    #[graphql(guard = "RequireRole(Role::Admin)")]
    async fn admin_ticks(
        &self,
        ctx: &Context<'_>,
    ) -> async_graphql::Result<impl Stream<Item = u32> + use<>> {
        ticks(ctx)
    }

    async fn public_ticks(
        &self,
        ctx: &Context<'_>,
    ) -> async_graphql::Result<impl Stream<Item = u32> + use<>> {
        ticks(ctx)
    }
}

fn ticks(ctx: &Context<'_>) -> async_graphql::Result<impl Stream<Item = u32> + use<>> {
    let receiver = ctx.data::<Ticks>()?.subscribe();
    Ok(stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await.ok()?, receiver))
    }))
}

#[derive(MergedObject, Default)]
struct Query(symbolon::Query, AppQuery);

#[derive(MergedObject, Default)]
struct Mutation(symbolon::Mutation, AppMutation);

type TestExecutor = Executor<Query, Mutation, AppSubscription>;

fn executor(app: &TestApp, ticks: &Ticks) -> TestExecutor {
    let symbolon = app.symbolon();
    let schema = symbolon.schema(Query::default(), Mutation::default(), AppSubscription);
    symbolon.executor(schema.data(ticks.clone()).finish())
}

/// Starts an app with the user `ada`.
async fn start() -> (TestApp, TestExecutor, Ticks) {
    start_with(|_| {}).await
}

async fn start_with(
    configure: impl FnOnce(&mut symbolon::Config),
) -> (TestApp, TestExecutor, Ticks) {
    let app = TestApp::configured(configure).await;
    app.register("ada").await;
    let ticks = Ticks::new(16);
    let executor = executor(&app, &ticks);
    (app, executor, ticks)
}

fn json(response: &Response) -> Value {
    serde_json::to_value(response).unwrap()
}

fn code(response: &Response) -> String {
    let response = json(response);
    let extensions = &response["errors"][0]["extensions"];
    let text = |name: &str| extensions[name].as_str().unwrap_or_default().to_owned();
    format!("{} {}", text("code"), text("reason"))
}

#[tokio::test]
async fn an_operation_has_the_credentials_of_its_requester() {
    let (app, executor, _) = start().await;
    let token = app.sign_in("ada").await;
    let me = || Request::new("{ me { username } }");
    let answer = executor.execute(me().data(with_token(&app, &token))).await;
    assert_eq!(json(&answer)["data"]["me"]["username"], "ada");
    // Without a requester, a request has no credentials.
    assert_eq!(
        code(&executor.execute(me()).await),
        "UNAUTHENTICATED MISSING"
    );
    let refused = executor.execute(me().data(anonymous(&app))).await;
    assert_eq!(code(&refused), "UNAUTHENTICATED MISSING");
    let sign_in = Request::new("mutation { createToken { token } }").data(as_user(&app, "ada"));
    let answer = executor.execute(sign_in).await;
    assert_eq!(json(&answer)["data"]["createToken"]["token"], token);
    app.revoke(&token).await;
    let refused = executor.execute(me().data(with_token(&app, &token))).await;
    assert_eq!(code(&refused), "UNAUTHENTICATED TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_requester_of_another_instance_is_refused() {
    let (app, executor, _) = start().await;
    let (other, other_executor, _) = start().await;
    let token = other.sign_in("ada").await;
    let me = || Request::new("{ me { username } }").data(with_token(&other, &token));
    let answer = other_executor.execute(me()).await;
    assert!(answer.is_ok());
    assert_eq!(
        code(&executor.execute(me()).await),
        "INTERNAL_SERVER_ERROR "
    );
    let mut events = executor.execute_stream(me(), None);
    assert_eq!(
        code(&events.next().await.unwrap()),
        "INTERNAL_SERVER_ERROR "
    );
    drop(app);
}

#[tokio::test]
async fn the_limits_and_the_validation_are_those_of_the_endpoint() {
    let (_app, executor, _) = start_with(|config| config.http.request_timeout = 1).await;
    let deep = "{ __typename ".repeat(60) + &"}".repeat(60);
    let cases = [
        (Request::new(deep), "LIMIT_EXCEEDED "),
        (Request::new("{ nothing }"), "GRAPHQL_VALIDATION_FAILED "),
        (Request::new("{"), "GRAPHQL_PARSE_FAILED "),
        (
            Request::new("subscription { publicTicks }"),
            "GRAPHQL_VALIDATION_FAILED ",
        ),
        (Request::new("{ waits }"), "SERVICE_UNAVAILABLE "),
        (
            Request::new("query a { session } query b { session }"),
            "GRAPHQL_VALIDATION_FAILED ",
        ),
    ];
    for (request, expected) in cases {
        let document = request.query.clone();
        assert_eq!(
            code(&executor.execute(request).await),
            expected,
            "{document}"
        );
    }
    let mut persisted = Request::new("");
    let hash = async_graphql::Value::from_json(json!({ "version": 1 })).unwrap();
    persisted
        .extensions
        .insert("persistedQuery".to_owned(), hash);
    let refused = executor.execute(persisted).await;
    assert_eq!(code(&refused), "PERSISTED_QUERY_NOT_SUPPORTED ");
    let batch = BatchRequest::Batch(vec![Request::new("{ session }")]);
    let refused = serde_json::to_value(executor.execute_batch(batch).await).unwrap();
    assert_eq!(refused["errors"][0]["extensions"]["code"], "BAD_REQUEST");
    let single = BatchRequest::Single(Request::new("{ session }"));
    assert!(executor.execute_batch(single).await.is_ok());
    let named = Request::new("query a { session } query b { __typename }").operation_name("b");
    assert_eq!(
        json(&executor.execute(named).await)["data"]["__typename"],
        "Query"
    );
}

#[tokio::test]
async fn the_introspection_mode_of_a_request_is_respected() {
    let (_app, executor, _) = start().await;
    let schema = || Request::new("{ __schema { queryType { name } } }");
    let allowed = executor.execute(schema()).await;
    assert_eq!(
        json(&allowed)["data"]["__schema"]["queryType"]["name"],
        "Query"
    );
    let refused = executor.execute(schema().disable_introspection()).await;
    assert_eq!(json(&refused)["data"]["__schema"], Value::Null);
    let session = Request::new("{ session }")
        .data(Session("secret"))
        .only_introspection();
    let refused = executor.execute(session).await;
    assert!(!json(&refused).to_string().contains("secret"));
}

#[tokio::test]
async fn resolvers_get_the_data_of_the_request_and_of_the_websocket() {
    let (_app, executor, _) = start().await;
    let document = "{ session }";
    let of_request = executor
        .execute(Request::new(document).data(Session("request")))
        .await;
    assert_eq!(json(&of_request)["data"]["session"], "request");
    let mut session = Data::default();
    session.insert(Session("socket"));
    let session = Arc::new(session);
    // The second query is not executed directly.
    for document in ["{ session }", "{ session __schema { queryType { name } } }"] {
        let request = Request::new(document);
        let mut events = executor.execute_stream(request, Some(Arc::clone(&session)));
        let event = events.next().await.unwrap();
        assert_eq!(json(&event)["data"]["session"], "socket");
        assert!(events.next().await.is_none());
    }
}

#[tokio::test]
async fn a_resolver_signs_in_a_user() {
    let (app, executor, _) = start().await;
    let request = Request::new("mutation { enter }").data(anonymous(&app));
    let answer = json(&executor.execute(request).await);
    assert!(app.accepts(answer["data"]["enter"].as_str().unwrap()).await);
}

/// Returns the session data of a WebSocket with this token.
fn session(app: &TestApp, token: &str) -> Arc<Data> {
    let mut data = Data::default();
    data.insert(with_token(app, token));
    Arc::new(data)
}

#[tokio::test]
async fn each_operation_of_a_websocket_verifies_the_credentials() {
    let (app, executor, _) = start().await;
    let token = app.sign_in("ada").await;
    let session = session(&app, &token);
    let me = async || {
        let request = Request::new("{ me { username } }");
        let mut events = executor.execute_stream(request, Some(Arc::clone(&session)));
        events.next().await.unwrap()
    };
    assert!(me().await.is_ok());
    app.advance(TimeDelta::hours(1));
    assert_eq!(code(&me().await), "UNAUTHENTICATED TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_subscription_ends_with_its_token() {
    for (change, expected) in [
        ("expiration", "UNAUTHENTICATED TOKEN_EXPIRED"),
        ("disabled", "UNAUTHENTICATED TOKEN_EXPIRED"),
        ("deleted", "UNAUTHENTICATED TOKEN_EXPIRED"),
        ("demoted", "FORBIDDEN ROLE_REQUIRED"),
        ("revoked", "UNAUTHENTICATED TOKEN_EXPIRED"),
    ] {
        let (app, executor, ticks) = start().await;
        app.register("root").await;
        app.make_admin(1).await;
        app.make_admin(2).await;
        let token = app.sign_in("ada").await;
        let request = Request::new("subscription { adminTicks }");
        let mut events = executor.execute_stream(request, Some(session(&app, &token)));
        assert!(events.next().now_or_never().is_none());
        let started = async {
            while ticks.receiver_count() == 0 {
                assert!(
                    timeout(Duration::from_millis(5), events.next())
                        .await
                        .is_err()
                );
            }
        };
        timeout(Duration::from_secs(30), started).await.unwrap();
        ticks.send(1).unwrap();
        assert_eq!(json(&events.next().await.unwrap())["data"]["adminTicks"], 1);
        let (operator, ada) = (app.operator(), "1".parse().unwrap());
        match change {
            "expiration" => app.advance(TimeDelta::hours(1)),
            "disabled" => drop(operator.disable(ada).await.unwrap()),
            "deleted" => operator.delete(ada).await.unwrap(),
            "demoted" => drop(operator.set_role(ada, Role::User).await.unwrap()),
            _ => assert!(app.revoke(&token).await.at("/data/revokeToken") == true),
        }
        // This event occurs after the end of the token, and is not delivered. An expiration is noticed within 100 ms.
        if change != "expiration" {
            ticks.send(2).unwrap();
        }
        let last = timeout(Duration::from_secs(30), events.next())
            .await
            .unwrap();
        assert_eq!(code(&last.unwrap()), expected, "{change}");
        assert!(events.next().await.is_none());
    }
}

#[tokio::test]
async fn a_subscription_with_an_invalid_token_is_refused() {
    let (app, executor, ticks) = start().await;
    let token = app.sign_in("ada").await;
    app.revoke(&token).await;
    for (token, reason) in [
        (token.as_str(), "TOKEN_EXPIRED"),
        ("unknown", "TOKEN_INVALID"),
    ] {
        for field in ["ticks", "publicTicks"] {
            let request = Request::new(format!("subscription {{ {field} }}"));
            let mut events = executor.execute_stream(request, Some(session(&app, token)));
            let refused = events.next().await.unwrap();
            assert_eq!(code(&refused), format!("UNAUTHENTICATED {reason}"));
            assert!(events.next().await.is_none());
        }
    }
    // A client without a token can subscribe to a public field only.
    let request = Request::new("subscription { ticks }");
    let refused = executor.execute_stream(request, None).next().await.unwrap();
    assert_eq!(code(&refused), "UNAUTHENTICATED MISSING");
    let request = Request::new("subscription { publicTicks }");
    let mut events = executor.execute_stream(request, None);
    while ticks.receiver_count() == 0 {
        assert!(
            timeout(Duration::from_millis(5), events.next())
                .await
                .is_err()
        );
    }
    ticks.send(1).unwrap();
    assert_eq!(
        json(&events.next().await.unwrap())["data"]["publicTicks"],
        1
    );
}
