//! Sign-in and registration under attack: what is counted, what is refused, who is not hindered.

use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, TestApp};

const CREATE: &str = "mutation { createToken { token } }";
/// Two addresses of the internet.
const HOME: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.7";

/// An app that believes what its tests say about where they come from.
async fn start() -> TestApp {
    let app = TestApp::configured(behind_a_proxy).await;
    app.register("ada").await;
    app
}

fn behind_a_proxy(config: &mut symbolon::Config) {
    config.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
}

async fn attempt(app: &TestApp, from: &str, username: &str, password: &str) -> Answer {
    app.operation(CREATE)
        .header("x-forwarded-for", from.as_bytes())
        .basic(username, password)
        .send()
        .await
}

/// How many wrong passwords in a row are looked at, and what the first is told that is not.
async fn guesses(app: &TestApp, from: &str, username: &str) -> (u32, Value) {
    for number in 0..1000 {
        let answer = attempt(app, from, username, "wrong").await;
        match answer.error() {
            ("UNAUTHENTICATED", "INVALID_CREDENTIALS") => {}
            ("RATE_LIMITED", "") => {
                return (number, answer.at("/errors/0/extensions/retryAfter").clone());
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("never refused");
}

#[tokio::test]
async fn an_account_is_guessed_at_20_times_and_then_80_times_an_hour() {
    let app = start().await;
    assert_eq!(guesses(&app, HOME, "ada").await, (20, json!(45)));
    app.advance(TimeDelta::seconds(44));
    assert_eq!(guesses(&app, HOME, "ada").await, (0, json!(1)));
    app.advance(TimeDelta::seconds(1));
    assert_eq!(guesses(&app, HOME, "ada").await, (1, json!(45)));
    app.advance(TimeDelta::minutes(10));
    assert_eq!(guesses(&app, ELSEWHERE, "ada").await.0, 13);
    app.advance(TimeDelta::hours(9));
    assert_eq!(guesses(&app, HOME, "ada").await.0, 20);
}

#[tokio::test]
async fn it_makes_no_difference_whether_the_account_exists_or_how_it_is_spelt() {
    let app = start().await;
    let (exists, _) = guesses(&app, HOME, "ada").await;
    let (does_not, _) = guesses(&app, HOME, "nobody").await;
    let (cannot, _) = guesses(&app, HOME, "not a name").await;
    assert_eq!((exists, does_not, cannot), (20, 20, 20));
    for spelling in ["ADA", "Ada", "\u{ff41}da"] {
        let answer = attempt(&app, ELSEWHERE, spelling, "wrong").await;
        assert_eq!(answer.error(), ("RATE_LIMITED", ""), "{spelling}");
    }
}

#[tokio::test]
async fn the_right_password_is_refused_too_once_there_were_too_many_wrong_ones() {
    let app = start().await;
    guesses(&app, ELSEWHERE, "ada").await;
    let answer = attempt(&app, ELSEWHERE, "ada", PASSWORD).await;
    assert_eq!(answer.error(), ("RATE_LIMITED", ""));
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn every_door_counts_in_the_same_bucket() {
    let app = start().await;
    let rest = |password: &'static str| {
        let request = app.request(Method::POST, "/tokens");
        let request = request.header("x-forwarded-for", HOME);
        Answer::of(request.basic_auth("ada", Some(password)))
    };
    for _ in 0..10 {
        assert_eq!(rest("wrong").await.status, 401);
    }
    assert_eq!(guesses(&app, HOME, "ada").await.0, 10);
    let refused = rest(PASSWORD).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), "45");
    assert_eq!(refused.header("www-authenticate"), "");
    assert_eq!(refused.at("/code"), "RATE_LIMITED");
    assert_eq!(refused.at("/error"), "Too Many Requests");
}

#[tokio::test]
async fn an_address_that_signed_in_lately_is_not_locked_out_by_strangers() {
    let app = start().await;
    assert!(
        attempt(&app, HOME, "ada", PASSWORD)
            .await
            .at("/data/createToken/token")
            .is_string()
    );
    guesses(&app, ELSEWHERE, "ada").await;
    let known = attempt(&app, HOME, "ada", PASSWORD).await;
    assert!(known.at("/data/createToken/token").is_string());
    // It has as many guesses of its own, and no more.
    assert_eq!(guesses(&app, HOME, "ada").await.0, 20);
    // For 30 days.
    app.advance(TimeDelta::days(30) + TimeDelta::seconds(1));
    guesses(&app, ELSEWHERE, "ada").await;
    let forgotten = attempt(&app, HOME, "ada", PASSWORD).await;
    assert_eq!(forgotten.error(), ("RATE_LIMITED", ""));
}

#[tokio::test]
async fn who_signs_in_with_the_right_password_is_never_refused() {
    let app = start().await;
    for _ in 0..100 {
        let answer = attempt(&app, HOME, "ada", PASSWORD).await;
        assert!(answer.at("/data/createToken/token").is_string());
    }
    assert_eq!(guesses(&app, HOME, "ada").await.0, 20);
}

#[tokio::test]
async fn a_valid_session_is_not_affected_by_who_guesses_at_its_account() {
    let app = start().await;
    let token = app.sign_in("ada").await;
    guesses(&app, ELSEWHERE, "ada").await;
    assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
    let change = |current: &str| {
        let document = format!(
            r#"mutation {{ changePassword(input: {{ currentPassword: "{current}", newPassword: "another good password" }}) {{
                token {{ token }} userErrors {{ code }} }} }}"#
        );
        app.operation(&document)
            .header("x-forwarded-for", b"203.0.113.9")
            .bearer(&token)
            .send()
    };
    // But whoever has the token may not guess the password without limit.
    for _ in 0..20 {
        let wrong = change("wrong").await;
        assert_eq!(
            wrong.at("/data/changePassword/userErrors/0/code"),
            "WRONG_PASSWORD"
        );
    }
    let refused = change(PASSWORD).await;
    assert_eq!(refused.error(), ("RATE_LIMITED", ""));
    assert_eq!(refused.at("/errors/0/extensions/retryAfter"), 45);
    app.advance(TimeDelta::seconds(45));
    let changed = change(PASSWORD).await;
    assert!(changed.at("/data/changePassword/token/token").is_string());
}

#[tokio::test]
async fn an_address_guesses_300_times_at_whatever_accounts() {
    let app = start().await;
    let mut names = (0..).map(|number| format!("user{number}"));
    for name in names.by_ref().take(300) {
        let answer = attempt(&app, ELSEWHERE, &name, "wrong").await;
        assert_eq!(answer.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    }
    let next = names.next().unwrap();
    let refused = attempt(&app, ELSEWHERE, &next, "wrong").await;
    assert_eq!(refused.error(), ("RATE_LIMITED", ""));
    assert_eq!(refused.at("/errors/0/extensions/retryAfter"), 4);
    // What was refused for the address was not counted for the account.
    assert_eq!(guesses(&app, HOME, &next).await.0, 20);
}

#[tokio::test]
async fn the_addresses_of_one_ipv6_network_are_one() {
    let app = TestApp::configured(|config| {
        behind_a_proxy(config);
        config.throttle.address = "5/5".parse().unwrap();
    })
    .await;
    for host in 0..5 {
        let answer = attempt(&app, &format!("2001:db8::{host}"), "nobody", "wrong").await;
        assert_eq!(answer.error().0, "UNAUTHENTICATED");
    }
    let same = attempt(&app, "2001:db8::ffff:0:0:1", "nobody", "wrong").await;
    assert_eq!(same.error().0, "RATE_LIMITED");
    let other = attempt(&app, "2001:db8:0:1::1", "nobody", "wrong").await;
    assert_eq!(other.error().0, "UNAUTHENTICATED");
}

#[tokio::test]
async fn an_address_registers_100_accounts_and_then_100_an_hour() {
    let app = TestApp::start().await;
    let register = |number: u32| {
        app.operation_with(
            "mutation($i: CreateUserInput!) { createUser(input: $i) { user { id } userErrors { code } } }",
            &json!({ "i": { "username": format!("user{number}"), "password": PASSWORD } }),
        )
        .send()
    };
    for number in 0..99 {
        assert!(
            register(number)
                .await
                .at("/data/createUser/user/id")
                .is_string()
        );
    }
    // Who asks which names are taken is counted, too.
    assert_eq!(
        register(0).await.at("/data/createUser/userErrors/0/code"),
        "TAKEN"
    );
    let refused = register(99).await;
    assert_eq!(refused.error(), ("RATE_LIMITED", ""));
    assert_eq!(refused.at("/errors/0/extensions/retryAfter"), 36);
    app.advance(TimeDelta::seconds(36));
    assert!(
        register(99)
            .await
            .at("/data/createUser/user/id")
            .is_string()
    );
    // Signing in is another matter.
    app.sign_in("user5").await;
}

#[tokio::test]
async fn attempts_at_once_are_counted_one_by_one() {
    let app = start().await;
    let answers = join_all((0..60).map(|_| attempt(&app, HOME, "ada", "wrong"))).await;
    let looked_at = answers
        .iter()
        .filter(|answer| answer.error().0 == "UNAUTHENTICATED");
    assert_eq!(looked_at.count(), 20);
}

#[tokio::test]
async fn however_many_aliases_guess_they_are_one_guess() {
    let app = start().await;
    let document =
        "mutation { a: createToken { token } b: createToken { token } c: createToken { token } }";
    for _ in 0..20 {
        let request = app.operation(document);
        let answer = request.basic("ada", "wrong").send().await;
        let reason = answer.at("/errors/0/extensions/reason");
        assert_eq!(reason, "INVALID_CREDENTIALS");
    }
    let answer = app.operation(document).basic("ada", "wrong").send().await;
    assert_eq!(answer.at("/errors/0/extensions/code"), "RATE_LIMITED");
}

#[tokio::test]
async fn the_counts_survive_a_restart() {
    let app = start().await;
    guesses(&app, HOME, "ada").await;
    let app = app.restart(behind_a_proxy).await;
    assert_eq!(guesses(&app, HOME, "ada").await.0, 0);
}

#[tokio::test]
async fn a_clock_that_was_wrong_locks_nobody_out() {
    let app = start().await;
    app.advance(TimeDelta::days(365));
    guesses(&app, HOME, "ada").await;
    app.advance(TimeDelta::days(-365));
    assert_eq!(guesses(&app, HOME, "ada").await.0, 20);
}

#[tokio::test]
async fn a_refusal_writes_nothing() {
    let app = start().await;
    guesses(&app, ELSEWHERE, "ada").await;
    let database = app.database().await;
    // Moves with every commit of another connection.
    let version = async || {
        use sea_orm::{ConnectionTrait, Statement};
        let backend = database.get_database_backend();
        let ask = Statement::from_string(
            backend,
            "SELECT max(drained_at) d, count(*) n FROM symbolon_throttle",
        );
        let row = database.query_one_raw(ask).await.unwrap().unwrap();
        let drained_at: i64 = row.try_get("", "d").unwrap();
        let rows: i64 = row.try_get("", "n").unwrap();
        (drained_at, rows)
    };
    let before = version().await;
    for _ in 0..50 {
        let answer = attempt(&app, ELSEWHERE, "ada", "wrong").await;
        assert_eq!(answer.error(), ("RATE_LIMITED", ""));
    }
    assert_eq!(version().await, before);
    database.close().await.unwrap();
}

#[tokio::test]
async fn the_throttle_can_be_switched_off() {
    let app = TestApp::unthrottled().await;
    app.register("ada").await;
    for _ in 0..50 {
        let answer = attempt(&app, HOME, "ada", "wrong").await;
        assert_eq!(answer.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    }
}
