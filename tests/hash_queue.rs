//! The bounded queue of password hashes, and the threads that compute them.

use std::num::NonZeroUsize;
use std::time::Instant;

use futures_util::future::join_all;
use reqwest::StatusCode;
use sea_orm::ConnectionTrait;
use symbolon::Config;

use crate::password_hashing::IMPORTED;
use crate::sign_in::{CREATE, attempt};
use crate::support::{Answer, PASSWORD, Server, TestApp, database_in, eventually};

/// One hashing thread, no queue, and a hash that takes about a second.
pub fn one_slow_hash_at_a_time(config: &mut Config) {
    config.hash_threads = NonZeroUsize::new(1);
    config.hash_queue = 0;
    config.argon2_memory = 64 * 1024;
    config.argon2_iterations = 16;
}

#[tokio::test]
async fn a_full_hash_queue_refuses_at_once_and_does_not_delay_other_requests() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let app = app.restart(one_slow_hash_at_a_time).await;
    let busy = eventually("the request gets the hashing thread", async || {
        let answer = app.graphql(CREATE).basic("nobody", "x").send().await;
        (answer.error().0 != "SERVICE_UNAVAILABLE").then_some(answer)
    });
    let meanwhile = async {
        let refused = eventually("the only thread is busy", async || {
            let answer = attempt(&app, "nobody else").await;
            (answer.error().0 == "SERVICE_UNAVAILABLE").then_some(answer)
        })
        .await;
        assert_eq!(refused.at("/errors/0/extensions/retryAfter"), 1);
        assert_eq!(attempt(&app, "ada").await.error().0, "SERVICE_UNAVAILABLE");
        let request = app.request(reqwest::Method::POST, "/tokens");
        let rest = Answer::of(request.basic_auth("ada", Some(PASSWORD))).await;
        assert_eq!(rest.status, 503);
        assert_eq!(rest.header("retry-after"), "1");
        assert_eq!(rest.at("/code"), "SERVICE_UNAVAILABLE");
        assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
        Instant::now()
    };
    let busy = async { (busy.await, Instant::now()) };
    let ((answer, done), still_busy) = tokio::join!(busy, meanwhile);
    assert!(
        still_busy < done,
        "the thread was free before the others were refused"
    );
    assert_eq!(answer.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
}

#[tokio::test]
async fn a_disconnected_client_keeps_its_place_in_the_queue() {
    let app = TestApp::configured(one_slow_hash_at_a_time).await;
    let is_busy = async || attempt(&app, "nobody").await.error().0 == "SERVICE_UNAVAILABLE";
    let slow = async {
        // A client of its own, whose connection is closed with it.
        let client = reqwest::Client::new();
        let request = client.post(format!("{}/tokens", app.base));
        let request = request.basic_auth("nobody", Some("x"));
        eventually("the request gets the hashing thread", async || {
            let answer = request.try_clone()?.send().await.ok()?;
            (answer.status() != 503).then_some(())
        })
        .await;
    };
    let seen_busy = eventually("the only thread is busy", async || {
        is_busy().await.then_some(())
    });
    tokio::select! {
        () = slow => panic!("the hash was over before anybody else was refused"),
        () = seen_busy => {}
    }
    assert!(is_busy().await);
    eventually("the hash is computed", async || {
        (!is_busy().await).then_some(())
    })
    .await;
}

#[tokio::test]
async fn foreign_hashes_with_much_memory_are_computed_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command| {
        command.env("SYMBOLON_HASH_THREADS", "8");
    });
    server.register("ada").await;
    let database = database_in(folder.path()).await;
    database.execute_unprepared(IMPORTED).await.unwrap();
    let before = server.process.peak_memory();
    let attempts = (0..8).map(|_| {
        let request = server.request(reqwest::Method::POST, "/tokens");
        Answer::of(request.basic_auth("ada", Some("wrong")))
    });
    let answers = join_all(attempts).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    // At a low priority on a busy machine, some hashes are not computed in time.
    assert!(statuses.contains(&StatusCode::UNAUTHORIZED), "{statuses:?}");
    let expected = [StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE];
    let others = statuses.iter().find(|status| !expected.contains(status));
    assert_eq!(others, None);
    // Each hash takes 32 MiB.
    let grown = server.process.peak_memory() - before;
    assert!((16..60).contains(&grown), "{grown} MiB");
}

#[tokio::test]
async fn hashing_threads_have_the_lowest_priority() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command| {
        command.env("SYMBOLON_HASH_THREADS", "2");
    });
    eventually("each thread has set its priority", async || {
        let (hashing, others): (Vec<_>, Vec<_>) = server
            .process
            .threads()
            .into_iter()
            .partition(|(name, _)| name.starts_with("hash-"));
        let least = hashing.iter().map(|(_, nice)| nice).min()?;
        let most = others.iter().map(|(_, nice)| nice).max()?;
        // The third thread is for hashes that need more memory.
        (hashing.len() == 3 && least > most).then_some(())
    })
    .await;
}
