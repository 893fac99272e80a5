//! The caches of documents and identities: correct responses, isolation between clients, and
//! invalidation.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::support::{
    Answer, PASSWORD, Server, TestApp, database_in, database_url, poll_until_propagated,
    unthrottled,
};

pub async fn query(app: &TestApp, token: &str, document: &str, variables: Value) -> Answer {
    let operation = app.graphql_with(document, &variables);
    operation.bearer(token).send().await
}

#[tokio::test]
async fn a_cached_document_is_executed_for_each_caller() {
    let app = TestApp::start().await;
    let (mut tokens, mut names) = (Vec::new(), Vec::new());
    for name in ["ada", "bob", "eve"] {
        app.register(name).await;
        tokens.push(app.sign_in(name).await);
        names.push(name);
    }
    app.sql("UPDATE symbolon_user SET role = 'admin' WHERE username = 'ada'")
        .await;
    let document = "{ me { username } auditEvents(first: 1) { nodes { kind } } __typename }";
    for _ in 0..3 {
        for (name, token) in names.iter().zip(&tokens) {
            let answer = query(&app, token, "{ me { username } }", json!({})).await;
            assert_eq!(answer.at("/data/me/username"), name, "{answer:?}");
            let answer = query(&app, token, document, json!({})).await;
            if *name == "ada" {
                assert_eq!(answer.at("/data/me/username"), name, "{answer:?}");
            } else {
                assert_eq!(answer.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
            }
        }
        for document in [document, "{ me { username } }"] {
            let anonymous = app.graphql(document).send().await;
            assert_eq!(anonymous.at("/data"), &Value::Null);
            let code = anonymous.at("/errors/0/extensions/code");
            assert_eq!(code, "UNAUTHENTICATED", "{anonymous:?}");
        }
    }
}

#[tokio::test]
async fn each_operation_of_a_text_is_cached_separately() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let document = "query Name { me { username } } query Id { me { ...own } }
        mutation End { revokeToken } fragment own on User { id }";
    let query = async |name: Value| {
        let body = json!({ "query": document, "operationName": name });
        let request = app.request(Method::POST, "/graphql").json(&body);
        Answer::of(request.bearer_auth(&token)).await
    };
    for _ in 0..3 {
        let name = query(json!("Name")).await;
        assert_eq!(name.at("/data"), &json!({ "me": { "username": "ada" } }));
        let id = query(json!("Id")).await;
        assert_eq!(id.at("/data"), &json!({ "me": { "id": "1" } }));
        for unknown in [json!("Nobody"), json!(""), json!(null)] {
            assert_eq!(query(unknown).await.error().0, "GRAPHQL_VALIDATION_FAILED");
        }
    }
    assert_eq!(query(json!("End")).await.at("/data/revokeToken"), true);
    let after = query(json!("Name")).await;
    assert_eq!(after.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
}

#[tokio::test]
async fn skip_and_include_follow_the_variables_of_each_request() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let document = "query($with: Boolean!, $without: Boolean = false) {
        me { id @include(if: $with) ...name @skip(if: $without) } }
        fragment name on User { username role @include(if: $with) }";
    for _ in 0..2 {
        for (variables, expected) in [
            (
                json!({ "with": true }),
                json!({ "id": "1", "username": "ada", "role": "USER" }),
            ),
            (json!({ "with": false }), json!({ "username": "ada" })),
            (
                json!({ "with": true, "without": true }),
                json!({ "id": "1" }),
            ),
        ] {
            let answer = query(&app, &token, document, variables).await;
            assert_eq!(answer.at("/data/me"), &expected, "{answer:?}");
        }
        let missing = query(&app, &token, document, json!({})).await;
        assert_eq!(missing.error().0, "BAD_USER_INPUT");
    }
}

#[tokio::test]
async fn the_cost_of_a_cached_document_follows_the_variables_of_each_request() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let pages: String = (0..12)
        .map(|n| format!("p{n}: users(first: $n) {{ nodes {{ id username role email }} }} "))
        .collect();
    let pages = format!("query($n: Int) {{ {pages} }}");
    let limit = |answer: &Answer| answer.at("/errors/0/extensions/limit").clone();
    for n in [1, 100, 2, 100] {
        let answer = query(&app, &token, &pages, json!({ "n": n })).await;
        let expected = if n == 100 {
            json!("complexity")
        } else {
            Value::Null
        };
        assert_eq!(limit(&answer), expected, "{n}: {answer:?}");
    }
    // A selection counts whether it is included or not, so that the check is independent of conditions.
    let costly = pages
        .replace("query($n: Int)", "query($t: Boolean!)")
        .replace("first: $n)", "first: 100) @include(if: $t)");
    for included in [false, true, false] {
        let answer = query(&app, &token, &costly, json!({ "t": included })).await;
        assert_eq!(limit(&answer), "complexity", "{included}: {answer:?}");
    }
}

#[tokio::test]
async fn variables_are_validated_before_a_cached_document_is_executed() {
    let app = TestApp::start().await;
    let document = "mutation($name: String!, $password: String!, $life: Int) {
        createUser(input: { username: $name, password: $password }) { user { id } }
        createToken(expiresIn: $life) { token } }";
    let send = async |name: &str, life: Value| {
        let variables = json!({ "name": name, "password": PASSWORD, "life": life });
        let operation = app.graphql_with(document, &variables);
        operation.basic("ada", PASSWORD).send().await
    };
    app.register("ada").await;
    for (round, name) in ["bob", "eve"].into_iter().enumerate() {
        let answer = send(name, json!(600)).await;
        let id = (2 + round).to_string();
        assert_eq!(
            answer.at("/data/createUser/user/id"),
            &json!(id),
            "{answer:?}"
        );
        for wrong in [
            json!("soon"),
            json!(1.5),
            json!([1]),
            json!({}),
            json!(true),
        ] {
            let answer = send("never", wrong.clone()).await;
            assert_eq!(answer.error().0, "BAD_USER_INPUT", "{wrong}: {answer:?}");
        }
    }
    assert_eq!(app.register("last").await, 4);
}

#[tokio::test]
async fn a_refused_document_is_refused_again() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    for document in [
        "{ me { username wings } }",
        "{ me { username }",
        "query($unused: Int) { me { username } }",
        "{ me { ...nobody } }",
        "{ me }",
        "{ me { username } me: user(id: 1) { username } }",
    ] {
        let first = query(&app, &token, document, json!({})).await;
        let code = first.at("/errors/0/extensions/code").as_str().unwrap();
        assert!(code.starts_with("GRAPHQL_"), "{document}: {first:?}");
        assert_eq!(first.at("/data"), &Value::Null);
        for _ in 0..2 {
            let again = query(&app, &token, document, json!({})).await;
            assert_eq!(again.body, first.body, "{document}");
        }
    }
}

async fn cache_bytes(port: u16, cache: &str) -> u64 {
    let url = format!("http://127.0.0.1:{port}/metrics");
    let metrics = reqwest::get(url).await.unwrap().text().await.unwrap();
    let line = format!("symbolon_cache_bytes{{cache=\"{cache}\"}} ");
    let value = metrics.lines().find_map(|have| have.strip_prefix(&line));
    value
        .unwrap_or_else(|| panic!("{metrics}"))
        .parse()
        .unwrap()
}

/// Starts a server with caches of one mebibyte. Returns the port of its metrics.
fn small(folder: &std::path::Path) -> (Server, u16) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let server = Server::configured(folder, |command: &mut Command| {
        unthrottled(command);
        command
            .env("SYMBOLON_IDENTITY_CACHE", "1")
            .env("SYMBOLON_DOCUMENT_CACHE", "1")
            .env("SYMBOLON_METRICS_PORT", port.to_string());
    });
    (server, port)
}

const MEBIBYTE: u64 = 1024 * 1024;

#[tokio::test]
async fn the_document_cache_stays_within_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let (server, port) = small(folder.path());
    assert_eq!(cache_bytes(port, "documents").await, 0);
    let refused = server.graphql("{ nothing }").send().await;
    assert_eq!(refused.error().0, "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(cache_bytes(port, "documents").await, 0);
    let mut most = 0;
    for batch in 0..20 {
        let documents = (0..50).map(|n| format!("{{ a{batch}b{n}: __typename }}"));
        let documents: Vec<_> = documents.collect();
        let sent = documents.iter().map(|text| server.graphql(text).send());
        for answer in join_all(sent).await {
            assert_eq!(answer.at("/errors"), &Value::Null);
        }
        most = most.max(cache_bytes(port, "documents").await);
    }
    assert!((MEBIBYTE / 2..=MEBIBYTE).contains(&most), "{most}");
}

#[tokio::test]
async fn the_identity_cache_stays_within_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let (server, port) = small(folder.path());
    server.register("ada").await;
    let session = server.sign_in("ada").await;
    assert_eq!(cache_bytes(port, "identities").await, 0);
    assert_eq!(server.me("nobody").await.error().1, "TOKEN_INVALID");
    assert_eq!(cache_bytes(port, "identities").await, 0);
    server.me(&session).await;
    let one = cache_bytes(port, "identities").await;
    assert!((200..2000).contains(&one), "{one}");
    server.me(&session).await;
    assert_eq!(cache_bytes(port, "identities").await, one);
    // Identities with 32 scopes of 64 characters: some hundred fill the cache. A user has at most 50
    // access tokens.
    let scopes: Vec<_> = (0..32).map(|n| format!("{n:064}")).collect();
    let mut most = 0;
    for owner in 0..10 {
        let name = format!("owner{owner}");
        server.register(&name).await;
        for number in 0..50 {
            let body = json!({
                "query": "mutation($n: String!, $s: [String!]!) { createAccessToken(input: { name: $n, scopes: $s }) { token } }",
                "variables": { "n": format!("n{number}"), "s": scopes },
            });
            let made = server
                .graphql_body(&body)
                .basic(&name, PASSWORD)
                .send()
                .await;
            let token = made.at("/data/createAccessToken/token").as_str().unwrap();
            assert_eq!(server.me(token).await.at("/data/me/username"), &json!(name));
        }
        most = most.max(cache_bytes(port, "identities").await);
    }
    assert!((MEBIBYTE / 2..=MEBIBYTE).contains(&most), "{most}");
}

#[tokio::test]
async fn disabled_caches_do_not_change_responses() {
    let app = TestApp::configured(|config| {
        config.identity_cache = 0;
        config.document_cache = 0;
    })
    .await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    for _ in 0..3 {
        assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
    }
    app.revoke(&token).await;
    let after = app.me(&token).await;
    assert_eq!(after.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
}

#[tokio::test]
async fn no_request_that_begins_after_a_revocation_is_accepted_under_load() {
    const CLIENTS: usize = 16;
    let app = TestApp::unthrottled().await;
    app.register("ada").await;
    for round in 0..25 {
        let token = app.sign_in("ada").await;
        let revoked = AtomicBool::new(false);
        let clients = (0..CLIENTS).map(async |_| {
            let mut let_in = 0;
            loop {
                let over = revoked.load(Ordering::SeqCst);
                let answer = app.me(&token).await;
                let ok = answer.at("/data/me/username") == "ada";
                assert!(!(over && ok), "round {round}: a revoked token is accepted");
                let_in += u32::from(ok);
                if over {
                    assert_eq!(answer.error().1, "TOKEN_EXPIRED");
                    return let_in;
                }
            }
        });
        let revoke = async {
            // Both servers cache the token.
            for _ in 0..=round {
                app.me(&token).await;
            }
            assert_eq!(app.revoke(&token).await.at("/data/revokeToken"), true);
            revoked.store(true, Ordering::SeqCst);
        };
        let (let_in, ()) = tokio::join!(join_all(clients), revoke);
        assert!(let_in.iter().sum::<u32>() > 0);
    }
}

#[tokio::test]
async fn two_servers_on_one_database_refuse_tokens_that_the_other_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let one = Server::configured(folder.path(), unthrottled);
    let two = Server::configured(other.path(), |command| {
        unthrottled(command);
        command.env("DATABASE_URL", database_url(folder.path(), "symbolon.db"));
    });
    one.register("ada").await;
    let me = async |server: &Server, token: &str| {
        let operation = server.graphql("{ me { username email } }");
        operation.bearer(token).send().await
    };
    for round in 0..20 {
        let (here, there) = if round % 2 == 0 {
            (&one, &two)
        } else {
            (&two, &one)
        };
        let token = here.sign_in("ada").await;
        for server in [here, there, here, there] {
            let answer = me(server, &token).await;
            assert_eq!(answer.at("/data/me/username"), "ada", "{answer:?}");
        }
        let email = format!("ada{round}@example.org");
        let change = format!(
            r#"mutation {{ updateUser(input: {{ email: "{email}" }}) {{ user {{ id }} }} }}"#
        );
        let change = here.graphql(&change).basic("ada", PASSWORD);
        let changed = change.send().await;
        assert_eq!(changed.at("/errors"), &Value::Null, "{changed:?}");
        let query = async || me(there, &token).await;
        let there_knows = |answer: &Answer| answer.at("/data/me/email") == &json!(email);
        let answer = poll_until_propagated(query, there_knows).await;
        assert_eq!(answer.at("/data/me/email"), &json!(email));
        let revoked = here.revoke(&token).await;
        assert_eq!(revoked.at("/data/revokeToken"), true);
        assert_eq!(me(here, &token).await.error().1, "TOKEN_EXPIRED");
        let refused = |answer: &Answer| answer.at("/data") == &Value::Null;
        let answer = poll_until_propagated(async || me(there, &token).await, refused).await;
        assert_eq!(answer.error().1, "TOKEN_EXPIRED");
    }
}

#[tokio::test]
async fn a_cached_token_expires_and_a_clock_set_back_does_not_revive_it() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    for minutes in [0, 30, 29] {
        app.advance(TimeDelta::minutes(minutes));
        assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
    }
    app.advance(TimeDelta::minutes(1));
    assert_eq!(app.me(&token).await.error().1, "TOKEN_EXPIRED");
    // Before the token was issued.
    app.advance(TimeDelta::days(-40));
    assert_eq!(app.me(&token).await.error().1, "TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_change_of_one_user_keeps_the_cached_identities_of_others() {
    let app = Arc::new(TestApp::unthrottled().await);
    let mut tokens = Vec::new();
    for name in ["ada", "bob", "eve"] {
        app.register(name).await;
        tokens.push((name, app.sign_in(name).await));
    }
    for _ in 0..5 {
        for (name, token) in &tokens {
            assert_eq!(app.me(token).await.at("/data/me/username"), name);
        }
        app.revoke(&tokens[0].1).await;
        assert_eq!(app.me(&tokens[0].1).await.error().1, "TOKEN_EXPIRED");
        for (name, token) in &tokens[1..] {
            assert_eq!(app.me(token).await.at("/data/me/username"), name);
        }
        tokens[0].1 = app.sign_in("ada").await;
    }
}

/// Makes a change without an announcement, like a process that is killed before it announces the change.
async fn change_silently(folder: &std::path::Path, sql: &str) {
    let database = database_in(folder).await;
    database.execute_unprepared(sql).await.unwrap();
    database.close().await.unwrap();
}

#[tokio::test]
async fn a_mutation_that_finds_its_target_ended_invalidates_the_cached_identity() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), unthrottled);
    for name in ["root", "ada"] {
        server.register(name).await;
    }
    let promote = "UPDATE symbolon_user SET role = 'admin' WHERE id = 1";
    change_silently(folder.path(), promote).await;
    let token_of = async |name: &str| server.sign_in(name).await;
    let root = token_of("root").await;
    let end_session = "UPDATE symbolon_user SET token_nonce = NULL, \
        token_expiration = token_expiration - 90000000 WHERE id = 2";
    let disable = "UPDATE symbolon_user SET disabled_at = 1 WHERE id = 2";
    // The user does not exist after this change.
    let delete = "DELETE FROM symbolon_user WHERE id = 2";
    for (change, operation, is_own) in [
        (end_session, "revokeToken", true),
        (end_session, "revokeAllTokens", true),
        (end_session, "renewToken { token }", true),
        (end_session, "revokeUserTokens(id: 2)", false),
        (disable, "disableUser(id: 2) { user { id } }", false),
        (
            delete,
            "deleteUser(input: { id: 2 }) { deletedUserId }",
            false,
        ),
    ] {
        let token = token_of("ada").await;
        for _ in 0..3 {
            let me = server.graphql("{ me { id } }").bearer(&token);
            assert_eq!(me.send().await.at("/data/me/id"), "2");
        }
        change_silently(folder.path(), change).await;
        let mutation = server.graphql(&format!("mutation {{ {operation} }}"));
        let by = if is_own { &token } else { &root };
        mutation.bearer(by).send().await;
        let me = server.graphql("{ me { id } }").bearer(&token).send().await;
        assert_eq!(me.at("/data"), &Value::Null, "after {operation}: {me:?}");
        let enable = "UPDATE symbolon_user SET disabled_at = NULL WHERE id = 2";
        change_silently(folder.path(), enable).await;
    }
}

#[tokio::test]
async fn a_sign_in_invalidates_a_cached_session_that_another_process_has_revoked() {
    let app = TestApp::unthrottled().await;
    for attempt in 0..20 {
        let name = format!("user{attempt}");
        app.register(&name).await;
        let old = app.sign_in(&name).await;
        // The notification of the sign-in invalidates identities that were cached before it arrives.
        app.receive_changes().await;
        assert!(app.accepts(&old).await);
        // Without an announcement, as in another process whose notification has not arrived.
        let database = app.database().await;
        let revoke = "UPDATE symbolon_user SET token_nonce = NULL, token_expiration = 1";
        database.execute_unprepared(revoke).await.unwrap();
        database.close().await.unwrap();
        if !app.accepts(&old).await {
            // On a busy machine, a heartbeat was late, and the cache was not used.
            continue;
        }
        let new = app.sign_in(&name).await;
        assert_ne!(new, old);
        assert!(!app.accepts(&old).await);
        return;
    }
    panic!("the cache is never used");
}
