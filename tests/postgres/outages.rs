//! Losses of the PostgreSQL server and of connections to it: acknowledged changes survive, and service resumes without
//! a restart.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use entity::session;
use futures_util::future::join_all;
use reqwest::Method;
use sea_orm::{ColumnTrait, Database, EntityTrait, PaginatorTrait, QueryFilter};

use crate::support::{
    Answer, Instance, PROPAGATION_BOUND, Postgres, Proxy, Server, Socket, common_key,
    end_at_commit, end_connections, eventually, shared_postgres,
};

const CLIENTS: usize = 4;

/// The longest time from the return of the server until service resumes.
const BACK_WITHIN: Duration = Duration::from_secs(3);

/// The number of tries of each kind of loss. `scripts/outages` sets it.
fn rounds() -> u32 {
    let rounds = std::env::var("SYMBOLON_TEST_OUTAGES");
    rounds.map_or(3, |rounds| rounds.parse().unwrap())
}

/// The acknowledged state of each user: the token and whether it is live, or `None` if the last request
/// was not answered.
type Promises = HashMap<String, Option<(String, bool)>>;

/// Registers, signs in and revokes until `stop` is set.
async fn client(number: u32, instance: &Instance, stop: &AtomicBool) -> Promises {
    let mut promises = Promises::new();
    for turn in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let name = format!("u{number}x{turn}");
        let answer = instance.registration(&name).send().await;
        if !answer.at("/data/createUser/user/id").is_string() {
            refused(&answer);
            continue;
        }
        promises.insert(name.clone(), None);
        let answer = Answer::of(instance.post_tokens(&name)).await;
        let Some(token) = answer.at("/token").as_str().map(str::to_owned) else {
            refused(&answer);
            continue;
        };
        let mut promise = Some((token.clone(), true));
        if turn % 2 == 0 {
            let answer = instance.mutate(&token, "revokeToken").await;
            promise = if answer.at("/data/revokeToken") == true {
                Some((token, false))
            } else {
                refused(&answer);
                None
            };
        }
        promises.insert(name, promise);
    }
    promises
}

/// Checks that a refusal is a 503 and nothing else.
fn refused(answer: &Answer) {
    let code = answer.at("/errors/0/extensions/code");
    let is_unavailable = code == "SERVICE_UNAVAILABLE" || answer.status == 503;
    assert!(is_unavailable, "{answer:?}");
}

async fn check_promises(instance: &Instance, promises: &Promises) {
    for (name, promise) in promises {
        match promise {
            Some((token, true)) => assert!(instance.accepts(token).await, "{name}"),
            Some((token, false)) => assert!(!instance.accepts(token).await, "{name}"),
            None => {}
        }
        let token = instance.sign_in(name).await;
        match promise {
            Some((old, true)) => assert_eq!(&token, old, "{name}"),
            Some((old, false)) => assert_ne!(&token, old, "{name}"),
            None => {}
        }
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn a_ready_instance_uses_no_lost_connection() {
    let server = Postgres::start(&[]);
    let url = server.create();
    let instance = Instance::start(&url);
    instance.register("ada").await;
    // The connections were used a moment ago, so the pools do not check whether they are alive.
    instance.sign_in("ada").await;
    end_connections(&url).await;
    eventually("the server is ready", async || {
        instance.is_ready().await.then_some(())
    })
    .await;
    let answer = Answer::of(instance.post_tokens("ada")).await;
    assert!(answer.at("/token").is_string(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn acknowledged_changes_survive_every_kind_of_server_loss() {
    let server = Postgres::start(&[]);
    let url = server.create();
    let instance = Instance::with_default_acquire_timeout(&url);
    let (mut kept, mut longest) = (0, Duration::ZERO);
    for round in 0..rounds() {
        for (way, number) in [("a backend", 0), ("INT", 1), ("QUIT", 2), ("KILL", 3)] {
            let stop = AtomicBool::new(false);
            let first = (round * 4 + number) * 100;
            let clients = (first..).take(CLIENTS);
            let clients = clients.map(|number| client(number, &instance, &stop));
            let revoked = || instance.log().matches("TOKEN_REVOKED").count();
            let before = revoked();
            let outage = async {
                eventually("the clients send requests", async || {
                    (revoked() > before + 3).then_some(())
                })
                .await;
                let mut returned = Instant::now();
                if way == "a backend" {
                    end_connections(&url).await;
                } else {
                    tokio::task::block_in_place(|| server.end(way));
                    assert!(!instance.is_ready().await);
                    tokio::task::block_in_place(|| server.restart());
                    returned = Instant::now();
                }
                eventually("the instance answers again", async || {
                    instance.is_ready().await.then_some(())
                })
                .await;
                longest = longest.max(returned.elapsed());
                stop.store(true, Ordering::SeqCst);
            };
            let (promises, ()) = tokio::join!(join_all(clients), outage);
            for promises in promises {
                kept += promises.len();
                check_promises(&instance, &promises).await;
            }
        }
    }
    println!("{kept} promises kept; ready {longest:?} after the server at the latest");
    assert!(longest < BACK_WITHIN, "{longest:?}");
    let log = instance.log();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn a_background_write_with_an_unknown_outcome_is_repeated_and_is_no_internal_error() {
    let server = shared_postgres();
    let url = server.create();
    let instance = Instance::start(&url);
    instance.register("ada").await;
    let token = instance.sign_in("ada").await;
    // The last use of a token is written by a background task.
    server.run_on(&url, &[end_at_commit("UPDATE ON symbolon_session")]);
    assert!(instance.accepts(&token).await);
    eventually("the write is repeated", async || {
        let unknown = "the outcome of a commit is unknown";
        (instance.log().matches(unknown).count() >= 2).then_some(())
    })
    .await;
    server.run_on(&url, &["DROP FUNCTION end_backend CASCADE".to_owned()]);
    let database = Database::connect(&url).await.unwrap();
    let uses = session::Entity::find().filter(session::Column::LastUsedAt.is_not_null());
    eventually("the use is written", async || {
        (uses.clone().count(&database).await.unwrap() == 1).then_some(())
    })
    .await;
    database.close().await.unwrap();
    assert!(!instance.log().contains("ERROR"), "{}", instance.log());
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn requests_fail_during_a_database_outage_and_recover_after_it() {
    let server = Postgres::start(&[]);
    let one = Instance::with_default_acquire_timeout(&server.create());
    one.register("ada").await;
    let token = one.sign_in("ada").await;
    for signal in ["INT", "KILL", "QUIT"] {
        assert!(one.accepts(&token).await && one.is_ready().await);
        server.end(signal);
        // Cached identities are accepted for a second.
        let away = Instant::now();
        while away.elapsed() < PROPAGATION_BOUND {
            one.me(&token).await;
        }
        for _ in 0..2 {
            let sign_in = Answer::of(one.post_tokens("ada")).await;
            assert_eq!(sign_in.status, 503);
            assert_eq!(sign_in.at("/code"), "SERVICE_UNAVAILABLE");
            assert_eq!(sign_in.header("retry-after"), "1");
            let me = one.me(&token).await;
            assert_eq!(me.error(), ("SERVICE_UNAVAILABLE", ""));
            let revoke = one.mutate(&token, "revokeToken").await;
            assert_eq!(revoke.error(), ("SERVICE_UNAVAILABLE", ""));
            assert!(!one.is_ready().await);
        }
        server.restart();
        eventually("the instance is ready again", async || {
            (one.is_ready().await && one.accepts(&token).await).then_some(())
        })
        .await;
        assert_eq!(one.sign_in("ada").await, token);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn silently_dropped_connections_cause_no_refusal() {
    let server = shared_postgres();
    let url = server.create();
    let proxy = Proxy::in_front_of(server.port()).await;
    let behind = url.replace(&server.port().to_string(), &proxy.port.to_string());
    let instance = Instance::with_default_acquire_timeout(&behind);
    instance.register("ada").await;
    let unknown = "A".repeat(32);
    for round in 0..3 {
        // Opens connections, which are idle then.
        join_all((0..8).map(|_| instance.accepts(&unknown))).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        proxy.forget_idle(Duration::from_secs(1));
        let fetch = async || {
            let began = Instant::now();
            let answer = instance.me(&unknown).await;
            (answer.error().1.to_owned(), began.elapsed())
        };
        for (reason, took) in join_all((0..8).map(|_| fetch())).await {
            assert_eq!(reason, "TOKEN_INVALID");
            println!("round {round}: {took:?}");
            // The promise is 200 ms on an idle machine. Without the liveness check, a request waits for
            // the acquire timeout of a second and is refused.
            assert!(took < Duration::from_millis(900), "{took:?}");
        }
        let began = Instant::now();
        assert_eq!(Answer::of(instance.post_tokens("ada")).await.status, 200);
        println!("round {round}: sign-in {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn a_websocket_is_closed_if_its_token_cannot_be_verified() {
    let server = shared_postgres();
    let url = server.create();
    let proxy = Proxy::in_front_of(server.port()).await;
    let behind = url.replace(&server.port().to_string(), &proxy.port.to_string());
    let folder = tempfile::tempdir().unwrap();
    let embedder = Server::embed_example_configured(folder.path(), |command| {
        command
            .env("DATABASE_URL", &behind)
            .env("SYMBOLON_SECRET_KEY_FILE", common_key())
            .env_remove("SYMBOLON_POSTGRES_ACQUIRE_TIMEOUT");
    });
    let other = Instance::start(&url);
    other.register("ada").await;
    let token = other.sign_in("ada").await;
    let mut socket = Socket::connect(&embedder.base, Some(&token)).await;
    proxy.silence();
    assert_eq!(socket.closed().await.0, 1013);
    let ready = Answer::of(embedder.request(Method::GET, "/readyz")).await;
    assert_eq!(ready.status, 503);
}
