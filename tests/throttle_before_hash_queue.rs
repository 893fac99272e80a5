//! The order of admission of an attempt: the throttle first, then the hash queue.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use symbolon::Config;

use crate::support::{Answer, PASSWORD, TestApp, eventually};

/// The address whose attempts are refused, and two others.
const REFUSED: &str = "198.51.100.7";
const OTHER: &str = "203.0.113.9";
const HOME: &str = "192.0.2.1";

fn behind_a_proxy(config: &mut Config) {
    config.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    config.throttle.account = "2/1".parse().unwrap();
    config.throttle.registrations = "2/1".parse().unwrap();
}

/// One hashing thread, no queue, and hashes that take about a second.
fn one_slow_hash_at_a_time(config: &mut Config) {
    behind_a_proxy(config);
    config.hash_threads = NonZeroUsize::new(1);
    config.hash_queue = 0;
    config.argon2_memory = 64 * 1024;
    config.argon2_iterations = 16;
}

/// The tokens of a user.
struct Tokens {
    user: String,
}

/// Every use case that computes a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UseCase {
    CreateToken,
    PostTokens,
    OtherOperation,
    CreateAccessToken,
    ChangePassword,
    DeleteUser,
    SetUserPassword,
    CreateUser,
}

const USE_CASES: [UseCase; 8] = [
    UseCase::CreateToken,
    UseCase::PostTokens,
    UseCase::OtherOperation,
    UseCase::CreateAccessToken,
    UseCase::ChangePassword,
    UseCase::DeleteUser,
    UseCase::SetUserPassword,
    UseCase::CreateUser,
];

impl UseCase {
    /// Returns the code of the error or of the first user error, or an empty string.
    async fn code(self, app: &TestApp, tokens: &Tokens) -> String {
        let basic = |query: &str| {
            let operation = app.graphql(query).basic("throttled", "wrong");
            operation.header("x-forwarded-for", REFUSED.as_bytes())
        };
        let bearer = |query: &str, token: &str| {
            let operation = app.graphql(query).bearer(token);
            operation.header("x-forwarded-for", REFUSED.as_bytes())
        };
        let answer = match self {
            Self::CreateToken => basic("mutation { createToken { token } }").send().await,
            Self::PostTokens => {
                let request = app.request(Method::POST, "/tokens");
                let request = request.header("x-forwarded-for", REFUSED);
                Answer::of(request.basic_auth("throttled", Some("wrong"))).await
            }
            Self::OtherOperation => basic("mutation { revokeAllTokens }").send().await,
            Self::CreateAccessToken => {
                let create = r#"mutation { done: createAccessToken(input: { name: "a" }) {
                    userErrors { code } } }"#;
                basic(create).send().await
            }
            Self::ChangePassword => {
                let change = r#"mutation { done: changePassword(input: { currentPassword: "wrong",
                    newPassword: "another good password" }) { userErrors { code } } }"#;
                bearer(change, &tokens.user).send().await
            }
            Self::DeleteUser => {
                let delete = r#"mutation { done: deleteUser(input: { password: "wrong" }) {
                    userErrors { code } } }"#;
                bearer(delete, &tokens.user).send().await
            }
            Self::SetUserPassword => {
                let set = r#"mutation { done: setUserPassword(input: { id: 5,
                    newPassword: "another good password" }) { userErrors { code } } }"#;
                basic(set).send().await
            }
            Self::CreateUser => {
                let create = r#"mutation { done: createUser(input: { username: "throttled",
                    password: "another good password" }) { userErrors { code } } }"#;
                let operation = app.graphql(create);
                let operation = operation.header("x-forwarded-for", REFUSED.as_bytes());
                operation.send().await
            }
        };
        let codes = [
            "/errors/0/extensions/code",
            "/data/done/userErrors/0/code",
            "/code",
        ];
        let found = codes.into_iter().find_map(|code| answer.at(code).as_str());
        found.unwrap_or_default().to_owned()
    }

    /// Repeats the use case until it is refused.
    async fn use_up(self, app: &TestApp, tokens: &Tokens) {
        eventually("the token is refused", async || {
            (self.code(app, tokens).await == "RATE_LIMITED").then_some(())
        })
        .await;
    }
}

/// Returns the code of the error, or an empty string.
fn error(answer: &Answer) -> &str {
    let code = answer.at("/errors/0/extensions/code").as_str();
    code.unwrap_or_default()
}

async fn sign_in(app: &TestApp, username: &str, from: &str) -> Answer {
    let operation = app.graphql("mutation { createToken { token } }");
    let operation = operation.header("x-forwarded-for", from.as_bytes());
    operation.basic(username, PASSWORD).send().await
}

/// Starts an app in which each use case is refused for `REFUSED`, with one slow hash at a time.
async fn exhausted() -> (TestApp, Tokens) {
    let app = TestApp::configured(|config| {
        config.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    for name in ["admin", "user", "throttled", "owner", "other"] {
        app.register(name).await;
    }
    app.sql("UPDATE symbolon_user SET role = 'admin' WHERE username = 'admin'")
        .await;
    let tokens = Tokens {
        user: app.sign_in("user").await,
    };
    let app = app.restart(behind_a_proxy).await;
    for use_case in USE_CASES {
        use_case.use_up(&app, &tokens).await;
    }
    (app.restart(one_slow_hash_at_a_time).await, tokens)
}

/// Returns whether the queue refuses the attempt of a new name.
async fn is_busy(app: &TestApp) -> bool {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let answer = sign_in(app, &format!("unknown{number}"), HOME).await;
    error(&answer) == "SERVICE_UNAVAILABLE"
}

/// Runs `work` while the only thread computes a slow hash.
async fn while_the_queue_is_full(app: &TestApp, work: impl Future<Output = ()>) {
    let slow = eventually("the request gets the hashing thread", async || {
        let answer = sign_in(app, "owner", OTHER).await;
        (error(&answer) != "SERVICE_UNAVAILABLE").then_some(())
    });
    let meanwhile = async {
        eventually("the queue is full", async || {
            is_busy(app).await.then_some(())
        })
        .await;
        work.await;
        assert!(is_busy(app).await, "the hash was over too early");
    };
    tokio::join!(slow, meanwhile);
}

#[tokio::test]
async fn the_throttle_refuses_every_hashing_use_case_while_the_queue_is_full() {
    let (app, tokens) = exhausted().await;
    for use_case in USE_CASES {
        while_the_queue_is_full(&app, async {
            let code = use_case.code(&app, &tokens).await;
            assert_eq!(code, "RATE_LIMITED", "{use_case:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn throttled_attempts_occupy_no_place_in_the_hash_queue() {
    let (app, tokens) = exhausted().await;
    // The queue has one place.
    let app = app
        .restart(|config| {
            behind_a_proxy(config);
            config.hash_threads = NonZeroUsize::new(1);
            config.hash_queue = 0;
        })
        .await;
    let over = AtomicBool::new(false);
    let refused = USE_CASES.map(async |use_case| {
        let repeat = async || {
            let mut refused = 0;
            while !over.load(Ordering::Relaxed) {
                let code = use_case.code(&app, &tokens).await;
                assert_eq!(code, "RATE_LIMITED", "{use_case:?}");
                refused += 1;
            }
            refused
        };
        let refused: u32 = join_all([repeat(), repeat(), repeat()]).await.iter().sum();
        assert!(refused > 0, "{use_case:?}");
    });
    let owner = async {
        for _ in 0..50 {
            let answer = sign_in(&app, "owner", HOME).await;
            assert!(
                answer.at("/data/createToken/token").is_string(),
                "{answer:?}"
            );
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(join_all(refused), owner);
}

#[tokio::test]
async fn an_attempt_refused_by_the_hash_queue_is_not_counted() {
    let app = TestApp::configured(behind_a_proxy).await;
    app.register("owner").await;
    let app = app.restart(one_slow_hash_at_a_time).await;
    while_the_queue_is_full(&app, async {
        for _ in 0..10 {
            let answer = sign_in(&app, "ada", HOME).await;
            assert_eq!(error(&answer), "SERVICE_UNAVAILABLE");
        }
    })
    .await;
    // Two wrong passwords are allowed. Refusals of the queue do not count.
    let wrong = async || {
        eventually("the queue is free", async || {
            let operation = app.graphql("mutation { createToken { token } }");
            let operation = operation.header("x-forwarded-for", REFUSED.as_bytes());
            let answer = operation.basic("ada", "wrong").send().await;
            let code = answer.error().0.to_owned();
            (code != "SERVICE_UNAVAILABLE").then_some(code)
        })
        .await
    };
    assert_eq!(wrong().await, "UNAUTHENTICATED");
    assert_eq!(wrong().await, "UNAUTHENTICATED");
    assert_eq!(wrong().await, "RATE_LIMITED");
}

#[tokio::test]
async fn a_full_hash_queue_reveals_no_taken_value() {
    let app = TestApp::configured(one_slow_hash_at_a_time).await;
    app.register("owner").await;
    while_the_queue_is_full(&app, async {
        for name in ["owner", "unknown"] {
            let create = r"mutation($n: String!, $p: String!) {
                createUser(input: { username: $n, password: $p }) { userErrors { code } } }";
            let input = json!({ "n": name, "p": PASSWORD });
            let operation = app.graphql_with(create, &input);
            let answer = operation.header("x-forwarded-for", HOME.as_bytes()).send();
            assert_eq!(answer.await.error(), ("SERVICE_UNAVAILABLE", ""), "{name}");
        }
    })
    .await;
}
