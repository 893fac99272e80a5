//! The schema in which an instance uses tables.

use crate::support::{
    Instance, common_key, eventually, finish, shared_postgres, unconfigured_symbolon,
};

#[test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
fn a_database_that_cannot_store_all_characters_is_refused() {
    let server = shared_postgres();
    for (encoding, is_refused) in [("LATIN1", true), ("SQL_ASCII", false)] {
        let name = server.new_name();
        let create =
            format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        server.run(&[create]);
        let folder = tempfile::tempdir().unwrap();
        let mut migrate = unconfigured_symbolon(folder.path());
        migrate
            .args(["migrate", "--database-url", &server.url(&name)])
            .env("SYMBOLON_SECRET_KEY_FILE", common_key());
        let (code, _, error) = finish(&mut migrate);
        assert_eq!(code, Some(i32::from(is_refused)), "{error}");
        let message = format!("has the encoding {encoding}, which cannot represent");
        assert_eq!(error.contains(&message), is_refused, "{error}");
    }
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
