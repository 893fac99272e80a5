//! The maximum numbers of rows of a user.

use chrono::TimeDelta;
use futures_util::future::join_all;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};

use crate::access_tokens;
use crate::support::{PASSWORD, TestApp};

const CREATE: &str = "mutation($i: CreateAccessTokenInput!) { createAccessToken(input: $i) {
    accessToken { id } userErrors { code field } } }";

pub async fn create(app: &TestApp, name: &str, input: Value) -> Option<String> {
    let request = app.graphql_with(CREATE, &json!({ "i": input }));
    let answer = request.basic(name, PASSWORD).send().await;
    let made = answer.at("/data/createAccessToken/accessToken/id").as_str();
    if made.is_none() {
        let errors = answer.at("/data/createAccessToken/userErrors");
        let full = json!([{ "code": "LIMIT_REACHED", "field": "name" }]);
        assert_eq!(errors, &full, "{answer:?}");
    }
    made.map(str::to_owned)
}

async fn token_rows(app: &TestApp) -> u64 {
    let database = app.database().await;
    let rows = entity::access_token::Entity::find().count(&database).await;
    database.close().await.unwrap();
    rows.unwrap()
}

pub async fn with_ada() -> (TestApp, String) {
    let app = TestApp::unthrottled().await;
    app.register("ada").await;
    let session = app.sign_in("ada").await;
    (app, session)
}

#[tokio::test]
async fn a_user_has_at_most_50_access_token_rows_and_expired_ones_are_replaced() {
    let (app, session) = with_ada().await;
    let forever = create(&app, "ada", json!({ "name": "forever" })).await;
    let mut last = None;
    for number in 0..60 {
        // Each token expires before the earlier ones.
        let input = json!({ "name": format!("t{number}"), "expiresIn": 60 - number });
        last = create(&app, "ada", input).await;
        assert!(last.is_some());
        if number % 10 == 9 {
            app.advance(TimeDelta::seconds(60));
        }
    }
    assert_eq!(token_rows(&app).await, 50);
    let document = "{ me { accessTokens { id } } }";
    let answer = app.graphql(document).bearer(&session).send().await;
    let listed = answer.at("/data/me/accessTokens").as_array().unwrap();
    assert_eq!(listed.len(), 50);
    assert_eq!(listed[0]["id"], forever.unwrap());
    assert_eq!(listed[49]["id"], last.unwrap());
}

#[tokio::test]
async fn a_refused_creation_deletes_no_expired_access_token() {
    let (app, _) = with_ada().await;
    create(&app, "ada", json!({ "name": "live" })).await;
    for number in 0..49 {
        let input = json!({ "name": format!("t{number}"), "expiresIn": 1 });
        create(&app, "ada", input).await;
    }
    app.advance(TimeDelta::seconds(2));
    let request = app.graphql_with(CREATE, &json!({ "i": { "name": "live" } }));
    let answer = request.basic("ada", PASSWORD).send().await;
    let code = answer.at("/data/createAccessToken/userErrors/0/code");
    assert_eq!(code, "TAKEN");
    assert_eq!(token_rows(&app).await, 50);
}

#[tokio::test]
async fn concurrent_creations_do_not_exceed_the_limit_of_access_tokens() {
    // The number of tokens before, how many of them have expired, and how many of 12 creations succeed.
    for (before, expired, made) in [(45, 0, 5), (50, 7, 7), (50, 50, 12)] {
        let (app, _) = with_ada().await;
        for number in 0..before {
            let name = format!("t{number}");
            let input = if number < expired {
                json!({ "name": name, "expiresIn": 1 })
            } else {
                json!({ "name": name })
            };
            create(&app, "ada", input).await;
        }
        app.advance(TimeDelta::seconds(2));
        let new = (0..12).map(|number| {
            let input = json!({ "name": format!("new{number}") });
            create(&app, "ada", input)
        });
        let done = join_all(new).await.into_iter().flatten().count();
        assert_eq!(done, made, "{before}, {expired}");
        assert_eq!(token_rows(&app).await, 50);
    }
}

#[tokio::test]
async fn a_user_has_at_most_50_known_addresses_and_keeps_the_latest() {
    let app = TestApp::configured(|config| {
        config.throttle.enabled = false;
        config.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    app.register("ada").await;
    for number in 0..60 {
        app.advance(TimeDelta::seconds(1));
        let address = format!("2001:db8:0:{number:x}::1");
        let request = app.graphql("mutation { createToken { token } }");
        let request = request.header("x-forwarded-for", address.as_bytes());
        let answer = request.basic("ada", PASSWORD).send().await;
        assert_eq!(answer.at("/errors"), &Value::Null);
    }
    let database = app.database().await;
    let rows = entity::known_address::Entity::find().all(&database).await;
    database.close().await.unwrap();
    let mut known: Vec<_> = rows.unwrap().into_iter().map(|row| row.address).collect();
    known.sort_by_key(|address| {
        let number = address.split(':').nth(3).unwrap();
        i64::from_str_radix(number, 16).unwrap_or(0)
    });
    let latest: Vec<_> = (10..60)
        .map(|number| format!("2001:db8:0:{number:x}::"))
        .collect();
    assert_eq!(known, latest);
}

#[tokio::test]
async fn a_user_has_at_most_50_live_access_tokens() {
    let (app, _) = access_tokens::with_ada().await;
    for number in 0..49 {
        access_tokens::made(&app, json!({ "name": format!("t{number}") })).await;
    }
    access_tokens::made(&app, json!({ "name": "short", "expiresIn": 60 })).await;
    let answer = access_tokens::create(&app, json!({ "name": "more" })).await;
    assert_eq!(access_tokens::problems(&answer), ["name: LIMIT_REACHED"]);
    // An expired token does not count.
    app.advance(TimeDelta::seconds(61));
    access_tokens::made(&app, json!({ "name": "more" })).await;
}
