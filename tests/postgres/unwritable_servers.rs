//! PostgreSQL as it fails in practice: standbys, missing privileges, other schemas, and networks that drop
//! connections.

use std::fs;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::support::{
    Answer, DATABASE_PASSWORD, Instance, Postgres, Proxy, Server, Socket, common_key,
    end_connections, eventually, finish, shared_postgres, unconfigured_symbolon,
};

/// Waits until the instance refuses a live token and is not ready.
async fn is_out_of_service(instance: &Instance, token: &str) {
    eventually("the instance is out of service", async || {
        (!instance.is_ready().await && !instance.accepts(token).await).then_some(())
    })
    .await;
    // The instance stays out of service.
    for _ in 0..20 {
        let answer = instance.me(token).await;
        assert_eq!(answer.error(), ("SERVICE_UNAVAILABLE", ""), "{answer:?}");
        assert!(!instance.is_ready().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn an_instance_on_a_standby_serves_no_guarded_request() {
    let server = Postgres::start(&[]);
    let url = server.create();
    let instance = Instance::start(&url);
    instance.register("ada").await;
    let token = instance.sign_in("ada").await;
    assert!(instance.accepts(&token).await);
    server.end("INT");
    fs::write(server.data().join("standby.signal"), "").unwrap();
    server.restart();
    is_out_of_service(&instance, &token).await;
    // A new instance does not serve, either.
    let late = Instance::start(&url);
    assert!(!late.is_ready().await && !late.accepts(&token).await);
    server.run(&["SELECT pg_promote()".to_owned()]);
    for instance in [&instance, &late] {
        eventually("the server answers again", async || {
            (instance.is_ready().await && instance.accepts(&token).await).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn an_instance_recovers_when_new_connections_can_write() {
    let server = shared_postgres();
    let url = server.create();
    let (_, database) = url.rsplit_once('/').unwrap();
    let instance = Instance::start(&url);
    instance.register("ada").await;
    let token = instance.sign_in("ada").await;
    // The connections of this one can write.
    let writes = format!("{url}?options[default_transaction_read_only]=off");
    let admin = sea_orm::Database::connect(writes).await.unwrap();
    let run = async |sql: String| {
        let done = sea_orm::ConnectionTrait::execute_unprepared(&admin, &sql);
        done.await.unwrap();
    };
    run(format!(
        "ALTER DATABASE {database} SET default_transaction_read_only = on"
    ))
    .await;
    end_connections(&url).await;
    is_out_of_service(&instance, &token).await;
    // The connections of the instance stay read-only.
    run(format!(
        "ALTER DATABASE {database} RESET default_transaction_read_only"
    ))
    .await;
    eventually("the server answers again", async || {
        (instance.is_ready().await && instance.accepts(&token).await).then_some(())
    })
    .await;
    admin.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn an_instance_whose_role_cannot_write_serves_no_guarded_request() {
    let server = shared_postgres();
    let url = server.create();
    let (_, database) = url.rsplit_once('/').unwrap();
    // The role of the other tests is a superuser with all privileges.
    let role = format!("role_of_{database}");
    let admin = sea_orm::Database::connect(&url).await.unwrap();
    let run = async |sql: String| {
        let done = sea_orm::ConnectionTrait::execute_unprepared(&admin, &sql);
        done.await.unwrap();
    };
    run(format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{DATABASE_PASSWORD}'"
    ))
    .await;
    run(format!("GRANT CREATE, USAGE ON SCHEMA public TO {role}")).await;
    let url = url.replace("://symbolon:", &format!("://{role}:"));
    let instance = Instance::start(&url);
    instance.register("ada").await;
    let token = instance.sign_in("ada").await;
    let tables = "SELECT tablename::text FROM pg_tables \
        WHERE tablename LIKE 'symbolon_%' AND tablename <> 'symbolon_migration'";
    let tables = Statement::from_string(DbBackend::Postgres, tables);
    let tables = admin.query_all_raw(tables).await.unwrap();
    let tables = tables.iter().map(|row| row.try_get_by_index(0).unwrap());
    let updates = tables.map(|table: String| format!("UPDATE ON {table}"));
    let others = [
        "INSERT ON symbolon_audit_event",
        "USAGE ON SCHEMA public",
        "EXECUTE ON FUNCTION pg_notify(text, text)",
    ];
    let privileges: Vec<_> = updates.chain(others.map(str::to_owned)).collect();
    assert!(privileges.len() > others.len());
    for privilege in &privileges {
        run(format!("REVOKE {privilege} FROM PUBLIC, {role}")).await;
        is_out_of_service(&instance, &token).await;
        run(format!("GRANT {privilege} TO {role}")).await;
        eventually("the server answers again", async || {
            (instance.is_ready().await && instance.accepts(&token).await).then_some(())
        })
        .await;
    }
    admin.close().await.unwrap();
    // The role is read-only by configuration.
    server.run(&[format!(
        "ALTER DATABASE {database} SET default_transaction_read_only = on"
    )]);
    let late = Instance::start(&url);
    assert!(!late.is_ready().await && !late.accepts(&token).await);
}

/// Like a load balancer that leads some connections to a standby.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn a_new_connection_that_cannot_write_is_not_used() {
    let server = shared_postgres();
    let url = server.create();
    let (_, database) = url.rsplit_once('/').unwrap();
    let instance = Instance::with_default_acquire_timeout(&url);
    instance.register("ada").await;
    let admin = sea_orm::Database::connect(&url).await.unwrap();
    // The connections of the heartbeat are not closed.
    for sql in [
        &format!("ALTER DATABASE {database} SET default_transaction_read_only = on"),
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
            WHERE datname = current_database() AND application_name = 'symbolon' \
            AND query NOT LIKE '%pg_notify%' AND query NOT LIKE 'LISTEN%'",
    ] {
        let done = sea_orm::ConnectionTrait::execute_unprepared(&admin, sql);
        done.await.unwrap();
    }
    let unknown = "A".repeat(32);
    for _ in 0..3 {
        let answer = instance.me(&unknown).await;
        assert_eq!(answer.error(), ("SERVICE_UNAVAILABLE", ""), "{answer:?}");
    }
    admin.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn an_instance_uses_one_schema_and_refuses_a_search_path_that_hides_its_tables() {
    let server = shared_postgres();
    let url = server.create();
    let instance = Instance::start(&url);
    instance.register("ada").await;
    let token = instance.sign_in("ada").await;
    let admin = sea_orm::Database::connect(&url).await.unwrap();
    // The default search_path begins with the schema named after the role.
    let create = "CREATE SCHEMA symbolon AUTHORIZATION symbolon";
    sea_orm::ConnectionTrait::execute_unprepared(&admin, create)
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut second = unconfigured_symbolon(folder.path());
    second
        .args(["serve", "--port", "0", "--database-url", &url])
        .env("SYMBOLON_SECRET_KEY_FILE", common_key());
    let (code, _, error) = finish(&mut second);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("are in the schema public"), "{error}");
    assert!(error.contains("begins with the schema symbolon"), "{error}");
    // The first instance keeps its schema on new connections.
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'symbolon'";
    sea_orm::ConnectionTrait::execute_unprepared(&admin, end)
        .await
        .unwrap();
    eventually("the pool has new connections", async || {
        instance.is_ready().await.then_some(())
    })
    .await;
    assert!(instance.accepts(&token).await);
    assert_eq!(instance.sign_in("ada").await, token);
    // An instance whose URL names the schema starts.
    let named = format!("{url}?options=-csearch_path%3Dpublic");
    let third = Instance::start(&named);
    assert!(third.is_ready().await && third.accepts(&token).await);
    admin.close().await.unwrap();
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
