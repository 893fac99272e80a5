//! The queries `me`, `user` and `users`.

use serde_json::{Value, json};
use symbolon::UserList;

use crate::privilege_escalation::{with_admins, with_bearer};
use crate::support::{Answer, PASSWORD, Postgres, TestApp, common_key};

async fn query(app: &TestApp, token: &str, document: &str) -> Answer {
    app.graphql(document).bearer(token).send().await
}

/// Starts an app with the users u1 to u25, and returns the token of the admin u1.
async fn with_25_users() -> (TestApp, String) {
    let app = TestApp::start().await;
    for number in 1..=25 {
        app.register(&format!("u{number}")).await;
    }
    app.make_admin(1).await;
    let token = app.sign_in("u1").await;
    (app, token)
}

fn ids(answer: &Answer) -> Vec<u64> {
    let nodes = answer.at("/data/users/nodes").as_array();
    nodes
        .unwrap_or_else(|| panic!("{answer:?}"))
        .iter()
        .map(|node| node["id"].as_str().unwrap().parse().unwrap())
        .collect()
}

#[tokio::test]
async fn each_query_requires_a_token() {
    let app = TestApp::start().await;
    for document in [
        "{ me { id } }",
        r#"{ user(id: "1") { id } }"#,
        "{ users { totalCount } }",
    ] {
        let answer = app.graphql(document).send().await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.error(), ("UNAUTHENTICATED", "MISSING"), "{document}");
    }
}

#[tokio::test]
async fn a_user_is_found_by_id_or_by_name() {
    let app = TestApp::start().await;
    app.register("Ada").await;
    app.register("bob").await;
    app.make_admin(2).await;
    let token = app.sign_in("bob").await;
    for document in [
        r#"{ user(id: "1") { username } }"#,
        "{ user(id: 1) { username } }",
        r#"{ user(username: "ADA") { username } }"#,
    ] {
        let answer = query(&app, &token, document).await;
        assert_eq!(answer.at("/data/user/username"), "Ada", "{document}");
    }
    for document in [
        r#"{ user(id: "3") { username } }"#,
        r#"{ user(id: "x") { username } }"#,
        r#"{ user(username: "nobody") { username } }"#,
        r#"{ user(username: "not a name") { username } }"#,
    ] {
        let answer = query(&app, &token, document).await;
        assert_eq!(
            answer.body,
            json!({ "data": { "user": null } }),
            "{document}"
        );
    }
    for document in [
        "{ user { username } }",
        r#"{ user(id: "1", username: "ada") { username } }"#,
    ] {
        let answer = query(&app, &token, document).await;
        assert_eq!(answer.error(), ("BAD_USER_INPUT", ""), "{document}");
    }
}

#[tokio::test]
async fn private_fields_are_visible_to_their_owner_and_admins() {
    let app = TestApp::start().await;
    let ada =
        json!({ "i": { "username": "ada", "email": "ada@example.org", "password": PASSWORD } });
    app.graphql_with(
        "mutation($i: CreateUserInput!) { createUser(input: $i) { user { id } } }",
        &ada,
    )
    .send()
    .await;
    app.register("bob").await;
    let (ada, bob) = (app.sign_in("ada").await, app.sign_in("bob").await);
    let fields = "id username role createdAt email lastSignInAt disabledAt accessTokens { name }";
    let by_name = format!(r#"{{ user(username: "ada") {{ {fields} }} }}"#);
    let list = format!("{{ users {{ edges {{ node {{ {fields} }} }} }} }}");
    let complete = json!({
        "id": "1",
        "username": "ada",
        "role": "USER",
        "createdAt": "2026-01-01T00:00:00.000+00:00",
        "email": "ada@example.org",
        "lastSignInAt": "2026-01-01T00:00:00.000+00:00",
        "disabledAt": null,
        "accessTokens": [],
    });
    let own = query(&app, &ada, &by_name).await;
    assert_eq!(own.at("/data/user"), &complete);
    for document in [&by_name, &list] {
        let refused = query(&app, &bob, document).await;
        assert_eq!(refused.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
    }
    let refused = query(&app, &ada, &list).await;
    assert_eq!(refused.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
    app.sql("UPDATE symbolon_user SET role = 'admin' WHERE username = 'bob'")
        .await;
    let admin = query(&app, &bob, &by_name).await;
    assert_eq!(admin.at("/data/user"), &complete);
    let admin = query(&app, &bob, &list).await;
    assert_eq!(admin.at("/data/users/edges/0/node"), &complete);
    let me = query(&app, &bob, "{ me { role email } }").await;
    assert_eq!(
        me.at("/data/me"),
        &json!({ "role": "ADMIN", "email": null })
    );
}

#[tokio::test]
async fn a_list_visible_to_members_contains_names_only() {
    let app = TestApp::configured(|config| config.user_list = UserList::Members).await;
    app.register("ada").await;
    app.register("bob").await;
    let bob = app.sign_in("bob").await;
    let fields = "id username role createdAt email lastSignInAt disabledAt accessTokens { name }";
    let of_ada = json!({
        "id": "1",
        "username": "ada",
        "role": null,
        "createdAt": null,
        "email": null,
        "lastSignInAt": null,
        "disabledAt": null,
        "accessTokens": null,
    });
    let by_name = format!(r#"{{ user(username: "ada") {{ {fields} }} }}"#);
    assert_eq!(query(&app, &bob, &by_name).await.at("/data/user"), &of_ada);
    let list = format!("{{ users {{ totalCount nodes {{ {fields} }} }} }}");
    let list = query(&app, &bob, &list).await;
    assert_eq!(list.at("/data/users/totalCount"), 2);
    assert_eq!(list.at("/data/users/nodes/0"), &of_ada);
    assert_eq!(list.at("/data/users/nodes/1/role"), "USER");
    let unknown = query(&app, &bob, "{ user(id: 99) { id } }").await;
    assert_eq!(unknown.body, json!({ "data": { "user": null } }));
    let events = query(&app, &bob, "{ auditEvents { nodes { id } } }").await;
    assert_eq!(events.error(), ("FORBIDDEN", "ROLE_REQUIRED"));
    let narrow = app
        .access_token("bob", json!({ "name": "narrow", "scopes": ["notes:read"] }))
        .await;
    let refused = query(&app, &narrow, "{ users { nodes { id } } }").await;
    assert_eq!(refused.error(), ("FORBIDDEN", "SCOPE_REQUIRED"));
}

#[tokio::test]
async fn a_page_has_20_users_in_the_order_of_registration() {
    let (app, token) = with_25_users().await;
    let answer = query(
        &app,
        &token,
        "{ users { nodes { id } totalCount pageInfo { hasNextPage hasPreviousPage } } }",
    )
    .await;
    assert_eq!(ids(&answer), (1..=20).collect::<Vec<_>>());
    assert_eq!(answer.at("/data/users/totalCount"), 25);
    assert_eq!(
        answer.at("/data/users/pageInfo"),
        &json!({ "hasNextPage": true, "hasPreviousPage": false })
    );
}

#[tokio::test]
async fn cursors_page_through_all_users_in_both_directions() {
    let (app, token) = with_25_users().await;
    for (size, towards, cursor_name, more, end) in [
        (
            "first",
            "after",
            "endCursor",
            "hasNextPage",
            "hasPreviousPage",
        ),
        (
            "last",
            "before",
            "startCursor",
            "hasPreviousPage",
            "hasNextPage",
        ),
    ] {
        let mut cursor = Value::Null;
        let mut pages = Vec::new();
        loop {
            let answer = app
                .graphql_with(
                    &format!(
                        "query($c: String) {{ users({size}: 10, {towards}: $c) {{
                            nodes {{ id }} edges {{ cursor }} pageInfo {{
                                startCursor endCursor hasNextPage hasPreviousPage }} }} }}"
                    ),
                    &json!({ "c": cursor }),
                )
                .bearer(&token)
                .send()
                .await;
            let info = answer.at("/data/users/pageInfo");
            assert_eq!(info[end], json!(!pages.is_empty()));
            assert_eq!(
                &info["startCursor"],
                answer.at("/data/users/edges/0/cursor")
            );
            pages.push(ids(&answer));
            if info[more] == false {
                break;
            }
            cursor = info[cursor_name].clone();
        }
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
        if size == "last" {
            pages.reverse();
        }
        assert_eq!(pages.concat(), (1..=25).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_page_is_stable_when_users_are_added() {
    let (app, token) = with_25_users().await;
    let first = query(
        &app,
        &token,
        "{ users(first: 24) { nodes { id } pageInfo { endCursor } } }",
    )
    .await;
    let cursor = first.at("/data/users/pageInfo/endCursor").as_str().unwrap();
    app.register("a-name-that-sorts-first").await;
    let next = query(
        &app,
        &token,
        &format!(r#"{{ users(after: "{cursor}") {{ nodes {{ id }} }} }}"#),
    )
    .await;
    assert_eq!(ids(&next), [25, 26]);
}

#[tokio::test]
async fn a_page_between_two_cursors_contains_only_rows_between_them() {
    let (app, token) = with_25_users().await;
    let all = query(
        &app,
        &token,
        "{ users(first: 25) { nodes { id } edges { cursor } } }",
    )
    .await;
    let cursor = |number: usize| {
        let pointer = format!("/data/users/edges/{}/cursor", number - 1);
        all.at(&pointer).as_str().unwrap().to_owned()
    };
    let document = format!(
        r#"{{ users(after: "{}", before: "{}") {{ nodes {{ id }} pageInfo {{ hasNextPage hasPreviousPage }} }} }}"#,
        cursor(5),
        cursor(9)
    );
    let between = query(&app, &token, &document).await;
    assert_eq!(ids(&between), [6, 7, 8]);
}

#[tokio::test]
async fn the_size_of_a_page_is_bounded() {
    let (app, token) = with_25_users().await;
    for arguments in [
        "first: 101",
        "last: 101",
        "first: -1",
        "last: -1",
        "first: 1, last: 1",
        r#"after: "nonsense""#,
        r#"before: """#,
    ] {
        let answer = query(
            &app,
            &token,
            &format!("{{ users({arguments}) {{ totalCount }} }}"),
        )
        .await;
        assert_eq!(answer.error(), ("BAD_USER_INPUT", ""), "{arguments}");
    }
    let all = query(&app, &token, "{ users(first: 100) { nodes { id } } }").await;
    assert_eq!(ids(&all).len(), 25);
    let none = query(
        &app,
        &token,
        "{ users(first: 0) { nodes { id } pageInfo { hasNextPage } } }",
    )
    .await;
    assert_eq!(ids(&none), [0; 0]);
    assert_eq!(none.at("/data/users/pageInfo/hasNextPage"), true);
}

mod postgres {
    use super::*;

    #[tokio::test]
    #[ignore = "needs PostgreSQL, which scripts/test installs"]
    async fn the_access_tokens_of_a_page_of_users_are_one_query() {
        let server = Postgres::start(&["fsync=off", "log_statement=all"]);
        let url = server.create();
        let app = TestApp::configured(|config| {
            config.throttle.enabled = false;
            config.database_url = url.clone().into();
            config.secret_key_file = Some(common_key().to_owned());
            config.argon2_memory = 8;
        })
        .await;
        for number in 0..30 {
            let name = format!("user{number}");
            app.register(&name).await;
            let input = json!({ "name": format!("of {name}") });
            app.access_token(&name, input).await;
        }
        let sql = "UPDATE symbolon_user SET role = 'admin' WHERE id = 1";
        server.run_on(&url, &[sql.to_owned()]);
        let admin = app.sign_in("user0").await;
        let queries = || {
            server
                .log()
                .matches("FROM \"symbolon_access_token\"")
                .count()
        };
        let page = "query { users(first: 30) { nodes { id accessTokens { name } } } }";
        // The second request uses the cached document.
        for _ in 0..3 {
            let before = queries();
            let answer = app.graphql(page).bearer(&admin).send().await;
            let users = answer.at("/data/users/nodes").as_array().unwrap();
            assert_eq!(users.len(), 30);
            for (number, user) in users.iter().enumerate() {
                let own = json!([{ "name": format!("of user{number}") }]);
                assert_eq!(user["accessTokens"], own);
            }
            // A busy machine can exceed the time for which the loader waits for more keys.
            assert!(
                (1..=3).contains(&(queries() - before)),
                "{}",
                queries() - before
            );
        }
        // Mutations are resolved in order: each payload has the state at its time.
        let create = r#"createAccessToken(input: { name: "more" }) { accessToken { id } }"#;
        let update = |alias: &str| {
            format!(
                r#"{alias}: updateUser(input: {{ username: "user0" }}) {{ user {{ accessTokens {{ name }} }} }}"#
            )
        };
        let document = format!("mutation {{ {} {create} {} }}", update("a"), update("b"));
        let mut answer = app.graphql(&document).bearer(&admin).send().await;
        if !answer.at("/errors").is_null() {
            // Mutations that grant authority require the password.
            let request = app.graphql(&document).basic("user0", PASSWORD);
            answer = request.send().await;
        }
        let names = |field: &str| {
            answer
                .at(&format!("/data/{field}/user/accessTokens"))
                .clone()
        };
        assert_eq!(names("a"), json!([{ "name": "of user0" }]));
        assert_eq!(
            names("b"),
            json!([{ "name": "of user0" }, { "name": "more" }])
        );
    }
}

#[tokio::test]
async fn the_list_of_users_requires_the_role_admin() {
    let app = with_admins().await;
    let bob = app.sign_in("bob").await;
    for document in [
        "{ users { nodes { id } } }",
        "{ user(id: 1) { id } }",
        "{ user(id: 99) { id } }",
        r#"{ user(id: "x") { id } }"#,
        r#"{ user(username: "ada") { id } }"#,
        r#"{ user(username: "unknown") { id } }"#,
        r#"{ user(username: "not a name") { id } }"#,
    ] {
        let answer = with_bearer(&app, &bob, document).await;
        assert_eq!(answer.error(), ("FORBIDDEN", "ROLE_REQUIRED"), "{document}");
    }
    for document in [
        "{ user(id: 3) { id email role createdAt } }",
        r#"{ user(username: "BOB") { id email role createdAt } }"#,
    ] {
        let own = with_bearer(&app, &bob, document).await;
        assert_eq!(own.at("/data/user/id"), "3");
        assert_eq!(own.at("/data/user/role"), "USER");
        assert_eq!(
            own.at("/data/user/createdAt"),
            "2026-01-01T00:00:00.000+00:00"
        );
    }
}
