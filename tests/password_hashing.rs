//! Password hashes: replacement, excessive parameters, and foreign hashes.

use sea_orm::{ConnectionTrait, Statement};

use crate::sign_in::{CREATE, attempt};
use crate::support::TestApp;

/// Sets the hash of every user to that of [`PASSWORD`] by Werkzeug 3.1.9.
pub const IMPORTED: &str = "UPDATE symbolon_user SET password_hash = \
    'imported:scrypt:32768:8:1$Sttm1Ddh3Gdi0D3d$9cd60f905c566dcf2b736148507223ab70140509b498dca5\
    534a048cd26ccf68fdef962b9c4123c75a03db223405fca993ea0858d6aa4fc20160d40a73223f1a'";

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
    for (cheap, costly) in [("m=8,", "m=262145,"), ("t=1,", "t=17,"), ("p=1$", "p=17$")] {
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
