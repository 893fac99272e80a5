//! Transactions on PostgreSQL: those of cancelled requests, and those that wait for locks.

use std::time::{Duration, Instant};

use reqwest::Method;
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};
use serde_json::json;
use symbolon::{Config, Registration, Role, Symbolon};

use super::{connect, number};
use crate::support::{Answer, Instance, PASSWORD, common_key, eventually, shared_postgres};

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn a_cancelled_request_leaves_no_open_transaction() {
    let url = shared_postgres().create();
    let mut config = Config::default();
    config.database_url = url.clone().into();
    config.secret_key_file = Some(common_key().to_owned());
    config.argon2_memory = 8;
    config.argon2_iterations = 1;
    config.postgres.acquire_timeout = 20_000;
    // The statement timeout would end the transaction.
    config.postgres.statement_timeout = 600_000;
    let symbolon = Symbolon::open(config).await.unwrap();
    let operator = symbolon.operator();
    let registration = |number: u32| Registration {
        username: format!("u{number}"),
        email: None,
        password: PASSWORD.to_owned(),
    };
    let user = operator
        .add_user(&registration(0), Role::User)
        .await
        .unwrap();
    let database = connect(&url).await;
    for micros in (0..3000).step_by(10) {
        let work = operator.revoke_tokens(user.id);
        let _ = tokio::time::timeout(Duration::from_micros(micros), work).await;
        eventually("no transaction is open", async || {
            let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND state LIKE 'idle in transaction%'";
            (number(&database, idle).await == 0).then_some(())
        })
        .await;
    }
    for number in 1..20 {
        operator
            .add_user(&registration(number), Role::User)
            .await
            .unwrap();
    }
    assert_eq!(
        number(&database, "SELECT count(*) FROM symbolon_user").await,
        20
    );
    database.close().await.unwrap();
    symbolon.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn a_long_row_lock_is_answered_with_503_and_does_not_block_others() {
    let url = shared_postgres().create();
    let one = Instance::configured(&url, |command| {
        command.env("SYMBOLON_POSTGRES_STATEMENT_TIMEOUT", "500");
    });
    one.register("ada").await;
    one.register("bob").await;
    let (ada, bob) = (one.sign_in("ada").await, one.sign_in("bob").await);
    let database = connect(&url).await;
    let holding = database.begin().await.unwrap();
    holding
        .execute_unprepared("SELECT * FROM symbolon_user WHERE username = 'ada' FOR UPDATE")
        .await
        .unwrap();
    let started = Instant::now();
    let (revoked, others) = tokio::join!(one.mutate(&ada, "revokeToken"), async {
        for _ in 0..10 {
            assert!(one.accepts(&ada).await && one.accepts(&bob).await);
        }
        one.mutate(&bob, "revokeToken").await
    });
    assert_eq!(others.at("/data/revokeToken"), true);
    assert_eq!(revoked.error(), ("SERVICE_UNAVAILABLE", ""));
    // Before the statement timeout of 10 s.
    let waited = started.elapsed();
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    holding.rollback().await.unwrap();
    let revoked = one.mutate(&ada, "revokeToken").await;
    assert_eq!(revoked.at("/data/revokeToken"), true);
    database.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn the_request_timeout_limits_every_endpoint_that_reads_the_database() {
    let url = shared_postgres().create();
    let one = Instance::configured(&url, |command| {
        command
            .env("SYMBOLON_REQUEST_TIMEOUT", "1")
            .env("SYMBOLON_IDENTITY_CACHE", "0")
            .env("SYMBOLON_POSTGRES_STATEMENT_TIMEOUT", "60000");
    });
    one.register("ada").await;
    let token = one.sign_in("ada").await;
    let database = connect(&url).await;
    let holding = database.begin().await.unwrap();
    holding
        .execute_unprepared("LOCK TABLE symbolon_user IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let send = async |method: Method, path: &str| {
        let request = one.request(method, path).bearer_auth(&token);
        Answer::of(request).await
    };
    let basic = one.request(Method::POST, "/tokens");
    let started = Instant::now();
    let answers = tokio::join!(
        one.me(&token),
        send(Method::GET, "/auth"),
        send(Method::GET, "/auth/reports"),
        send(Method::DELETE, "/tokens"),
        Answer::of(basic.basic_auth("ada", Some(PASSWORD))),
    );
    // Before the statement timeout.
    assert!(started.elapsed() < Duration::from_secs(30));
    for answer in [answers.0, answers.1, answers.2, answers.3, answers.4] {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.body.to_string().contains("SERVICE_UNAVAILABLE"));
    }
    holding.rollback().await.unwrap();
    database.close().await.unwrap();
}

/// Otherwise, it could cause a deadlock with a transaction that revokes several tokens.
#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn recording_the_uses_of_tokens_does_not_wait_for_locked_rows() {
    let url = shared_postgres().create();
    let one = Instance::start(&url);
    let mut tokens = Vec::new();
    for name in ["ada", "bob"] {
        one.register(name).await;
        tokens.push(one.access_token(name, json!({ "name": "x" })).await);
        tokens.push(one.sign_in(name).await);
    }
    let database = connect(&url).await;
    let holding = database.begin().await.unwrap();
    for table in ["symbolon_access_token", "symbolon_session"] {
        let lock = format!(
            "SELECT * FROM {table} WHERE user_id = \
             (SELECT id FROM symbolon_user WHERE username = 'ada') FOR UPDATE"
        );
        holding.execute_unprepared(&lock).await.unwrap();
    }
    for token in &tokens {
        assert!(one.accepts(token).await);
    }
    let used = "SELECT (SELECT count(last_used_at) FROM symbolon_access_token) \
        + (SELECT count(last_used_at) FROM symbolon_session)";
    eventually("the uses of the tokens of bob are recorded", async || {
        let used = Statement::from_string(DbBackend::Postgres, used);
        let row = database.query_one_raw(used).await.unwrap().unwrap();
        (row.try_get_by_index::<i64>(0).unwrap() == 2).then_some(())
    })
    .await;
    holding.rollback().await.unwrap();
    database.close().await.unwrap();
}
