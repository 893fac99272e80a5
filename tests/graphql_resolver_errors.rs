//! Operations in which some fields fail, in an app with its own types.

use async_graphql::extensions::ResolveFut;
use async_graphql::{
    Context, CustomDirective, Error, Interface, MergedObject, Object, Result, ServerResult,
    Subscription,
};
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use symbolon::{Authenticated, ContextExt, async_trait};

use crate::direct_execution::Idle;
use crate::support::{Answer, Socket, TestApp};

#[derive(Default)]
struct Trouble;

/// Fails with an internal message.
fn leak() -> std::io::Error {
    std::io::Error::other("SELECT secret FROM vault")
}

fn vault() -> Option<i32> {
    panic!("SELECT secret FROM vault")
}

#[Object]
impl Trouble {
    async fn fine(&self) -> i32 {
        1
    }
    async fn must(&self) -> Result<i32> {
        Err(Error::new("The author's words."))
    }
    async fn may(&self) -> Result<Option<i32>> {
        Err(Error::new("The author's words."))
    }
    async fn leaks(&self) -> Result<Option<i32>> {
        Err(leak().into())
    }
    async fn panics(&self) -> Option<i32> {
        vault()
    }
    #[graphql(complexity = "vault().map_or(0, |_| child_complexity)")]
    async fn costly(&self) -> Option<Trouble> {
        Some(Trouble)
    }
    #[graphql(guard = "Authenticated")]
    async fn guarded(&self) -> Option<i32> {
        Some(2)
    }
    #[graphql(guard = "Authenticated")]
    async fn guarded_must(&self) -> i32 {
        3
    }
    async fn inner(&self) -> Option<Trouble> {
        Some(Trouble)
    }
    async fn inner_must(&self) -> Trouble {
        Trouble
    }
    async fn list(&self) -> Vec<Option<Trouble>> {
        vec![Some(Trouble), None, Some(Trouble)]
    }
    async fn list_must(&self) -> Option<Vec<Trouble>> {
        Some(vec![Trouble, Trouble])
    }
    async fn at(&self, #[graphql(validator(maximum = 3))] place: i32) -> Option<i32> {
        Some(place)
    }
    async fn name(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        Ok(ctx
            .identity()
            .await
            .ok()
            .map(|identity| identity.user().username.clone()))
    }
    async fn certain(&self) -> Option<Source> {
        Some(Source::Certain(Certain))
    }
    async fn uncertain(&self) -> Option<Source> {
        Some(Source::Uncertain(Uncertain))
    }
    /// Completes after the fields that follow it.
    async fn slow(&self) -> i32 {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        4
    }
}

struct Certain;

#[Object]
impl Certain {
    async fn value(&self) -> Result<i32> {
        Err(Error::new("The author's words."))
    }
}

struct Uncertain;

#[Object]
impl Uncertain {
    async fn value(&self) -> Result<Option<i32>> {
        Err(Error::new("The author's words."))
    }
}

/// The field is nullable in the interface and in one of the types that implement the interface. If the field fails, the
/// parent is null, because the field can be non-null.
#[derive(Interface)]
#[graphql(field(name = "value", ty = "Option<i32>"))]
enum Source {
    Certain(Certain),
    Uncertain(Uncertain),
}

#[derive(Default)]
struct Change;

#[Object]
impl Change {
    async fn change(&self) -> i32 {
        1
    }
    async fn fail(&self) -> Result<Option<i32>> {
        Err(Error::new("The author's words."))
    }
}

#[derive(MergedObject, Default)]
struct Query(symbolon::Query, Trouble);

#[derive(MergedObject, Default)]
struct Mutation(symbolon::Mutation, Change);

struct Events;

#[Subscription]
impl Events {
    /// The first event fails.
    async fn may(&self) -> impl Stream<Item = Result<Option<i32>>> {
        stream::iter([Err(Error::new("The author's words.")), Ok(Some(1))])
    }
    async fn must(&self) -> impl Stream<Item = Result<i32>> {
        stream::iter([Err(Error::new("The author's words.")), Ok(1)])
    }
    async fn refused(&self) -> Result<impl Stream<Item = Option<i32>>> {
        Err::<stream::Empty<_>, _>(Error::new("The author's words."))
    }
    async fn troubles(&self) -> impl Stream<Item = Trouble> {
        stream::iter([Trouble, Trouble])
    }
}

/// A directive of the application, which fails.
struct Fail;

#[async_trait]
impl CustomDirective for Fail {
    async fn resolve_field(
        &self,
        ctx: &Context<'_>,
        _: ResolveFut<'_>,
    ) -> ServerResult<Option<async_graphql::Value>> {
        let error = Error::new("The author's words.");
        Err(ctx.set_error_path(error.into_server_error(ctx.item.pos)))
    }
}

#[async_graphql::Directive(location = "Field")]
fn fail() -> impl CustomDirective {
    Fail
}

/// A directive that does nothing.
struct IdleDirective;

impl CustomDirective for IdleDirective {}

#[async_graphql::Directive(location = "Field")]
fn idle() -> impl CustomDirective {
    IdleDirective
}

async fn app(has_extension: bool) -> TestApp {
    TestApp::with_routes(
        |_| {},
        |symbolon| {
            let (query, mutation) = (Query::default(), Mutation::default());
            let schema = symbolon.schema(query, mutation, Events);
            let schema = schema.directive(fail).directive(idle);
            let schema = if has_extension {
                schema.extension(Idle)
            } else {
                schema
            };
            symbolon.routes(schema.finish())
        },
    )
    .await
}

pub async fn trouble() -> TestApp {
    app(false).await
}

/// Returns the paths of the errors, in order.
fn paths(answer: &Answer) -> Value {
    let errors = answer.at("/errors").as_array().cloned().unwrap_or_default();
    let mut paths: Vec<_> = errors
        .into_iter()
        .map(|mut error| error["path"].take())
        .collect();
    paths.sort_by_key(ToString::to_string);
    paths.into()
}

#[tokio::test]
async fn a_null_propagates_to_the_nearest_nullable_field() {
    let documents = [
        (
            "{ a: fine may b: fine }",
            json!({ "a": 1, "may": null, "b": 1 }),
            json!([["may"]]),
        ),
        ("{ fine must }", json!(null), json!([["must"]])),
        (
            "{ fine inner { fine must } }",
            json!({ "fine": 1, "inner": null }),
            json!([["inner", "must"]]),
        ),
        (
            "{ fine inner { fine may } }",
            json!({ "fine": 1, "inner": { "fine": 1, "may": null } }),
            json!([["inner", "may"]]),
        ),
        (
            "{ fine inner { innerMust { must } } }",
            json!({ "fine": 1, "inner": null }),
            json!([["inner", "innerMust", "must"]]),
        ),
        (
            "{ fine innerMust { must } }",
            json!(null),
            json!([["innerMust", "must"]]),
        ),
        (
            "{ list { may } }",
            json!({ "list": [{ "may": null }, null, { "may": null }] }),
            json!([["list", 0, "may"], ["list", 2, "may"]]),
        ),
        (
            "{ list { must } }",
            json!({ "list": [null, null, null] }),
            json!([["list", 0, "must"], ["list", 2, "must"]]),
        ),
        (
            "{ guarded fine }",
            json!({ "guarded": null, "fine": 1 }),
            json!([["guarded"]]),
        ),
        (
            "{ fine guardedMust }",
            json!(null),
            json!([["guardedMust"]]),
        ),
        (
            "{ inner { guardedMust } fine }",
            json!({ "inner": null, "fine": 1 }),
            json!([["inner", "guardedMust"]]),
        ),
        (
            "{ name fine }",
            json!({ "name": null, "fine": 1 }),
            json!([]),
        ),
        (
            r#"{ user(id: "1") { id } fine }"#,
            json!({ "user": null, "fine": 1 }),
            json!([["user"]]),
        ),
        ("{ me { id } fine }", json!(null), json!([["me"]])),
        // A field that is selected in several fragments fails once.
        (
            "{ ...A ...A ... on Query { may } inner { may ...B } } fragment A on Query { may inner { ...B } } fragment B on Trouble { may }",
            json!({ "may": null, "inner": { "may": null } }),
            json!([["inner", "may"], ["may"]]),
        ),
        (
            "{ fine certain { value } uncertain { value } }",
            json!({ "fine": 1, "certain": null, "uncertain": null }),
            json!([["certain", "value"], ["uncertain", "value"]]),
        ),
        (
            "{ certain { __typename v: value } uncertain { ... on Uncertain { value } } }",
            json!({ "certain": null, "uncertain": { "value": null } }),
            json!([["certain", "v"], ["uncertain", "value"]]),
        ),
        (
            "{ inner { inner @fail { fine } fine } fine }",
            json!({ "inner": { "inner": null, "fine": 1 }, "fine": 1 }),
            json!([["inner", "inner"]]),
        ),
    ];
    let apps = [app(false).await, app(true).await];
    // A document with a condition is copied before execution.
    let with_condition = |document: &str| {
        let condition =
            "query($yes: Boolean! = true) { ...F @include(if: $yes) } fragment F on Query";
        format!("{condition} {document}")
    };
    for (app, (document, data, failed)) in apps
        .iter()
        .flat_map(|app| documents.iter().map(move |one| (app, one)))
        .flat_map(|(app, (document, data, failed))| {
            let variants = [(*document).to_owned(), with_condition(document)];
            variants.map(|document| (app, (document, data, failed)))
        })
    {
        // The second request uses the cached document.
        for _ in 0..3 {
            let answer = app.graphql(&document).send().await;
            assert_eq!(answer.status, 200, "{document}");
            assert_eq!(answer.at("/data"), data, "{document}: {answer:?}");
            assert!(
                answer.body.as_object().unwrap().contains_key("data"),
                "{document}"
            );
            assert_eq!(paths(&answer), *failed, "{document}: {answer:?}");
        }
    }
    let app = &apps[0];
    let one = app.graphql("{ fine listMust { must } }").send().await;
    assert_eq!(one.at("/data"), &json!({ "fine": 1, "listMust": null }));
}

#[tokio::test]
async fn mutations_continue_after_the_failure_of_a_nullable_field() {
    let app = trouble().await;
    let answer = app
        .graphql("mutation { a: change fail b: change }")
        .send()
        .await;
    assert_eq!(answer.at("/data"), &json!({ "a": 1, "fail": null, "b": 1 }));
    assert_eq!(paths(&answer), json!([["fail"]]));
}

#[tokio::test]
async fn a_nullable_field_of_a_subscription_is_null_after_an_error() {
    for app in [app(false).await, app(true).await] {
        let mut socket = Socket::connect(&app.base, None).await;
        for (id, document, data) in [
            (
                "1",
                "subscription { x: may }",
                json!([{ "x": null }, { "x": 1 }]),
            ),
            (
                "2",
                "subscription { must @idle }",
                json!([null, { "must": 1 }]),
            ),
            (
                "3",
                "subscription { troubles { fine may } }",
                json!([
                    { "troubles": { "fine": 1, "may": null } },
                    { "troubles": { "fine": 1, "may": null } },
                ]),
            ),
            (
                "4",
                "subscription { troubles { must } }",
                json!([null, null]),
            ),
        ] {
            socket.subscribe(id, document).await;
            for data in data.as_array().unwrap() {
                let event = socket.event(id).await;
                assert_eq!(&event["data"], data, "{document}: {event}");
            }
            let complete = json!({ "type": "complete", "id": id });
            assert_eq!(socket.receive().await, complete, "{document}");
        }
        socket.subscribe("5", "subscription { refused }").await;
        assert_eq!(socket.refusal("5").await.0, "BAD_USER_INPUT");
    }
}

/// The directive that makes nullable fields null is private.
#[tokio::test]
async fn no_client_sees_or_uses_the_directive_of_nullable_fields() {
    let app = trouble().await;
    let documents = [
        "{ fine @null on error }",
        "{ must @null_on_error }",
        "{ must @null }",
    ];
    for document in documents {
        let answer = app.graphql(document).send().await;
        let code = answer.at("/errors/0/extensions/code");
        assert_eq!(code, "GRAPHQL_VALIDATION_FAILED", "{document}: {answer:?}");
    }
    let directives = app.graphql("{ __schema { directives { name } } }");
    let directives = directives.send().await;
    let directives = directives.at("/data/__schema/directives");
    let names: Vec<_> = directives.as_array().unwrap().iter().collect();
    let names = names.iter().map(|directive| directive["name"].as_str());
    let mut names: Vec<_> = names.flatten().collect();
    names.sort_unstable();
    let all = [
        "deprecated",
        "fail",
        "idle",
        "include",
        "oneOf",
        "skip",
        "specifiedBy",
    ];
    assert_eq!(names, all);
    assert!(!symbolon::sdl().contains("null on error"));
}

#[tokio::test]
async fn error_messages_of_embedders_are_kept_and_other_errors_are_masked() {
    let app = trouble().await;
    let authors = app.graphql("{ may }").send().await;
    assert_eq!(authors.error().0, "BAD_USER_INPUT");
    assert_eq!(authors.at("/errors/0/message"), "The author's words.");
    for document in ["{ leaks }", "{ panics }"] {
        let answer = app.graphql(document).send().await;
        assert_eq!(answer.error().0, "INTERNAL_SERVER_ERROR", "{document}");
        let id = answer.at("/errors/0/extensions/requestId");
        assert_eq!(id, answer.header("x-request-id"), "{document}");
        assert!(!answer.body.to_string().contains("SELECT"), "{answer:?}");
    }
    // The server continues to answer.
    assert_eq!(app.graphql("{ fine }").send().await.at("/data/fine"), 1);
}

#[tokio::test]
async fn a_panic_is_answered_with_500_and_without_data() {
    let app = trouble().await;
    // The second panic occurs in the calculation of the complexity.
    for document in ["{ fine panics }", "{ costly { fine } }"] {
        let answer = app.graphql(document).send().await;
        assert_eq!(answer.status, 500, "{document}");
        assert!(!answer.body.as_object().unwrap().contains_key("data"));
    }
}

#[tokio::test]
async fn an_argument_out_of_range_is_bad_user_input() {
    let app = trouble().await;
    let answer = app.graphql("{ fine at(place: 4) }").send().await;
    assert_eq!(answer.error().0, "BAD_USER_INPUT");
    assert_eq!(answer.at("/data"), &json!({ "fine": 1, "at": null }));
    let huge = app.graphql("{ at(place: 4000000000) }").send().await;
    assert!(["BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"].contains(&huge.error().0));
}
