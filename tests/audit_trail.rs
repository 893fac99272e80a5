//! The audit trail: recorded events, access to them, and their purge.

use chrono::TimeDelta;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, Server, TestApp, succeed, symbolon};

const DETAILS: &str = "query($kind: AuditEventKind) { auditEvents(kind: $kind, first: 1) { nodes {
    userId actorType actorId credentialType credentialId oldRole newRole oldUsername username count } } }";

const EVENTS: &str = "query($first: Int, $after: String, $last: Int, $before: String, $user: ID, $kind: AuditEventKind) {
    auditEvents(first: $first, after: $after, last: $last, before: $before, userId: $user, kind: $kind) {
        nodes { id kind at lastAt count userId actorId token address requestId }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    } }";

/// Starts an app whose first user `root` is an admin, and returns the token of `root`.
pub async fn with_an_admin() -> (TestApp, String) {
    let app = TestApp::start().await;
    app.register("root").await;
    app.make_admin(1).await;
    let token = app.sign_in("root").await;
    (app, token)
}

pub fn prefix(token: &str) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(token);
    digest[..6]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub async fn events(app: &TestApp, admin: &str, variables: Value) -> Answer {
    let request = app.graphql_with(EVENTS, &variables).bearer(admin);
    let answer = request.send().await;
    assert_eq!(answer.at("/errors"), &Value::Null);
    answer
}

/// Returns the kinds of the events of a user, oldest first.
async fn kinds(app: &TestApp, admin: &str, user: &str) -> Vec<String> {
    let answer = events(app, admin, json!({ "user": user, "first": 100 })).await;
    let nodes = answer.at("/data/auditEvents/nodes").as_array().unwrap();
    let kinds = nodes
        .iter()
        .map(|node| node["kind"].as_str().unwrap().to_owned());
    kinds.rev().collect()
}

async fn mutate(app: &TestApp, token: &str, call: &str) -> Answer {
    let answer = app.mutate(token, call).await;
    assert_eq!(answer.at("/errors"), &Value::Null);
    answer
}

/// Calls a mutation with the password.
async fn grant(app: &TestApp, username: &str, call: &str) -> Answer {
    let answer = app.mutate_as(username, call).await;
    assert_eq!(answer.at("/errors"), &Value::Null);
    answer
}

#[tokio::test]
async fn each_change_of_a_user_is_one_event() {
    let (app, root) = with_an_admin().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    app.sign_in("ada").await;
    app.revoke(&token).await;
    app.revoke(&token).await;
    let token = app.sign_in("ada").await;
    let change = format!(
        r#"changePassword(input: {{ currentPassword: "{PASSWORD}", newPassword: "another good password" }}) {{ token {{ token }} }}"#
    );
    let changed = mutate(&app, &token, &change).await;
    let token = changed
        .at("/data/changePassword/token/token")
        .as_str()
        .unwrap();
    mutate(
        &app,
        token,
        r#"updateUser(input: { username: "Ada" }) { user { id } }"#,
    )
    .await;
    for call in [
        "setUserRole(id: 2, role: ADMIN) { user { id } }",
        "disableUser(id: 2) { user { id } }",
        "enableUser(id: 2) { user { id } }",
        r#"setUserPassword(input: { id: 2, newPassword: "yet another password" }) { user { id } }"#,
        "deleteUser(input: { id: 2 }) { deletedUserId }",
    ] {
        grant(&app, "root", call).await;
    }
    assert_eq!(
        kinds(&app, &root, "2").await,
        [
            "REGISTERED",
            "SIGNED_IN",
            "TOKEN_ISSUED",
            "SIGNED_IN",
            "TOKEN_REVOKED",
            "SIGNED_IN",
            "TOKEN_ISSUED",
            "PASSWORD_CHANGED",
            "TOKEN_ISSUED",
            "PROFILE_CHANGED",
            "ROLE_CHANGED",
            "TOKEN_REVOKED",
            "DISABLED",
            "ENABLED",
            "PASSWORD_CHANGED",
            "DELETED",
        ]
    );
}

#[tokio::test]
async fn an_operation_without_effect_is_no_event() {
    let (app, root) = with_an_admin().await;
    app.register("ada").await;
    for call in [
        "enableUser(id: 2) { user { id } }",
        "setUserRole(id: 2, role: USER) { user { id } }",
        "setUserRole(id: 99, role: USER) { user { id } }",
        "disableUser(id: 1) { user { id } }",
    ] {
        grant(&app, "root", call).await;
    }
    assert_eq!(kinds(&app, &root, "2").await, ["REGISTERED"]);
    let mut own = kinds(&app, &root, "1").await;
    own.retain(|kind| kind != "SIGNED_IN");
    assert_eq!(own, ["REGISTERED", "TOKEN_ISSUED"]);
}

#[tokio::test]
async fn an_event_records_time_user_actor_and_address() {
    let (app, root) = with_an_admin().await;
    let id = app.register("ada").await;
    app.advance(TimeDelta::minutes(5));
    let disabled = mutate(&app, &root, "disableUser(id: 2) { user { id } }").await;
    let answer = events(&app, &root, json!({ "kind": "DISABLED" })).await;
    assert_eq!(
        answer.at("/data/auditEvents/nodes"),
        &json!([{
            "id": answer.at("/data/auditEvents/nodes/0/id"),
            "kind": "DISABLED",
            "at": "2026-01-01T00:05:00.000+00:00",
            "lastAt": "2026-01-01T00:05:00.000+00:00",
            "count": 1,
            "userId": id.to_string(),
            "actorId": "1",
            "token": null,
            "address": "127.0.0.1",
            "requestId": disabled.header("x-request-id"),
        }])
    );
}

#[tokio::test]
async fn an_event_names_a_token_by_the_start_of_its_digest() {
    use sha2::Digest;
    let (app, root) = with_an_admin().await;
    let digest = sha2::Sha256::digest(&root);
    let prefix: String = digest[..6]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let answer = events(&app, &root, json!({ "kind": "TOKEN_ISSUED" })).await;
    assert_eq!(
        answer.at("/data/auditEvents/nodes/0/token"),
        prefix.as_str()
    );
}

#[tokio::test]
async fn pending_refused_attempts_are_written_at_shutdown() {
    let (app, _) = with_an_admin().await;
    for _ in 0..21 {
        let create = app.graphql("mutation { createToken { token } }");
        create.basic("nobody", "wrong").send().await;
    }
    let app = app.restart(|_| {}).await;
    let root = app.sign_in("root").await;
    let answer = events(&app, &root, json!({ "kind": "THROTTLED" })).await;
    assert_eq!(answer.at("/data/auditEvents/nodes/0/count"), 1);
}

#[tokio::test]
async fn old_events_are_purged() {
    let (app, root) = with_an_admin().await;
    let create = app.graphql("mutation { createToken { token } }");
    create.basic("nobody", "wrong").send().await;
    let create = r#"createAccessToken(input: { name: "short", expiresIn: 60 }) { token }"#;
    grant(&app, "root", create).await;
    let rows = async |table: &str| {
        let database = app.database().await;
        let count = Statement::from_string(
            database.get_database_backend(),
            format!("SELECT count(*) n FROM {table}"),
        );
        let row = database.query_one_raw(count).await.unwrap().unwrap();
        database.close().await.unwrap();
        row.try_get::<i64>("", "n").unwrap()
    };
    let tables = [
        "symbolon_audit_event",
        "symbolon_throttle",
        "symbolon_known_address",
        "symbolon_access_token",
    ];
    // The command uses the clock of the system, which is far ahead of the clock of the app.
    for (days, kept) in [("36500", 6), ("90", 0)] {
        for table in tables {
            assert!(rows(table).await > 0 || days == "90", "{table}");
        }
        let folder = app.file("");
        let mut purge = symbolon(&folder);
        purge.args(["token", "purge", "--database-url", &app.database_url()]);
        succeed(purge.env("SYMBOLON_AUDIT_DAYS", days));
        assert_eq!(rows("symbolon_audit_event").await, kept);
        for table in &tables[1..] {
            assert_eq!(rows(table).await, 0, "{table}");
        }
    }
    let answer = app.me(&root).await;
    assert_eq!(answer.error(), ("UNAUTHENTICATED", "TOKEN_INVALID"));
}

#[tokio::test]
async fn cursors_page_through_all_events_in_both_directions() {
    let (app, root) = with_an_admin().await;
    for number in 1..=20 {
        app.register(&format!("u{number}")).await;
    }
    let ids = |answer: &Answer| {
        let nodes = answer.at("/data/auditEvents/nodes").as_array().unwrap();
        let id = |node: &Value| node["id"].as_str().unwrap().parse::<i64>().unwrap();
        nodes.iter().map(id).collect::<Vec<_>>()
    };
    let (mut forward, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = events(&app, &root, json!({ "first": 9, "after": cursor })).await;
        let info = page.at("/data/auditEvents/pageInfo");
        assert_eq!(info["hasPreviousPage"], json!(!forward.is_empty()));
        forward.extend(ids(&page));
        cursor = info["endCursor"].clone();
        if info["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(forward, (1..=23).rev().collect::<Vec<_>>());
    let (mut backward, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = events(&app, &root, json!({ "last": 9, "before": cursor })).await;
        let info = page.at("/data/auditEvents/pageInfo");
        assert_eq!(info["hasNextPage"], json!(!backward.is_empty()));
        backward = [ids(&page), backward].concat();
        cursor = info["startCursor"].clone();
        if info["hasPreviousPage"] == false {
            break;
        }
    }
    assert_eq!(backward, forward);
    for arguments in [json!({ "first": 101 }), json!({ "after": "dXNlcjox" })] {
        let request = app.graphql_with(EVENTS, &arguments).bearer(&root);
        assert_eq!(request.send().await.error(), ("BAD_USER_INPUT", ""));
    }
}

#[tokio::test]
async fn an_event_is_one_log_line_with_any_client_text() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command| {
        command.env("SYMBOLON_LOG_FORMAT", "json");
    });
    server.register("ada").await;
    // A header cannot contain line breaks. Some programs treat these characters as line breaks.
    let name = "mallory\u{2028}SIGNED_IN user_id=1\u{85}";
    let failed = Answer::of(server.post_tokens(name).header("x-request-id", "a%0ab")).await;
    let signed_in = Answer::of(server.post_tokens("ada").header("x-request-id", "mine-1")).await;
    let log = server.log_when(|log| log.matches("symbolon::request").count() == 3);
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let trail: Vec<Value> = lines
        .filter(|line| line["target"] == "symbolon::audit")
        .collect();
    let recorded: Vec<_> = trail
        .iter()
        .map(|line| {
            (
                line["event"].as_str().unwrap(),
                line["request_id"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        recorded[1..],
        [
            ("SIGN_IN_FAILED", failed.header("x-request-id")),
            ("SIGNED_IN", "mine-1"),
            ("TOKEN_ISSUED", "mine-1"),
        ]
    );
    assert_eq!(trail[2]["user_id"], "1");
    assert_eq!(trail[2]["client"], "127.0.0.1");
    assert_eq!(trail[3]["token"].as_str().unwrap().len(), 12);
    assert!(!log.contains("mallory") && !log.contains(PASSWORD), "{log}");
    let token = signed_in.at("/token").as_str().unwrap();
    assert!(!log.contains(token));
}

async fn latest(app: &TestApp, admin: &str, kind: &str) -> Value {
    let answer = app
        .graphql_with(DETAILS, &json!({ "kind": kind }))
        .bearer(admin)
        .send()
        .await;
    assert_eq!(answer.at("/errors"), &Value::Null);
    answer.at("/data/auditEvents/nodes/0").clone()
}

#[tokio::test]
async fn an_event_records_the_actor_the_credential_and_the_change() {
    let app = TestApp::unthrottled().await;
    app.register("ada").await;
    app.register("bob").await;
    app.make_admin(1).await;
    let session = app.sign_in("ada").await;
    let by_session = json!({
        "userId": "2", "actorType": "USER", "actorId": "1", "credentialType": "SESSION_TOKEN",
        "credentialId": prefix(&session), "oldRole": null, "newRole": null, "oldUsername": null,
        "username": null, "count": 1,
    });
    let with = |changed: Value| {
        let mut event = by_session.clone();
        let changed = changed.as_object().unwrap().clone();
        event.as_object_mut().unwrap().extend(changed);
        event
    };
    let send = async |call: &str| {
        let answer = app.mutate(&session, call).await;
        assert_eq!(answer.at("/errors"), &Value::Null);
    };
    let by_password = json!({
        "userId": "1", "credentialType": "PASSWORD", "credentialId": null,
    });
    assert_eq!(latest(&app, &session, "SIGNED_IN").await, with(by_password));
    let anonymous = json!({
        "actorType": "ANONYMOUS", "actorId": null, "credentialType": null, "credentialId": null,
    });
    assert_eq!(latest(&app, &session, "REGISTERED").await, with(anonymous));
    // Mutations that grant authority can take the password in the same request. The event records the
    // credential.
    let roles = |old: &str, new: &str| json!({ "oldRole": old, "newRole": new });
    let role = async |role: &str| {
        let document =
            format!("mutation {{ setUserRole(id: 2, role: {role}) {{ user {{ id }} }} }}");
        let bearer = app.graphql(&document).bearer(&session).send().await;
        if bearer.at("/errors").is_null() {
            return true;
        }
        let basic = app.graphql(&document).basic("ada", PASSWORD).send().await;
        assert_eq!(basic.at("/errors"), &Value::Null);
        false
    };
    for (old, new) in [("USER", "ADMIN"), ("ADMIN", "USER")] {
        let is_by_session = role(new).await;
        let mut expected = with(roles(old, new));
        if !is_by_session {
            expected["credentialType"] = json!("PASSWORD");
            expected["credentialId"] = Value::Null;
        }
        assert_eq!(latest(&app, &session, "ROLE_CHANGED").await, expected);
    }
    // A wrong password of an authenticated client.
    let wrong = r#"changePassword(input: { currentPassword: "wrong", newPassword: "a good new one" }) {
        userErrors { code } }"#;
    send(wrong).await;
    assert_eq!(
        latest(&app, &session, "SIGN_IN_FAILED").await,
        with(json!({ "userId": "1" }))
    );
    send(r#"updateUser(input: { username: "Ada" }) { user { id } }"#).await;
    let renamed = json!({ "userId": "1", "oldUsername": "ada", "username": "Ada" });
    assert_eq!(
        latest(&app, &session, "PROFILE_CHANGED").await,
        with(renamed)
    );
    let create =
        r#"mutation { createAccessToken(input: { name: "t" }) { token accessToken { id } } }"#;
    let made = app.graphql(create).basic("ada", PASSWORD).send().await;
    let token = made.at("/data/createAccessToken/token").as_str().unwrap();
    let id = made.at("/data/createAccessToken/accessToken/id");
    let by_token = app.graphql("mutation { disableUser(id: 2) { user { id } } }");
    assert_eq!(
        by_token.bearer(token).send().await.at("/errors"),
        &Value::Null
    );
    let by_token = json!({ "credentialType": "ACCESS_TOKEN", "credentialId": id });
    assert_eq!(latest(&app, &session, "DISABLED").await, with(by_token));
    send("deleteUser(input: { id: 2 }) { deletedUserId }").await;
    assert_eq!(
        latest(&app, &session, "DELETED").await,
        with(json!({ "username": "bob" }))
    );
}
