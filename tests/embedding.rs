//! The examples `examples/embed.rs` and `examples/hooks.rs`.

use std::process::Command;

use reqwest::Method;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};
use symbolon::{Config, StartError, Symbolon};

use crate::support::{
    Answer, PASSWORD, Server, database_in, poll_until_propagated, succeed, symbolon,
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

#[test]
fn the_library_without_features_has_no_dependency_of_the_program() {
    let tree = |depth: &str, features: &[&str]| {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--offline", "--no-default-features"])
            .args(["--edges", "normal", "--prefix", "none", "--depth", depth])
            .args(features)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&tree.stderr);
        assert!(tree.status.success(), "{error}");
        let tree = String::from_utf8(tree.stdout).unwrap();
        let names = tree.lines().filter_map(|line| line.split(' ').next());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let all = tree("99", &[]);
    let of_the_program = ["clap", "csv", "indicatif", "mimalloc", "rpassword"];
    for name in of_the_program.iter().chain(&["symbolon-explorer"]) {
        assert!(!all.iter().any(|dependency| dependency == name), "{name}");
    }
    // sea-orm-migration depends on it.
    let direct = tree("1", &[]);
    assert!(!direct.iter().any(|name| name == "tracing-subscriber"));
    let with_program = tree("1", &["--features", "server"]);
    for name in of_the_program.iter().chain(&["tracing-subscriber"]) {
        let has_it = with_program.iter().any(|dependency| dependency == name);
        assert!(has_it, "{name}");
    }
}

#[tokio::test]
async fn the_source_of_a_start_error_is_its_cause() {
    // Linux permits no files there, also to root.
    let config = Config::new("sqlite:///proc/symbolon.db");
    let error = Symbolon::open(config).await.unwrap_err();
    assert!(matches!(error, StartError::Database(_)), "{error:?}");
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.is::<std::io::Error>(), "{source:?}");
    assert!(error.to_string().contains(&source.to_string()), "{error}");
}
