//! Look-ups of tokens whose identities are not cached. One statement looks up the tokens of all requests that wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use futures_util::future::join_all;
use poem::{Endpoint, EndpointExt};
use reqwest::Method;
use serde_json::json;
use symbolon::{Config, Symbolon};

use crate::support::{Answer, TestApp, on_postgres};

fn without_cache(config: &mut Config) {
    config.identity_cache = 0;
    config.throttle.enabled = false;
}

/// Starts an app that caches no identities.
async fn start() -> TestApp {
    let routes = |symbolon: &Symbolon| symbolon.own_routes().at("/metrics", symbolon.metrics());
    TestApp::with_routes(without_cache, routes).await
}

/// Returns the username of the identity, or the reason of the refusal.
fn result(answer: &Answer) -> &str {
    let username = answer.at("/data/me/username").as_str();
    username.unwrap_or_else(|| answer.error().1)
}

/// Returns the number of statements that got a connection that reads.
async fn reads(app: &TestApp) -> usize {
    let answer = Answer::of(app.request(Method::GET, "/metrics")).await;
    let metrics = answer.body.as_str().unwrap();
    let line = r#"symbolon_database_pool_wait_seconds_count{pool="readers"} "#;
    let value = metrics.lines().find_map(|have| have.strip_prefix(line));
    value.unwrap().parse().unwrap()
}

#[tokio::test]
async fn concurrent_requests_share_statements_and_get_their_own_results() {
    let app = start().await;
    let mut expected = Vec::new();
    for number in 0..6 {
        let name = format!("u{number}");
        app.register(&name).await;
        for token in [
            app.sign_in(&name).await,
            app.sign_in_on(&name, "phone").await,
            app.access_token(&name, json!({ "name": "script" })).await,
        ] {
            expected.push((token, name.clone()));
        }
    }
    let tokens: Vec<_> = expected.iter().map(|(token, _)| token.clone()).collect();
    // The row of a revoked access token is deleted.
    let ended = [
        (tokens[0].clone(), "TOKEN_EXPIRED"),
        (tokens[1].clone(), "TOKEN_EXPIRED"),
        (tokens[2].clone(), "TOKEN_INVALID"),
    ];
    for (token, reason) in ended {
        app.revoke(&token).await;
        expected.retain(|(other, _)| *other != token);
        expected.push((token, reason.to_owned()));
    }
    for unknown in [
        "0123456789abcdefghijklmnopqrstuv".to_owned(),
        tokens[5].replace(|c: char| c.is_ascii_digit(), "x"),
    ] {
        expected.push((unknown, "TOKEN_INVALID".to_owned()));
    }
    let alone = async |token: &str| result(&app.me(token).await).to_owned();
    for (token, result) in &expected {
        assert_eq!(&alone(token).await, result, "{token}");
    }
    let before = reads(&app).await;
    let requests = (0..8).flat_map(|_| &expected);
    let requests: Vec<_> = requests.collect();
    let answers = join_all(requests.iter().map(|(token, _)| app.me(token))).await;
    for (answer, (token, expected)) in answers.iter().zip(&requests) {
        assert_eq!(result(answer), expected, "{token}: {answer:?}");
    }
    // A refused request reads the row twice.
    let statements = reads(&app).await - before;
    assert!(2 * statements < requests.len(), "{statements}");
    app.advance(TimeDelta::days(1));
    let answers = join_all(requests.iter().map(|(token, _)| app.me(token))).await;
    for (answer, (token, expected)) in answers.iter().zip(&requests) {
        let is_session = !token.starts_with("sym_") && expected.starts_with('u');
        let expected = if is_session {
            "TOKEN_EXPIRED"
        } else {
            expected
        };
        assert_eq!(result(answer), expected, "{token}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_that_begins_after_a_revocation_is_accepted() {
    let app = start().await;
    app.register("ada").await;
    app.register("bob").await;
    let bob = app.sign_in("bob").await;
    for round in 0..30 {
        let token = match round % 2 {
            0 => app.sign_in("ada").await,
            _ => app.sign_in_on("ada", "phone").await,
        };
        let revoked = AtomicBool::new(false);
        let clients = (0..32).map(async |number| {
            loop {
                let over = revoked.load(Ordering::SeqCst);
                // Other tokens keep statements running.
                let sent = if number % 2 == 0 { &token } else { &bob };
                let answer = app.me(sent).await;
                match result(&answer) {
                    "bob" => {}
                    "ada" => assert!(!over, "round {round}: a revoked token is accepted"),
                    reason => assert_eq!(reason, "TOKEN_EXPIRED"),
                }
                if over {
                    return;
                }
            }
        });
        let revoke = async {
            for _ in 0..=round {
                app.me(&bob).await;
            }
            assert_eq!(app.revoke(&token).await.at("/data/revokeToken"), true);
            revoked.store(true, Ordering::SeqCst);
        };
        tokio::join!(join_all(clients), revoke);
    }
}

#[tokio::test]
async fn an_error_of_the_database_reaches_all_waiting_requests() {
    let app = start().await;
    let mut tokens = Vec::new();
    for number in 0..3 {
        let name = format!("u{number}");
        app.register(&name).await;
        tokens.push(app.sign_in(&name).await);
    }
    let requests = || join_all(tokens.iter().cycle().take(60).map(|token| app.me(token)));
    app.sql("ALTER TABLE symbolon_user RENAME COLUMN token_nonce TO renamed")
        .await;
    for answer in requests().await {
        let code = answer.at("/errors/0/extensions/code");
        assert_eq!(code, "INTERNAL_SERVER_ERROR", "{answer:?}");
    }
    app.sql("ALTER TABLE symbolon_user RENAME COLUMN renamed TO token_nonce")
        .await;
    for (number, answer) in requests().await.iter().enumerate() {
        assert_eq!(result(answer), format!("u{}", number % 3));
    }
}

#[tokio::test]
async fn a_damaged_row_affects_only_its_own_token() {
    let app = start().await;
    let mut tokens = Vec::new();
    for number in 0..3 {
        let name = format!("u{number}");
        app.register(&name).await;
        tokens.push(app.sign_in(&name).await);
    }
    let bytes = if on_postgres() { r"'\x00'" } else { "x'00'" };
    let damage = format!("UPDATE symbolon_user SET token_nonce = {bytes} WHERE username = 'u0'");
    app.sql(&damage).await;
    let requests = join_all(tokens.iter().cycle().take(60).map(|token| app.me(token)));
    for (number, answer) in requests.await.iter().enumerate() {
        if number % 3 == 0 {
            let code = answer.at("/errors/0/extensions/code");
            assert_eq!(code, "INTERNAL_SERVER_ERROR", "{answer:?}");
        } else {
            assert_eq!(result(answer), format!("u{}", number % 3));
        }
    }
}

/// Starts an app that caches no identities, and returns the token of a user and the endpoint of the app, with which a test
/// polls requests itself.
async fn start_with_endpoint() -> (TestApp, String, impl Endpoint) {
    let mut endpoint = None;
    let routes = |symbolon: &Symbolon| {
        endpoint = Some(symbolon.own_routes().with(symbolon.middleware()));
        symbolon.own_routes()
    };
    let app = TestApp::with_routes(without_cache, routes).await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    (app, token, endpoint.unwrap())
}

fn request(token: &str) -> poem::Request {
    let request = poem::Request::builder().uri_str("/auth");
    let request = request.header("Host", "login.example.org");
    let request = request.header("Authorization", format!("Bearer {token}"));
    request.finish()
}

/// A caller of the library may hold or drop the future of a request at any point.
#[tokio::test]
async fn requests_that_are_not_polled_do_not_affect_others() {
    let (app, token, endpoint) = start_with_endpoint().await;
    let ask = || Box::pin(endpoint.call(request(&token)));
    for (polls, is_dropped) in [(1, false), (1, true), (2, false), (2, true), (3, false)] {
        // While one request waits for the database, the next one waits for further requests. The database may answer
        // before the first wait.
        let _running = loop {
            let mut running = ask();
            if (&mut running).now_or_never().is_none() {
                break running;
            }
            // An instance that is out of service answers at once. It recovers only if its other tasks run.
            tokio::task::yield_now().await;
        };
        let mut waiting = ask();
        for _ in 0..polls {
            if (&mut waiting).now_or_never().is_some() {
                break;
            }
        }
        let _held = (!is_dropped).then_some(waiting);
        let others = join_all((0..3).map(|_| app.me(&token)));
        let answers = tokio::time::timeout(Duration::from_secs(20), others).await;
        for answer in answers.expect("the other requests wait for a request that is not polled") {
            assert_eq!(result(&answer), "ada", "{answer:?}");
        }
    }
}

/// An application may have several runtimes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_do_not_depend_on_another_runtime() {
    let (app, token, endpoint) = start_with_endpoint().await;
    let ask = || Box::pin(endpoint.call(request(&token)));
    for ends in [false, true] {
        let other = tokio::runtime::Builder::new_current_thread();
        let other = { other }.enable_all().build().unwrap();
        // The first request reads alone. The others wait, and start a task, which the runtime does not run.
        let mut requests = [ask(), ask(), ask(), ask()];
        let enter = other.enter();
        for request in &mut requests {
            let _ = request.now_or_never();
        }
        drop(enter);
        let mut other = Some(other);
        if ends {
            other.take().unwrap().shutdown_background();
        }
        let others = join_all((0..3).map(|_| app.me(&token)));
        let answers = tokio::time::timeout(Duration::from_secs(20), others).await;
        for answer in answers.expect("the requests wait for another runtime") {
            assert_eq!(result(&answer), "ada", "{answer:?}");
        }
        drop(requests);
        if let Some(other) = other {
            other.shutdown_background();
        }
    }
}
