//! The server answers other requests during a flood of sign-ins, and its memory stays bounded.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Duration, timeout};

use crate::support::{Answer, PASSWORD, Server};

/// The address of the flood, and another one.
const REFUSED: &str = "198.51.100.7";

const OTHER: &str = "203.0.113.9";
const FLOOD: usize = 400;
const OWNERS: usize = 4;
const SECONDS: u64 = 4;

const CONNECTIONS: usize = 64;
const THREADS: u64 = 2;
/// The memory of one hash with the default parameters.
const HASH_MIB: u64 = 19;

/// Sets the default cost of hashes. Other tests use a lower cost.
fn use_default_cost(command: &mut Command) {
    command
        .env("SYMBOLON_ARGON2_MEMORY", (HASH_MIB * 1024).to_string())
        .env("SYMBOLON_ARGON2_ITERATIONS", "2")
        .env("SYMBOLON_HASH_THREADS", THREADS.to_string());
}

/// The number of responses of each kind.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    signed_in: u32,
    wrong: u32,
    throttled: u32,
    busy: u32,
}

/// Sends right passwords, wrong passwords and unknown names in turn. One client in 16 does not wait for
/// the responses.
async fn client(server: &Server, number: usize, sign_ins: usize) -> Answers {
    let client = reqwest::Client::new();
    let mut answers = Answers::default();
    for round in 0..sign_ins {
        let (name, password) = match (number + round) % 4 {
            0 | 1 => ("ada", PASSWORD),
            2 => ("ada", "wrong"),
            _ => ("nobody", PASSWORD),
        };
        let request = client.post(format!("{}/tokens", server.base));
        let request = request.basic_auth(name, Some(password));
        if number % 16 == 15 {
            let _ = timeout(Duration::from_millis(10), request.send()).await;
            continue;
        }
        let answer = Answer::of(request).await;
        match answer.status.as_u16() {
            200 => answers.signed_in += 1,
            401 => {
                assert_eq!(answer.at("/reason"), "INVALID_CREDENTIALS");
                answers.wrong += 1;
            }
            429 => answers.throttled += 1,
            503 => {
                assert_eq!(answer.at("/code"), "SERVICE_UNAVAILABLE");
                answers.busy += 1;
            }
            _ => panic!("{answer:?}"),
        }
        if [429, 503].contains(&answer.status.as_u16()) {
            let seconds: u32 = answer.header("retry-after").parse().unwrap();
            assert!(seconds > 0);
        }
    }
    answers
}

/// Runs the flood, and guarded queries of a signed-in user until it ends. Returns the responses to the flood
/// and the number of queries.
async fn flood(server: &Server, token: &str, sign_ins: usize) -> (Answers, u32) {
    let is_over = AtomicBool::new(false);
    let attack = async {
        let clients = (0..CONNECTIONS).map(|number| client(server, number, sign_ins));
        let all = join_all(clients).await;
        is_over.store(true, Ordering::Relaxed);
        all.into_iter()
            .fold(Answers::default(), |sum, one| Answers {
                signed_in: sum.signed_in + one.signed_in,
                wrong: sum.wrong + one.wrong,
                throttled: sum.throttled + one.throttled,
                busy: sum.busy + one.busy,
            })
    };
    let queries = async {
        let mut answered = 0;
        while !is_over.load(Ordering::Relaxed) {
            let me = server.graphql("{ me { username } }").bearer(token);
            assert_eq!(me.send().await.at("/data/me/username"), "ada");
            answered += 1;
        }
        answered
    };
    tokio::join!(attack, queries)
}

/// Starts a server with one user. Returns a token of the user.
async fn start(configure: impl FnOnce(&mut Command)) -> (tempfile::TempDir, Server, String) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command| {
        use_default_cost(command);
        configure(command);
    });
    server.registration("ada").send().await;
    let signed_in = Answer::of(server.post_tokens("ada")).await;
    let token = signed_in.at("/token").as_str().unwrap().to_owned();
    (folder, server, token)
}

#[tokio::test]
async fn guarded_queries_answer_during_a_flood_of_sign_ins_and_memory_stays_bounded() {
    let (_folder, server, token) = start(|command| {
        command
            .env("SYMBOLON_THROTTLE", "off")
            .env("SYMBOLON_HASH_QUEUE", "16");
    })
    .await;
    let before = server.process.peak_memory();
    let (answers, answered) = flood(&server, &token, 8).await;
    assert!(answers.signed_in > 0 && answers.wrong > 0, "{answers:?}");
    // The queue has 18 places for 64 clients.
    assert!(answers.busy > 0, "{answers:?}");
    assert_eq!(answers.throttled, 0);
    assert!(answered > 0);
    let grown_by = server.process.peak_memory() - before;
    assert!(grown_by <= THREADS * HASH_MIB + 32, "{grown_by} MiB");
}

#[tokio::test]
async fn the_user_stays_signed_in_during_a_flood_of_wrong_passwords() {
    let (_folder, server, token) = start(|_| {}).await;
    let wrong = json!({ "query": "mutation { createToken { token } }" });
    let guesses = (0..CONNECTIONS).map(async |_| {
        let mut verified = 0;
        for _ in 0..4 {
            let answer = server
                .graphql_body(&wrong)
                .basic("ada", "wrong")
                .send()
                .await;
            match answer.error() {
                ("UNAUTHENTICATED", "INVALID_CREDENTIALS") => verified += 1,
                // The queue or the throttle refuses the request.
                ("SERVICE_UNAVAILABLE" | "RATE_LIMITED", "") => {}
                other => panic!("{other:?}"),
            }
            assert_eq!(
                server
                    .graphql("{ me { username } }")
                    .bearer(&token)
                    .send()
                    .await
                    .at("/data/me/username"),
                "ada"
            );
        }
        verified
    });
    let verified: u32 = join_all(guesses).await.into_iter().sum();
    // The throttle allows 20 attempts at once, and one more every 45 seconds.
    assert!((20..=22).contains(&verified), "{verified}");
}

/// The responses of one client, by status.
#[derive(Debug, Default)]
struct SignIns {
    tokens: u32,
    others: u32,
}

#[tokio::test]
async fn other_addresses_sign_in_during_400_concurrent_sign_ins_from_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command: &mut Command| {
        command
            .env("SYMBOLON_TRUSTED_PROXIES", "127.0.0.1")
            .env("SYMBOLON_ARGON2_MEMORY", "8192")
            .env("SYMBOLON_HASH_THREADS", "1")
            .env("SYMBOLON_HASH_QUEUE", "31")
            .env("SYMBOLON_LOG", "error");
    });
    let client = reqwest::Client::new();
    let sign_in = async |from: &str, username: &str, password: &str| {
        let request = client.post(format!("{}/tokens", server.base));
        let request = request.header("x-forwarded-for", from);
        let request = request.basic_auth(username, Some(password));
        request.send().await.unwrap().status().as_u16()
    };
    server.register("guessed").await;
    server.register("flooding").await;
    server.register("wronged").await;
    for number in 0..OWNERS {
        server.register(&format!("owner{number}")).await;
    }
    while sign_in(OTHER, "guessed", "wrong").await != 429 {}
    let until = Instant::now() + Duration::from_secs(SECONDS);
    let flood = (0..FLOOD).map(async |number| {
        let mut answers = SignIns::default();
        for round in number.. {
            let status = match round % 4 {
                0 => sign_in(REFUSED, "guessed", PASSWORD).await,
                1 => sign_in(REFUSED, "flooding", PASSWORD).await,
                2 => sign_in(REFUSED, "wronged", "wrong").await,
                _ => sign_in(REFUSED, &format!("unknown{round}"), PASSWORD).await,
            };
            match status {
                200 => answers.tokens += 1,
                401 | 429 | 503 => answers.others += 1,
                other => panic!("{other}"),
            }
            if Instant::now() > until {
                break;
            }
        }
        answers
    });
    let owners = (0..OWNERS).map(async |number| {
        let (name, home) = (format!("owner{number}"), format!("192.0.2.{number}"));
        let mut answers = SignIns::default();
        while Instant::now() < until {
            match sign_in(&home, &name, PASSWORD).await {
                200 => answers.tokens += 1,
                _ => answers.others += 1,
            }
        }
        answers
    });
    let (flood, owners) = tokio::join!(join_all(flood), join_all(owners));
    let sum = |all: &[SignIns]| {
        let tokens: u32 = all.iter().map(|one| one.tokens).sum();
        (tokens, all.iter().map(|one| one.others).sum::<u32>())
    };
    let (tokens, failed) = sum(&owners);
    let (_, refused) = sum(&flood);
    println!(
        "owners: {tokens} of {}, flood: {:?}",
        tokens + failed,
        sum(&flood)
    );
    assert!(refused > 400, "{refused}");
    assert!(
        tokens > 0 && failed * 99 <= tokens,
        "{tokens} of {}",
        tokens + failed
    );
}
