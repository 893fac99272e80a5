//! The throttle of sign-ins and registrations: counts, refusals, and users that are not affected.

use chrono::TimeDelta;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, PASSWORD, TestApp};

const CREATE: &str = "mutation { createToken { token } }";
/// Two addresses of the internet.
const HOME: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.7";

/// Starts an app that trusts the `X-Forwarded-For` of its tests.
async fn start() -> TestApp {
    let app = TestApp::configured(behind_a_proxy).await;
    app.register("ada").await;
    app
}

fn behind_a_proxy(config: &mut symbolon::Config) {
    config.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
}

async fn attempt(app: &TestApp, from: &str, username: &str, password: &str) -> Answer {
    app.graphql(CREATE)
        .header("x-forwarded-for", from.as_bytes())
        .basic(username, password)
        .send()
        .await
}

/// Guesses wrong passwords until the first refusal. Returns the number of verified guesses and the
/// refusal.
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
async fn a_renamed_user_gets_no_additional_attempts() {
    let app = start().await;
    let token = app.sign_in("ada").await;
    assert_eq!(guesses(&app, ELSEWHERE, "ada").await.0, 20);
    for name in ["ada2", "ada3"] {
        let rename = format!(
            "mutation {{ updateUser(input: {{ username: {name:?} }}) {{ user {{ username }} }} }}"
        );
        let renamed = app.graphql(&rename).bearer(&token).send().await;
        assert_eq!(renamed.at("/data/updateUser/user/username"), name);
        assert_eq!(guesses(&app, ELSEWHERE, name).await.0, 0, "{name}");
    }
}

#[tokio::test]
async fn a_user_has_20_attempts_and_then_80_an_hour() {
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
async fn unknown_users_and_other_spellings_are_throttled_alike() {
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
async fn the_right_password_is_refused_after_too_many_wrong_ones() {
    let app = start().await;
    guesses(&app, ELSEWHERE, "ada").await;
    let answer = attempt(&app, ELSEWHERE, "ada", PASSWORD).await;
    assert_eq!(answer.error(), ("RATE_LIMITED", ""));
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn every_endpoint_counts_in_the_same_bucket() {
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
async fn guesses_from_unknown_addresses_do_not_lock_out_a_known_address() {
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
    // The address has this many guesses of its own.
    assert_eq!(guesses(&app, HOME, "ada").await.0, 20);
    // The address stays known for 30 days.
    app.advance(TimeDelta::days(30) + TimeDelta::seconds(1));
    guesses(&app, ELSEWHERE, "ada").await;
    let forgotten = attempt(&app, HOME, "ada", PASSWORD).await;
    assert_eq!(forgotten.error(), ("RATE_LIMITED", ""));
}

#[tokio::test]
async fn sign_ins_with_the_right_password_are_never_throttled() {
    let app = start().await;
    for _ in 0..100 {
        let answer = attempt(&app, HOME, "ada", PASSWORD).await;
        assert!(answer.at("/data/createToken/token").is_string());
    }
    assert_eq!(guesses(&app, HOME, "ada").await.0, 20);
}

#[tokio::test]
async fn a_live_session_is_not_affected_by_password_guesses() {
    let app = start().await;
    let token = app.sign_in("ada").await;
    guesses(&app, ELSEWHERE, "ada").await;
    assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
    let change = |current: &str| {
        let document = format!(
            r#"mutation {{ changePassword(input: {{ currentPassword: "{current}", newPassword: "another good password" }}) {{
                token {{ token }} userErrors {{ code }} }} }}"#
        );
        app.graphql(&document)
            .header("x-forwarded-for", b"203.0.113.9")
            .bearer(&token)
            .send()
    };
    // The holder of the token cannot guess the password without limit.
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
async fn an_address_has_300_attempts_at_all_users_together() {
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
    // Refusals for the address do not count against the user.
    assert_eq!(guesses(&app, HOME, &next).await.0, 20);
}

#[tokio::test]
async fn the_addresses_of_an_ipv6_network_share_a_bucket() {
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
async fn an_address_registers_100_users_and_then_100_an_hour() {
    let app = TestApp::start().await;
    let register = |number: u32| {
        app.graphql_with(
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
    // Questions about taken names are counted as well.
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
    // Sign-ins have their own limit.
    app.sign_in("user5").await;
}

#[tokio::test]
async fn concurrent_attempts_are_all_counted() {
    let app = start().await;
    let answers = join_all((0..60).map(|_| attempt(&app, HOME, "ada", "wrong"))).await;
    let looked_at = answers
        .iter()
        .filter(|answer| answer.error().0 == "UNAUTHENTICATED");
    assert_eq!(looked_at.count(), 20);
}

#[tokio::test]
async fn aliases_count_as_one_attempt() {
    let app = start().await;
    let document =
        "mutation { a: createToken { token } b: createToken { token } c: createToken { token } }";
    for _ in 0..20 {
        let request = app.graphql(document);
        let answer = request.basic("ada", "wrong").send().await;
        let reason = answer.at("/errors/0/extensions/reason");
        assert_eq!(reason, "INVALID_CREDENTIALS");
    }
    let answer = app.graphql(document).basic("ada", "wrong").send().await;
    assert_eq!(answer.at("/errors/0/extensions/code"), "RATE_LIMITED");
}

#[tokio::test]
async fn rate_limits_survive_a_restart() {
    let app = start().await;
    guesses(&app, HOME, "ada").await;
    let app = app.restart(behind_a_proxy).await;
    assert_eq!(guesses(&app, HOME, "ada").await.0, 0);
}

#[tokio::test]
async fn a_corrected_clock_locks_out_no_user() {
    let app = start().await;
    app.advance(TimeDelta::days(365));
    guesses(&app, HOME, "ada").await;
    app.advance(TimeDelta::days(-365));
    assert_eq!(guesses(&app, HOME, "ada").await.0, 20);
}

#[tokio::test]
async fn a_throttled_attempt_writes_nothing() {
    let app = start().await;
    guesses(&app, ELSEWHERE, "ada").await;
    let database = app.database().await;
    // Increases with every commit of another connection.
    let version = async || {
        use sea_orm::{ConnectionTrait, Statement};
        let backend = database.get_database_backend();
        let fetch = Statement::from_string(
            backend,
            "SELECT max(drained_at) d, count(*) n FROM symbolon_throttle",
        );
        let row = database.query_one_raw(fetch).await.unwrap().unwrap();
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
async fn the_throttle_can_be_disabled() {
    let app = TestApp::unthrottled().await;
    app.register("ada").await;
    for _ in 0..50 {
        let answer = attempt(&app, HOME, "ada", "wrong").await;
        assert_eq!(answer.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    }
}

/// Fills the bucket of an address with guesses for unknown names.
async fn fill_the_address_bucket(app: &TestApp, from: &str) {
    for number in 0..1000 {
        let answer = attempt(app, from, &format!("unknown{number}"), "wrong").await;
        if answer.error() == ("RATE_LIMITED", "") {
            return;
        }
    }
    panic!("never refused");
}

/// Starts an app with five guesses for each address.
async fn with_few_guesses_per_address() -> TestApp {
    let app = TestApp::configured(|config| {
        behind_a_proxy(config);
        config.throttle.address = "5/5".parse().unwrap();
    })
    .await;
    app.register("ada").await;
    app.register("bob").await;
    app
}

fn has_token(answer: &Answer) -> bool {
    answer.at("/data/createToken/token").is_string()
}

#[tokio::test]
async fn an_exhausted_address_does_not_throttle_users_from_their_known_address() {
    let app = with_few_guesses_per_address().await;
    assert!(has_token(&attempt(&app, HOME, "ada", PASSWORD).await));
    fill_the_address_bucket(&app, HOME).await;
    let unknown = attempt(&app, HOME, "bob", PASSWORD).await;
    assert_eq!(unknown.error(), ("RATE_LIMITED", ""));
    assert!(has_token(&attempt(&app, HOME, "ada", PASSWORD).await));
    // User and known address share a bucket, which is not that of the address.
    assert_eq!(guesses(&app, HOME, "ada").await.0, 20);
    assert!(has_token(&attempt(&app, ELSEWHERE, "ada", PASSWORD).await));
    assert!(has_token(&attempt(&app, ELSEWHERE, "bob", PASSWORD).await));
    // After 30 days the address is unknown again.
    app.advance(TimeDelta::days(30) + TimeDelta::seconds(1));
    fill_the_address_bucket(&app, HOME).await;
    let forgotten = attempt(&app, HOME, "ada", PASSWORD).await;
    assert_eq!(forgotten.error(), ("RATE_LIMITED", ""));
}

#[tokio::test]
async fn wrong_passwords_from_a_known_address_do_not_count_against_the_address() {
    let app = with_few_guesses_per_address().await;
    assert!(has_token(&attempt(&app, HOME, "ada", PASSWORD).await));
    assert_eq!(guesses(&app, HOME, "ada").await.0, 20);
    assert!(has_token(&attempt(&app, HOME, "bob", PASSWORD).await));
}

/// Starts an app in which attempts on `ada` (2) are refused for the name, the known address and the
/// session. Returns the token of `ada`. `root` is an admin.
async fn locked_out() -> (TestApp, String) {
    let app = TestApp::configured(behind_a_proxy).await;
    app.register("root").await;
    app.register("ada").await;
    app.make_admin(1).await;
    let ada = app.sign_in("ada").await;
    assert!(has_token(&attempt(&app, HOME, "ada", PASSWORD).await));
    assert_eq!(guesses(&app, HOME, "ada").await.0, 20);
    assert_eq!(guesses(&app, ELSEWHERE, "ADA").await.0, 20);
    for _ in 0..20 {
        let answer = change_password(&app, &ada, "wrong", NEW).await;
        let code = answer.at("/data/changePassword/userErrors/0/code");
        assert_eq!(code, "WRONG_PASSWORD");
    }
    (app, ada)
}

const NEW: &str = "another good password";

async fn change_password(app: &TestApp, token: &str, current: &str, new: &str) -> Answer {
    let document = "mutation($c: String!, $n: String!) {
        changePassword(input: { currentPassword: $c, newPassword: $n }) {
            token { token } userErrors { code } } }";
    let operation = app.graphql_with(document, &json!({ "c": current, "n": new }));
    operation.bearer(token).send().await
}

/// Checks that the buckets of `ada` are empty.
async fn assert_not_locked_out(app: &TestApp) {
    for address in [HOME, ELSEWHERE] {
        let answer = attempt(app, address, "ada", NEW).await;
        assert!(has_token(&answer), "{answer:?}");
    }
    let answer = attempt(app, HOME, "ada", NEW).await;
    let token = answer.at("/data/createToken/token").as_str().unwrap();
    let confirmed = change_password(app, token, "wrong", NEW).await;
    let code = confirmed.at("/data/changePassword/userErrors/0/code");
    assert_eq!(code, "WRONG_PASSWORD");
    assert_eq!(guesses(app, "192.0.2.99", "ada").await.0, 20);
}

#[tokio::test]
async fn a_password_set_by_an_admin_clears_the_buckets_of_the_user() {
    let (app, ada) = locked_out().await;
    let refused = change_password(&app, &ada, PASSWORD, NEW).await;
    assert_eq!(refused.error(), ("RATE_LIMITED", ""));
    let document = format!(
        r#"mutation {{ setUserPassword(input: {{ id: 2, newPassword: "{NEW}" }}) {{ userErrors {{ code }} }} }}"#
    );
    let set = app.graphql(&document).basic("root", PASSWORD);
    let set = set.header("x-forwarded-for", b"192.0.2.99").send().await;
    assert_eq!(
        set.at("/data/setUserPassword/userErrors"),
        &json!([]),
        "{set:?}"
    );
    assert_not_locked_out(&app).await;
}

#[tokio::test]
async fn a_password_set_by_the_operator_clears_the_buckets_of_the_user() {
    let (app, _) = locked_out().await;
    let operator = app.operator();
    let ada = operator.user("ada").await.unwrap().unwrap();
    operator.set_password(ada.id, NEW).await.unwrap();
    assert_not_locked_out(&app).await;
}

#[tokio::test]
async fn a_password_change_clears_the_buckets_of_the_user() {
    let (app, ada) = locked_out().await;
    // By now the bucket of the session allows one more attempt.
    app.advance(TimeDelta::seconds(45));
    let changed = change_password(&app, &ada, PASSWORD, NEW).await;
    assert!(changed.at("/data/changePassword/token/token").is_string());
    assert_not_locked_out(&app).await;
}

/// Registrations and profile changes from the address `from`.
struct FormClient<'a> {
    app: &'a TestApp,
    from: &'a str,
    name: &'a str,
}

impl FormClient<'_> {
    async fn create(&self, input: Value) -> Answer {
        let document = "mutation($i: CreateUserInput!) { done: createUser(input: $i) {
            userErrors { code field } } }";
        let operation = self.app.graphql_with(document, &json!({ "i": input }));
        let operation = operation.header("x-forwarded-for", self.from.as_bytes());
        operation.send().await
    }

    async fn update(&self, input: Value) -> Answer {
        let document = "mutation($i: UpdateUserInput!) { done: updateUser(input: $i) {
            userErrors { code field } } }";
        let operation = self.app.graphql_with(document, &json!({ "i": input }));
        let operation = operation.header("x-forwarded-for", self.from.as_bytes());
        operation.basic(self.name, PASSWORD).send().await
    }
}

fn is_refused(answer: &Answer) -> bool {
    let is_limited = answer.at("/errors/0/extensions/code") == "RATE_LIMITED";
    if is_limited {
        // The response reveals nothing: it has no user errors and always the same text.
        assert!(answer.at("/data/done").is_null(), "{answer:?}");
    }
    is_limited
}

#[tokio::test]
async fn each_response_that_reveals_a_taken_value_is_counted() {
    let app = TestApp::configured(|config| {
        behind_a_proxy(config);
        config.throttle.registrations = "5/5".parse().unwrap();
    })
    .await;
    for (name, email) in [("ada", "ada@example.org"), ("bob", "bob@example.org")] {
        let asking = FormClient {
            app: &app,
            from: "192.0.2.50",
            name: "",
        };
        let input = json!({ "username": name, "email": email, "password": PASSWORD });
        assert_eq!(
            asking.create(input).await.at("/data/done/userErrors"),
            &json!([])
        );
    }
    app.sql("UPDATE symbolon_user SET role = 'admin' WHERE username = 'ada'")
        .await;
    let taken = [
        json!({ "username": "ada", "email": "nobody@example.org", "password": PASSWORD }),
        json!({ "username": "unknown", "email": "ada@example.org", "password": PASSWORD }),
        json!({ "username": "ada", "email": "ada@example.org", "password": PASSWORD }),
    ];
    let profile = |input: &Value, id: Option<u32>| {
        let mut input = input.clone();
        input.as_object_mut().unwrap().remove("password");
        if let Some(id) = id {
            input["id"] = id.to_string().into();
        }
        input
    };
    // By address: the sixth request is refused, whatever it asks for.
    for number in 0..6 {
        let asking = FormClient {
            app: &app,
            from: HOME,
            name: "bob",
        };
        let answer = match number % 2 {
            0 => asking.create(taken[number % 3].clone()).await,
            _ => asking.update(profile(&taken[number % 3], None)).await,
        };
        assert_eq!(is_refused(&answer), number == 5, "{number} {answer:?}");
        if number < 5 {
            assert_eq!(answer.at("/data/done/userErrors/0/code"), "TAKEN");
        }
    }
    // By user, from any number of addresses: bob has used two attempts.
    for number in 2..6 {
        let from = format!("203.0.113.{number}");
        let asking = FormClient {
            app: &app,
            from: &from,
            name: "bob",
        };
        let answer = asking.update(profile(&taken[number % 3], None)).await;
        assert_eq!(is_refused(&answer), number == 5, "{number} {answer:?}");
    }
    // The limit applies to admins that change the profiles of others.
    let bobs = profile(
        &json!({ "username": "bob", "email": "bob@example.org" }),
        Some(1),
    );
    let other = profile(&json!({ "email": "ada@example.org" }), Some(2));
    for number in 0..6 {
        let from = format!("203.0.113.1{number}");
        let asking = FormClient {
            app: &app,
            from: &from,
            name: "ada",
        };
        let input = if number % 2 == 0 {
            bobs.clone()
        } else {
            other.clone()
        };
        let answer = asking.update(input).await;
        assert_eq!(is_refused(&answer), number == 5, "{number} {answer:?}");
    }
}

#[tokio::test]
async fn grants_are_throttled_like_sign_ins() {
    let app = TestApp::start().await;
    app.register("ada").await;
    app.make_admin(1).await;
    let mut refused = 0;
    for _ in 0..25 {
        let call = app.graphql("mutation { enableUser(id: 1) { user { id } } }");
        let answer = call.basic("ada", "wrong").send().await;
        refused += i32::from(answer.error().0 == "RATE_LIMITED");
    }
    assert_eq!(refused, 5);
}
