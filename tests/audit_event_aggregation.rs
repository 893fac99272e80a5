//! The rows of the audit trail that count repeated events, and their bound.

use std::collections::HashMap;

use chrono::TimeDelta;
use futures_util::future::join_all;
use sea_orm::{EntityTrait, QueryOrder};
use serde_json::{Value, json};

use crate::audit_trail::{events, prefix, with_an_admin};
use crate::support::{Answer, PASSWORD, Server, TestApp, eventually};

/// The most rows of events of one kind, user, actor, hour and kind of credential.
const MOST_ROWS: usize = 11;

async fn with_ada(is_admin: bool) -> (TestApp, String) {
    let app = TestApp::configured(|config| {
        config.throttle.enabled = false;
    })
    .await;
    app.register("ada").await;
    app.register("bob").await;
    if is_admin {
        app.make_admin(1).await;
    }
    let session = app.sign_in("ada").await;
    (app, session)
}

async fn rows(app: &TestApp) -> Vec<entity::audit_event::Model> {
    let database = app.database().await;
    let rows = entity::audit_event::Entity::find().order_by_asc(entity::audit_event::Column::Id);
    let rows = rows.all(&database).await.unwrap();
    database.close().await.unwrap();
    rows
}

/// Returns the number of rows of a kind, and the number of events that they count.
async fn counted(app: &TestApp, kind: &str) -> (usize, i64) {
    let rows = rows(app).await.into_iter().filter(|row| row.kind == kind);
    let rows: Vec<_> = rows.collect();
    (rows.len(), rows.iter().map(|row| row.count).sum())
}

/// Returns a mutation that calls one field under this many aliases.
fn repeated(call: &str, times: usize) -> String {
    let calls = (0..times).map(|number| format!("a{number}: {call} "));
    format!("mutation {{ {} }}", calls.collect::<String>())
}

#[tokio::test]
async fn renewals_within_an_hour_use_at_most_11_rows() {
    let (app, session) = with_ada(false).await;
    let renew = repeated("renewToken { expiresAt }", 50);
    for _ in 0..3 {
        app.advance(TimeDelta::minutes(1));
        let answer = app.graphql(&renew).bearer(&session).send().await;
        assert_eq!(answer.at("/errors"), &Value::Null);
    }
    assert_eq!(counted(&app, "TOKEN_RENEWED").await, (MOST_ROWS, 150));
    let rows = rows(&app).await;
    let last = rows.last().unwrap();
    // The first 10 events have a row each. One row counts the other 140.
    assert_eq!((last.count, last.last_at - last.at), (140, 120_000));
    app.advance(TimeDelta::minutes(57));
    let session = app.sign_in("ada").await;
    app.graphql(&renew).bearer(&session).send().await;
    assert_eq!(counted(&app, "TOKEN_RENEWED").await, (2 * MOST_ROWS, 200));
}

#[tokio::test]
async fn concurrent_events_are_all_counted() {
    let (app, session) = with_ada(false).await;
    let renew = repeated("renewToken { expiresAt }", 5);
    let send = || app.graphql(&renew).bearer(&session).send();
    for answer in join_all((0..20).map(|_| send())).await {
        assert_eq!(answer.at("/errors"), &Value::Null);
    }
    let (rows, events) = counted(&app, "TOKEN_RENEWED").await;
    assert!(rows <= MOST_ROWS);
    assert_eq!(events, 100);
}

#[tokio::test]
async fn revocations_of_many_tokens_use_at_most_11_rows() {
    let (app, session) = with_ada(false).await;
    for number in 0..40 {
        let create = format!(
            r#"mutation {{ createAccessToken(input: {{ name: "t{number}" }}) {{ token }} }}"#
        );
        app.graphql(&create).basic("ada", PASSWORD).send().await;
    }
    assert_eq!(counted(&app, "TOKEN_ISSUED").await.1, 41);
    let end = app.graphql("mutation { revokeAllTokens }").bearer(&session);
    assert_eq!(end.send().await.at("/data/revokeAllTokens"), 41);
    assert_eq!(counted(&app, "TOKEN_REVOKED").await, (MOST_ROWS, 41));
}

/// Returns the mutations of the schema. Their arguments have values with which they succeed, if
/// possible.
async fn mutations(app: &TestApp, id: &str) -> Vec<(String, String)> {
    let wrapped = "kind name ofType { kind name ofType { kind name } }";
    let document = format!(
        "{{ __schema {{ mutationType {{ name }} types {{ name kind enumValues {{ name }}
            inputFields {{ name type {{ {wrapped} }} }}
            fields {{ name args {{ name type {{ {wrapped} }} }} type {{ {wrapped} }} }} }} }} }}"
    );
    let answer = app.graphql(&document).send().await;
    let schema = answer.at("/data/__schema");
    let types = schema["types"].as_array().unwrap().iter();
    let types: HashMap<_, _> = types
        .map(|each| (each["name"].as_str().unwrap(), each))
        .collect();
    let root = schema["mutationType"]["name"].as_str().unwrap();
    let fields = types[root]["fields"].as_array().unwrap().iter();
    let call = |field: &Value| {
        let name = field["name"].as_str().unwrap();
        let arguments = field["args"].as_array().unwrap().iter();
        let arguments = arguments
            .map(|argument| value(&types, argument, id))
            .collect::<Vec<_>>();
        let arguments = if arguments.is_empty() {
            String::new()
        } else {
            format!("({})", arguments.join(", "))
        };
        let result = named(&field["type"]);
        let selected = if types[result]["kind"] == "OBJECT" {
            "{ __typename }"
        } else {
            ""
        };
        (name.to_owned(), format!("{name}{arguments} {selected}"))
    };
    fields.map(call).collect()
}

fn named(of: &Value) -> &str {
    let mut of = of;
    while !of["ofType"].is_null() {
        of = &of["ofType"];
    }
    of["name"].as_str().unwrap()
}

/// `NUMBER` is replaced by the number of the call.
fn value(types: &HashMap<&str, &Value>, argument: &Value, id: &str) -> String {
    let name = argument["name"].as_str().unwrap();
    let of = &types[named(&argument["type"])];
    let value = match (of["kind"].as_str().unwrap(), name) {
        ("INPUT_OBJECT", _) => {
            let fields = of["inputFields"].as_array().unwrap().iter();
            // The arguments `expiresIn` and `expiresAt` exclude each other.
            let fields = fields.filter(|field| field["name"] != "expiresAt");
            let fields: Vec<_> = fields.map(|field| value(types, field, id)).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        ("ENUM", _) => "ROLE".to_owned(),
        (_, "scopes") => r#"["*"]"#.to_owned(),
        (_, "id") => id.to_owned(),
        (_, "fresh") => "true".to_owned(),
        (_, "expiresIn") => "7200".to_owned(),
        (_, "currentPassword" | "password" | "newPassword") => format!("{PASSWORD:?}"),
        (_, "username") => r#""nameNUMBER""#.to_owned(),
        (_, "email") => r#""NUMBER@example.org""#.to_owned(),
        _ => r#""NUMBER""#.to_owned(),
    };
    format!("{name}: {value}")
}

/// Executes every mutation 200 times with a session and 50 times with the password, in requests of 50
/// fields.
async fn execute_all(app: &TestApp, id: &str, own_name: &str, account: i64) {
    let mut number = 0;
    for (name, call) in mutations(app, id).await {
        // Mutations that undo each other alternate.
        let turns = match name.as_str() {
            "deleteUser" => continue,
            "disableUser" => [call.clone(), call.replace("disable", "enable")],
            "setUserRole" => [call.replace("ROLE", "ADMIN"), call.replace("ROLE", "USER")],
            "inviteUser" => [call.replace("ROLE", "USER"), call.replace("ROLE", "USER")],
            _ => [call.clone(), call.clone()],
        };
        for round in 0..5 {
            let calls = (0..50).map(|alias| {
                number += 1;
                let call = turns[alias % 2].replace("NUMBER", &number.to_string());
                format!("a{alias}: {call} ")
            });
            let document = format!("mutation {{ {} }}", calls.collect::<String>());
            let current = app.row(account).await.username;
            assert!(current == own_name || current.starts_with("name"));
            let request = app.graphql(&document);
            let request = if round == 4 {
                request.basic(&current, PASSWORD)
            } else {
                let session = app.sign_in(&current).await;
                request.bearer(&session)
            };
            let answer: Answer = request.send().await;
            let code = answer.at("/errors/0/extensions/code");
            assert_ne!(code, "GRAPHQL_VALIDATION_FAILED", "{document}: {answer:?}");
            assert_ne!(code, "GRAPHQL_PARSE_FAILED", "{document}: {answer:?}");
        }
    }
}

/// Checks that no group of events has more rows than allowed.
fn check_groups(rows: &[entity::audit_event::Model]) {
    let mut groups = HashMap::<_, usize>::new();
    for row in rows {
        let roles = (row.old_role.clone(), row.new_role.clone());
        let who = (
            row.actor_type.clone(),
            row.actor_id,
            row.credential_type.clone(),
        );
        *groups
            .entry((row.kind.clone(), row.user_id, who, roles))
            .or_default() += 1;
    }
    for (group, rows) in groups {
        assert!(rows <= MOST_ROWS, "{rows}: {group:?}");
    }
}

#[tokio::test]
async fn repeated_operations_of_a_user_write_a_bounded_number_of_rows_an_hour() {
    let (app, _) = with_ada(false).await;
    execute_all(&app, "1", "ada", 1).await;
    let rows = rows(&app).await;
    check_groups(&rows);
    let events: i64 = rows.iter().map(|row| row.count).sum();
    println!("{events} events of an account have {} rows", rows.len());
    // A request contains at most one registration and one password change.
    let registered = rows.iter().filter(|row| row.kind == "REGISTERED").count();
    assert!(registered <= 7, "{registered}");
    assert!(rows.len() <= 13 * MOST_ROWS, "{}", rows.len());
    // The renewals, profile changes and new sessions alone are more.
    assert!(events > 400, "{events}");
}

#[tokio::test]
async fn repeated_operations_of_an_admin_write_a_bounded_number_of_rows_for_each_user_an_hour() {
    let (app, _) = with_ada(true).await;
    execute_all(&app, "2", "ada", 1).await;
    let rows = rows(&app).await;
    check_groups(&rows);
    let events: i64 = rows.iter().map(|row| row.count).sum();
    println!("{events} events of an admin have {} rows", rows.len());
    // These events are never counted in a shared row.
    for kind in ["DISABLED", "ENABLED", "ROLE_CHANGED", "RESET_LINK_CREATED"] {
        let of_kind = || rows.iter().filter(|row| row.kind == kind);
        let who =
            |row: &entity::audit_event::Model| row.user_id == Some(2) && row.actor_id == Some(1);
        assert!(of_kind().all(who), "{kind}");
        assert!(of_kind().map(|row| row.count).sum::<i64>() >= 20, "{kind}");
    }
    let roles = |old: &str, new: &str| {
        let changes = rows
            .iter()
            .filter(|row| row.old_role.as_deref() == Some(old));
        changes
            .filter(|row| row.new_role.as_deref() == Some(new))
            .map(|row| row.count)
            .sum::<i64>()
    };
    assert_eq!(roles("USER", "ADMIN"), roles("ADMIN", "USER"));
    assert!(roles("USER", "ADMIN") >= 20);
}

#[tokio::test]
async fn every_event_is_logged_even_if_its_row_is_shared() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command| {
        command.env("SYMBOLON_LOG_FORMAT", "json");
    });
    server.register("ada").await;
    let token = server.sign_in("ada").await;
    let send = async |document: &str| {
        let request = server.request(reqwest::Method::POST, "/graphql");
        let request = request.json(&json!({ "query": document }));
        let answer = Answer::of(request.bearer_auth(&token)).await;
        assert_eq!(answer.at("/errors"), &Value::Null);
    };
    send(&repeated("renewToken { expiresAt }", 30)).await;
    send(r#"mutation { updateUser(input: { username: "lovelace" }) { user { id } } }"#).await;
    let log = server.log_when(|log| log.matches("PROFILE_CHANGED").count() == 1);
    assert_eq!(log.matches("\"event\":\"TOKEN_RENEWED\"").count(), 30);
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let renamed = lines.filter(|line| line["event"] == "PROFILE_CHANGED");
    let [renamed] = renamed.collect::<Vec<_>>().try_into().unwrap();
    for (name, value) in [
        ("actor", "USER"),
        ("actor_id", "1"),
        ("credential", "SESSION_TOKEN"),
        ("credential_id", &prefix(&token)),
        ("old_username", "ada"),
        ("username", "lovelace"),
    ] {
        assert_eq!(renamed[name], value, "{renamed}");
    }
    assert!(!log.contains(&token));
}

#[tokio::test]
async fn concurrent_operations_of_one_user_do_not_deadlock() {
    let (app, session) = with_ada(true).await;
    let token = r#"mutation { createAccessToken(input: { name: "t", expiresIn: 60 }) { token } }"#;
    let made = app.graphql(token).basic("ada", PASSWORD).send().await;
    let token = made
        .at("/data/createAccessToken/token")
        .as_str()
        .unwrap()
        .to_owned();
    let calls = [
        repeated("renewToken { expiresAt }", 4),
        repeated(
            r#"updateUser(input: { email: "a@example.org" }) { user { id } }"#,
            4,
        ),
        repeated("revokeUserTokens(id: 2)", 4),
        repeated(
            "disableUser(id: 2) { user { id } } b: enableUser(id: 2) { user { id } }",
            1,
        ),
        repeated("revokeAccessToken(id: 1)", 2),
        "mutation { createToken { token } }".to_owned(),
    ];
    let sent = (0..60).map(|number| {
        let call = &calls[number % calls.len()];
        let request = app.graphql(call);
        if call.contains("createToken") {
            request.basic("ada", PASSWORD).send()
        } else if number % 2 == 0 {
            request.bearer(&session).send()
        } else {
            request.bearer(&token).send()
        }
    });
    for answer in join_all(sent).await {
        let errors = answer.at("/errors").as_array().into_iter().flatten();
        for error in errors {
            let code = &error["extensions"]["code"];
            assert!(
                code == "FORBIDDEN" || code == "UNAUTHENTICATED",
                "{answer:?}"
            );
        }
    }
    check_groups(&rows(&app).await);
}

#[tokio::test]
async fn failed_attempts_share_one_row_per_user_and_hour() {
    let (app, root) = with_an_admin().await;
    app.register("ada").await;
    let fail = async |name: &str| {
        let request = app.request(reqwest::Method::POST, "/tokens");
        Answer::of(request.basic_auth(name, Some("wrong"))).await
    };
    fail("ada").await;
    app.advance(TimeDelta::minutes(5));
    let last = fail("ada").await;
    for name in ["nobody", "no one", "not a name"] {
        fail(name).await;
    }
    let answer = events(&app, &root, json!({ "kind": "SIGN_IN_FAILED" })).await;
    let nodes = answer.at("/data/auditEvents/nodes").as_array().unwrap();
    let recorded: Vec<_> = nodes
        .iter()
        .map(|node| (&node["userId"], &node["count"]))
        .collect();
    assert_eq!(
        recorded,
        [(&Value::Null, &json!(3)), (&json!("2"), &json!(2))]
    );
    assert_eq!(nodes[1]["at"], "2026-01-01T00:00:00.000+00:00");
    assert_eq!(nodes[1]["lastAt"], "2026-01-01T00:05:00.000+00:00");
    assert_eq!(nodes[1]["requestId"], last.header("x-request-id"));
    app.advance(TimeDelta::minutes(54));
    fail("ada").await;
    app.advance(TimeDelta::minutes(1));
    fail("ada").await;
    let root = app.sign_in("root").await;
    let counts = events(
        &app,
        &root,
        json!({ "kind": "SIGN_IN_FAILED", "user": "2" }),
    )
    .await;
    let nodes = counts.at("/data/auditEvents/nodes").as_array().unwrap();
    let counts: Vec<_> = nodes.iter().map(|node| &node["count"]).collect();
    assert_eq!(counts, [&json!(1), &json!(3)]);
}

#[tokio::test]
async fn refused_attempts_share_one_row_per_user_and_hour() {
    let (app, root) = with_an_admin().await;
    app.register("ada").await;
    let mut refused = 0;
    while refused < 30 {
        let create = app.graphql("mutation { createToken { token } }");
        let answer = create.basic("ada", "wrong").send().await;
        refused += i32::from(answer.error().0 == "RATE_LIMITED");
    }
    let node = eventually("the rows are written", async || {
        let answer = events(&app, &root, json!({ "kind": "THROTTLED" })).await;
        let nodes = answer.at("/data/auditEvents/nodes").as_array().unwrap();
        assert!(nodes.len() <= 1);
        nodes.first().filter(|node| node["count"] == 30).cloned()
    })
    .await;
    assert_eq!(
        (&node["userId"], &node["actorId"]),
        (&json!("2"), &Value::Null)
    );
    assert_eq!(node["address"], "127.0.0.1");
}
