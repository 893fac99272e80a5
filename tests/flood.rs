//! A flood of sign-ins: who is signed in goes on, and memory stays where it is.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Duration, timeout};

use crate::support::{Answer, PASSWORD, Server, eventually};

const CONNECTIONS: usize = 64;
const THREADS: u64 = 2;
/// What one hash takes by default.
const HASH_MIB: u64 = 19;

/// The defaults of passwords, which other tests make cheap.
fn at_full_cost(command: &mut Command) {
    command
        .env("SYMBOLON_ARGON2_MEMORY", (HASH_MIB * 1024).to_string())
        .env("SYMBOLON_ARGON2_ITERATIONS", "2")
        .env("SYMBOLON_HASH_THREADS", THREADS.to_string());
}

/// What sign-ins of one client after the other were answered.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    tokens: u32,
    refused: u32,
    throttled: u32,
    busy: u32,
}

/// One client's part of the flood: right passwords, wrong ones and unknown names by turns. Some do
/// not wait for the answer.
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
            200 => answers.tokens += 1,
            401 => {
                assert_eq!(answer.at("/reason"), "INVALID_CREDENTIALS");
                answers.refused += 1;
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

/// The flood, and beside it the guarded queries of who is signed in: how many were answered.
async fn flood(server: &Server, token: &str, sign_ins: usize) -> (Answers, u32) {
    let over = Arc::new(AtomicBool::new(false));
    let attack = async {
        let clients = (0..CONNECTIONS).map(|number| client(server, number, sign_ins));
        let all = join_all(clients).await;
        over.store(true, Ordering::Relaxed);
        all.into_iter()
            .fold(Answers::default(), |sum, one| Answers {
                tokens: sum.tokens + one.tokens,
                refused: sum.refused + one.refused,
                throttled: sum.throttled + one.throttled,
                busy: sum.busy + one.busy,
            })
    };
    let meanwhile = async {
        let mut answered = 0;
        while !over.load(Ordering::Relaxed) {
            let me = server.graphql("{ me { username } }").bearer(token);
            assert_eq!(me.send().await.at("/data/me/username"), "ada");
            answered += 1;
        }
        answered
    };
    tokio::join!(attack, meanwhile)
}

/// A server with one account that is signed in; its token.
async fn start(configure: impl FnOnce(&mut Command)) -> (tempfile::TempDir, Server, String) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command| {
        at_full_cost(command);
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
    assert!(answers.tokens > 0 && answers.refused > 0, "{answers:?}");
    // 64 do not fit where two are at work and 16 may wait.
    assert!(answers.busy > 0, "{answers:?}");
    assert_eq!(answers.throttled, 0);
    assert!(answered > 0);
    let grown_by = server.process.peak_memory() - before;
    assert!(grown_by <= THREADS * HASH_MIB + 32, "{grown_by} MiB");
}

#[tokio::test]
async fn threads_that_hash_give_way_to_all_others() {
    let (_folder, server, _) = start(|_| {}).await;
    let hashing = |name: &str| name.starts_with("hash-") && name != "hash-answers";
    eventually("each has set its priority", async || {
        let (theirs, others): (Vec<_>, Vec<_>) = server
            .process
            .threads()
            .into_iter()
            .partition(|(name, _)| hashing(name));
        let highest = theirs.iter().map(|(_, nice)| nice).min()?;
        let lowest = others.iter().map(|(_, nice)| nice).max()?;
        // One more is for large hashes.
        (theirs.len() == 3 && highest > lowest).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_flood_at_one_account_is_refused_without_hashing_and_its_owner_goes_on() {
    let (_folder, server, token) = start(|_| {}).await;
    // From its own address the owner has a bucket of its own, which the flood shares here.
    let wrong = json!({ "query": "mutation { createToken { token } }" });
    let guesses = (0..CONNECTIONS).map(async |_| {
        let mut looked_at = 0;
        for _ in 0..4 {
            let answer = server
                .graphql_body(&wrong)
                .basic("ada", "wrong")
                .send()
                .await;
            match answer.error() {
                ("UNAUTHENTICATED", "INVALID_CREDENTIALS") => looked_at += 1,
                // The address has its share of the places in the queue, or is refused.
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
        looked_at
    });
    let looked_at: u32 = join_all(guesses).await.into_iter().sum();
    // 20 at once, and one more for each 45 s that it takes.
    assert!((20..=22).contains(&looked_at), "{looked_at}");
}
