//! The examples `examples/embed.rs` and `examples/hooks.rs`, and schemas of embedding applications.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, ResolveFut,
};
use async_graphql::{
    Context, CustomDirective, Directive, EmptySubscription, MergedObject, Object, Response,
    ServerError, ServerResult, Value as GraphqlValue,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use crate::support::{
    Answer, PASSWORD, Server, Socket, TestApp, database_in, poll_until_propagated, succeed,
    symbolon,
};

struct Notes {
    server: Server,
}

impl Notes {
    async fn graphql(&self, token: Option<&str>, query: &str, variables: Value) -> Answer {
        let request = self.server.graphql_with(query, &variables);
        match token {
            Some(token) => request.bearer(token).send().await,
            None => request.send().await,
        }
    }

    async fn sign_up(&self, name: &str) -> String {
        self.server.register(name).await;
        self.server.sign_in(name).await
    }

    async fn whoami(&self, token: Option<&str>) -> Answer {
        let mut request = self.server.request(Method::GET, "/whoami");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Answer::of(request).await
    }
}

#[tokio::test]
async fn the_example_guards_its_own_types() {
    let folder = tempfile::tempdir().unwrap();
    let notes = Notes {
        server: Server::embed_example(folder.path()),
    };
    let (ada, bob) = (notes.sign_up("ada").await, notes.sign_up("bob").await);
    let add = "mutation($t: String!) { addNote(text: $t) }";
    let added = notes.graphql(Some(&ada), add, json!({ "t": "one" })).await;
    assert_eq!(added.at("/data/addNote"), 1);
    notes.graphql(Some(&ada), add, json!({ "t": "two" })).await;
    notes
        .graphql(Some(&bob), add, json!({ "t": "three" }))
        .await;
    let anonymous = notes.graphql(None, add, json!({ "t": "four" })).await;
    assert_eq!(anonymous.error(), ("UNAUTHENTICATED", "MISSING"));

    let all = "{ notesCount notes me { username } }";
    let of_ada = notes.graphql(Some(&ada), all, json!({})).await;
    assert_eq!(
        of_ada.at("/data"),
        &json!({ "notesCount": 3, "notes": ["one", "two"], "me": { "username": "ada" } })
    );
    let public = notes.graphql(None, "{ notesCount }", json!({})).await;
    assert_eq!(public.at("/data/notesCount"), 3);
    let guarded = notes.graphql(None, "{ notes }", json!({})).await;
    assert_eq!(guarded.error(), ("UNAUTHENTICATED", "MISSING"));

    for (scope, error) in [
        ("notes:read", None),
        ("notes:write", Some("SCOPE_REQUIRED")),
    ] {
        let input = json!({ "name": scope, "scopes": [scope] });
        let token = notes.server.access_token("ada", input).await;
        let answer = notes.graphql(Some(&token), "{ notes }", json!({})).await;
        match error {
            Some(reason) => assert_eq!(answer.error(), ("FORBIDDEN", reason)),
            None => assert_eq!(answer.at("/data/notes"), &json!(["one", "two"])),
        }
    }

    let clear = "mutation { clearNotes }";
    let anonymous_clear = notes.graphql(None, clear, json!({})).await;
    assert_eq!(anonymous_clear.error(), ("UNAUTHENTICATED", "MISSING"));
    let by_a_user = notes.graphql(Some(&ada), clear, json!({})).await;
    assert_eq!(by_a_user.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
    succeed(symbolon(folder.path()).args(["user", "set-role", "bob", "admin"]));
    let fetch = async || notes.graphql(Some(&bob), clear, json!({})).await;
    let by_an_admin =
        poll_until_propagated(fetch, |answer| answer.at("/data/clearNotes") == 3).await;
    assert_eq!(by_an_admin.at("/data/clearNotes"), 3);

    assert_eq!(notes.whoami(Some(&ada)).await.body, "You are ada.\n");
    assert_eq!(notes.whoami(None).await.body, "I do not know you.\n");
    let revoke = "mutation { revokeToken }";
    notes.graphql(Some(&ada), revoke, json!({})).await;
    assert_eq!(notes.whoami(Some(&ada)).await.body, "I do not know you.\n");
    let dead = notes.graphql(Some(&ada), "{ notes }", json!({})).await;
    assert_eq!(dead.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
    assert_eq!(notes.whoami(Some(&bob)).await.body, "You are bob.\n");
}

#[tokio::test]
async fn the_example_writes_a_profile_and_sends_a_welcome_mail() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::example("hooks", folder.path(), |_| {});
    let create = async |input: Value| {
        let document = "mutation($input: CreateUserInput!) {
            createUser(input: $input) { user { id } userErrors { code field message } } }";
        let request = server.graphql_with(document, &json!({ "input": input }));
        request.send().await
    };
    let refused = create(json!({ "username": "eve", "password": PASSWORD })).await;
    assert_eq!(
        refused.at("/data/createUser/userErrors"),
        &json!([{ "code": "INVALID", "field": "email", "message": "An e-mail address is required." }])
    );
    let ada = json!({ "username": "Ada", "email": "ada@example.org", "password": PASSWORD });
    let added = create(ada).await;
    assert_eq!(added.at("/data/createUser/userErrors"), &json!([]));
    let log = server.log_when(|log| log.contains("thank you"));
    let mail = "To: ada@example.org\nSubject: Welcome, Ada\n";
    assert!(log.starts_with(mail), "{log}");

    let token = server.sign_in("Ada").await;
    let profile = server.graphql("{ profile { displayName } }");
    let profile = profile.bearer(&token).send().await;
    assert_eq!(profile.at("/data/profile/displayName"), "Ada");
    let database = database_in(folder.path()).await;
    let profiles = async || {
        let backend = database.get_database_backend();
        let select = Statement::from_string(backend, "SELECT * FROM profile");
        database.query_all_raw(select).await.unwrap().len()
    };
    assert_eq!(profiles().await, 1);
    let delete = format!(r#"deleteUser(input: {{ password: "{PASSWORD}" }}) {{ deletedUserId }}"#);
    let deleted = server.mutate(&token, &delete).await;
    assert!(deleted.at("/data/deleteUser/deletedUserId").is_string());
    assert_eq!(profiles().await, 0);
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_password_does_not_satisfy_an_embedders_guard() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::embed_example(folder.path());
    server.register("ada").await;
    let fetch = async |document: &str| {
        let request = server.graphql(document);
        request.basic("ada", PASSWORD).send().await
    };
    for document in [
        r#"mutation { addNote(text: "one") }"#,
        r#"mutation { createAccessToken(input: { name: "a" }) { token } addNote(text: "one") }"#,
        r#"mutation { createToken { token } addNote(text: "one") }"#,
        r#"mutation { updateUser(input: { email: null }) { user { id } } addNote(text: "one") }"#,
        "{ notes }",
    ] {
        let answer = fetch(document).await;
        assert_eq!(answer.error(), ("UNAUTHENTICATED", "MISSING"), "{document}");
    }
    // A WebSocket executes subscriptions only, and accepts tokens only.
    let basic = format!("Basic {}", STANDARD.encode(format!("ada:{PASSWORD}")));
    let mut socket = Socket::open_uninitialised(&server.base).await;
    let payload = json!({ "authorization": basic });
    socket
        .send(&json!({ "type": "connection_init", "payload": payload }))
        .await;
    assert_eq!(socket.receive().await["type"], "connection_ack");
    for (id, document, code) in [
        ("1", "subscription { noteAdded }", "UNAUTHENTICATED"),
        (
            "2",
            "mutation { updateUser(input: { email: null }) { user { id } } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ("3", "{ me { id } }", "GRAPHQL_VALIDATION_FAILED"),
    ] {
        socket.subscribe(id, document).await;
        let message = loop {
            let message = socket.receive().await;
            if message["id"] == id && message["type"] != "complete" {
                break message;
            }
        };
        assert!(message.to_string().contains(code), "{document}: {message}");
    }
}

/// Counts the executions of each query.
#[derive(Clone, Default)]
struct Executions(Arc<AtomicU32>);

impl ExtensionFactory for Executions {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl Extension for Executions {
    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        self.0.fetch_add(1, Ordering::SeqCst);
        next.run(ctx, name).await
    }
}

/// Returns its response in upper case.
struct Shout;

#[async_trait]
impl CustomDirective for Shout {
    async fn resolve_field(
        &self,
        _: &Context<'_>,
        resolve: ResolveFut<'_>,
    ) -> ServerResult<Option<GraphqlValue>> {
        Ok(resolve.await?.map(|value| match value {
            GraphqlValue::String(text) => text.to_uppercase().into(),
            other => other,
        }))
    }
}

#[Directive(location = "Field")]
fn shout() -> impl CustomDirective {
    Shout
}

#[derive(Clone, Copy)]
struct Motto(&'static str);

#[derive(Default)]
struct Notices;

#[Object]
impl Notices {
    async fn notice(
        &self,
        ctx: &Context<'_>,
        first: Option<bool>,
    ) -> async_graphql::Result<String> {
        ctx.append_http_header("x-notice", "seen");
        ctx.add_error(ServerError::new("An aside.", None));
        let motto = ctx.data::<Motto>()?.0;
        Ok(format!("{motto} {}", first.unwrap_or(true)))
    }
}

#[derive(MergedObject)]
struct Board(symbolon::Query, Notices);

#[tokio::test]
async fn schema_extensions_of_an_embedder_work_with_cached_documents() {
    for extended in [true, false] {
        let executions = Executions::default();
        let app = TestApp::with_routes(
            |_| {},
            |symbolon| {
                let schema = symbolon
                    .schema(
                        Board(symbolon::Query, Notices),
                        symbolon::Mutation,
                        EmptySubscription,
                    )
                    .data(Motto("Onwards"))
                    .directive(shout);
                let schema = if extended {
                    schema.extension(executions.clone())
                } else {
                    schema
                };
                symbolon.routes(schema.finish())
            },
        )
        .await;
        for round in 1..=3 {
            for (document, notice) in [
                ("query($f: Boolean) { notice(first: $f) }", "Onwards false"),
                (
                    "query($f: Boolean) { ...N } fragment N on Board { notice(first: $f) }",
                    "Onwards false",
                ),
                (
                    "query($f: Boolean = true) { notice(first: $f) @shout }",
                    "ONWARDS FALSE",
                ),
            ] {
                let answer = app
                    .graphql_with(document, &json!({ "f": false }))
                    .send()
                    .await;
                assert_eq!(answer.at("/data/notice"), notice, "{answer:?}");
                assert_eq!(answer.header("x-notice"), "seen");
                assert_eq!(answer.at("/errors/0/message"), "An aside.");
            }
            let executed = if extended { 3 * round } else { 0 };
            assert_eq!(executions.0.load(Ordering::SeqCst), executed);
        }
    }
}
