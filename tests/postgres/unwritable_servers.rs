//! PostgreSQL servers that cannot write: standbys, and missing privileges.

use std::fs;

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::support::{
    DATABASE_PASSWORD, Instance, Postgres, end_connections, eventually, shared_postgres,
};

/// Waits until the instance refuses a live token and is not ready.
pub async fn is_out_of_service(instance: &Instance, token: &str) {
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
    let updates: Vec<String> = updates.collect();
    // A table of an application does not count as one of Symbolon's tables.
    run("CREATE TABLE symbolon_profile (id bigint)".to_owned()).await;
    run(format!("GRANT ALL ON symbolon_profile TO {role}")).await;
    let others = [
        "INSERT ON symbolon_audit_event",
        "USAGE ON SCHEMA public",
        "EXECUTE ON FUNCTION pg_notify(text, text)",
    ];
    let privileges: Vec<_> = updates
        .into_iter()
        .chain(others.map(str::to_owned))
        .collect();
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
