//! Password hashing: the bounded queue, the number of hashes of a request, thread priority, rehashing and foreign
//! hashes.

use std::num::NonZeroUsize;
use std::time::Instant;

use futures_util::future::join_all;
use reqwest::StatusCode;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::Value;
use symbolon::{AuditEventFilter, AuditEventKind, Config};

use crate::privilege_escalation::with_admins;
use crate::sign_in::{CREATE, attempt};
use crate::support::{Answer, PASSWORD, Server, TestApp, database_in, eventually};

/// Sets the hash of every user to that of [`PASSWORD`] by Werkzeug 3.1.9.
const IMPORTED: &str = "UPDATE symbolon_user SET password_hash = \
    'imported:scrypt:32768:8:1$Sttm1Ddh3Gdi0D3d$9cd60f905c566dcf2b736148507223ab70140509b498dca5\
    534a048cd26ccf68fdef962b9c4123c75a03db223405fca993ea0858d6aa4fc20160d40a73223f1a'";

/// One hashing thread, no queue, and a hash that takes about a second.
fn one_slow_hash_at_a_time(config: &mut Config) {
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
async fn aliases_share_one_password_verification() {
    // With the default parameters, a hash takes far longer than everything else.
    let app = TestApp::configured(|config| {
        config.argon2_memory = 19456;
        config.argon2_iterations = 2;
    })
    .await;
    let mut many = "mutation {".to_owned();
    for n in 0..50 {
        many += &format!(" a{n}: createToken {{ token }}");
    }
    many += " }";
    let time = async |document: &str| {
        let start = Instant::now();
        let answer = app.graphql(document).basic("ada", "wrong").send().await;
        let code = answer.at("/errors/0/extensions/reason");
        assert_eq!(code, "INVALID_CREDENTIALS");
        start.elapsed()
    };
    let (mut one, mut fifty) = (time(CREATE).await, time(&many).await);
    for _ in 0..4 {
        one = one.min(time(CREATE).await);
        fifty = fifty.min(time(&many).await);
    }
    // Each field fails, but only one password is verified.
    assert!(fifty < one * 10, "{fifty:?} for fifty, {one:?} for one");
    app.register("ada").await;
    let document = "mutation { a: createToken { token } b: createToken { token } }";
    let both = app.graphql(document).basic("ada", PASSWORD).send().await;
    assert!(both.at("/data/a/token").is_string());
    assert_eq!(both.at("/data/a/token"), both.at("/data/b/token"));
}

#[tokio::test]
async fn a_hash_with_other_parameters_is_replaced_at_the_next_sign_in() {
    let app = TestApp::start().await;
    let id = app.register("ada").await;
    let old = app.row(id).await;
    assert!(old.password_hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
    let app = app.restart(|config| config.argon2_iterations = 3).await;
    let wrong = app.graphql(CREATE).basic("ada", "wrong").send().await;
    assert_eq!(wrong.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    assert_eq!(app.row(id).await.password_hash, old.password_hash);
    app.sign_in("ada").await;
    let new = app.row(id).await;
    assert!(new.password_hash.starts_with("$argon2id$v=19$m=8,t=3,p=1$"));
    assert_eq!(new.password_version, old.password_version);
    app.sign_in("ada").await;
    assert_eq!(app.row(id).await.password_hash, new.password_hash);
}

#[tokio::test]
async fn a_stored_hash_with_excessive_parameters_is_not_computed() {
    let app = TestApp::start().await;
    let id = app.register("ada").await;
    let hash = app.row(id).await.password_hash;
    for (cheap, costly) in [("m=8,", "m=65537,"), ("t=1,", "t=17,"), ("p=1$", "p=17$")] {
        let database = app.database().await;
        let sql = "UPDATE symbolon_user SET password_hash = $1";
        let costly = hash
            .replace(cheap, costly)
            .replace("m=8,t=1,p=17", "m=136,t=1,p=17");
        let backend = database.get_database_backend();
        let statement = Statement::from_sql_and_values(backend, sql, [costly.into()]);
        database.execute_raw(statement).await.unwrap();
        let answer = attempt(&app, "ada").await;
        assert_eq!(answer.error().0, "INTERNAL_SERVER_ERROR");
    }
}

#[tokio::test]
async fn a_foreign_hash_is_verified_and_replaced() {
    let app = TestApp::start().await;
    let id = app.register("ada").await;
    app.sql(IMPORTED).await;
    let old = app.row(id).await;
    let wrong = app.graphql(CREATE).basic("ada", "wrong").send().await;
    assert_eq!(wrong.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    assert_eq!(app.row(id).await, old);
    app.sql("UPDATE symbolon_user SET disabled_at = 0").await;
    assert_eq!(attempt(&app, "ada").await.body, wrong.body);
    assert_eq!(app.row(id).await.password_hash, old.password_hash);
    app.sql("UPDATE symbolon_user SET disabled_at = NULL").await;
    let token = app.sign_in("ada").await;
    let new = app.row(id).await;
    assert!(new.password_hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
    assert_eq!(new.password_version, old.password_version);
    assert_eq!(app.sign_in("ada").await, token);
    assert_eq!(app.row(id).await.password_hash, new.password_hash);
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
async fn a_password_change_or_disable_during_the_hash_refuses_the_sign_in() {
    let app = TestApp::configured(one_slow_hash_at_a_time).await;
    app.register("ada").await;
    for change in ["password_version = password_version + 1", "disabled_at = 0"] {
        let is_busy = async || attempt(&app, "nobody").await.error().0 == "SERVICE_UNAVAILABLE";
        let sign_in = eventually("the request gets the hashing thread", async || {
            let answer = attempt(&app, "ada").await;
            (answer.error().0 != "SERVICE_UNAVAILABLE").then_some(answer)
        });
        let meanwhile = async {
            eventually("the hash is under way", async || {
                is_busy().await.then_some(())
            })
            .await;
            app.sql(&format!("UPDATE symbolon_user SET {change}")).await;
            assert!(is_busy().await, "the hash was over before {change}");
        };
        let (answer, ()) = tokio::join!(sign_in, meanwhile);
        assert_eq!(
            answer.error(),
            ("UNAUTHENTICATED", "INVALID_CREDENTIALS"),
            "{change}"
        );
        assert_eq!(app.row(1).await.token_digest, None, "{change}");
    }
}

#[tokio::test]
async fn a_password_change_during_the_hash_refuses_the_deletion() {
    let app = TestApp::configured(one_slow_hash_at_a_time).await;
    let id = app.register("ada").await;
    let token = app.sign_in("ada").await;
    let document = format!(
        r#"mutation {{ deleteUser(input: {{ password: "{PASSWORD}" }}) {{ deletedUserId }} }}"#
    );
    let is_busy = async || attempt(&app, "nobody").await.error().0 == "SERVICE_UNAVAILABLE";
    let deletion = eventually("the request gets the hashing thread", async || {
        let answer = app.graphql(&document).bearer(&token).send().await;
        (answer.error().0 != "SERVICE_UNAVAILABLE").then_some(answer)
    });
    let meanwhile = async {
        eventually("the hash is under way", async || {
            is_busy().await.then_some(())
        })
        .await;
        app.sql("UPDATE symbolon_user SET password_version = password_version + 1")
            .await;
        assert!(is_busy().await, "the hash was over before the change");
    };
    let (answer, ()) = tokio::join!(deletion, meanwhile);
    assert_eq!(answer.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
    assert_eq!(app.row(id).await.username, "ada");
}

/// Returns the number of events of this kind in the audit trail, including counted ones.
async fn events(app: &TestApp, kind: AuditEventKind) -> i64 {
    let filter = AuditEventFilter {
        kind: Some(kind),
        ..AuditEventFilter::default()
    };
    let events = app.operator().audit_events(filter, None).await.unwrap();
    events.iter().map(|event| event.count).sum()
}

#[tokio::test]
async fn a_request_verifies_its_password_only_once() {
    let app = with_admins().await;
    let aliases = (0..20).map(|n| {
        format!(
            "a{n}: setUserRole(id: 3, role: ADMIN) {{ user {{ id }} }}
             b{n}: disableUser(id: 99) {{ userErrors {{ code }} }}
             c{n}: createToken {{ token }} "
        )
    });
    let document = format!("mutation {{ {} }}", aliases.take(16).collect::<String>());
    let send = async |password| {
        let request = app.graphql(&document);
        request.basic("ada", password).send().await
    };
    let answer = send(PASSWORD).await;
    assert_eq!(answer.at("/errors"), &Value::Null);
    assert_eq!(events(&app, AuditEventKind::SignedIn).await, 1);
    let answer = send("wrong").await;
    assert_eq!(answer.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
    assert_eq!(events(&app, AuditEventKind::SignInFailed).await, 1);
    // The Basic credentials are verified before the password in the input.
    let document = format!(
        r#"mutation {{ createToken {{ token }} deleteUser(input: {{ password: "{PASSWORD}" }}) {{ deletedUserId }} }}"#
    );
    let answer = app.graphql(&document).basic("bob", PASSWORD).send().await;
    assert_eq!(answer.at("/data/deleteUser/deletedUserId"), "3");
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
