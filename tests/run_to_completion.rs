//! Mutations that complete although their clients do not wait.

use std::io::Write;

use sea_orm::EntityTrait;

use crate::http_connections::{COSTLY, registration};
use crate::support::raw_http::connect;
use crate::support::{Answer, database_in, eventually, server_with};

#[tokio::test]
async fn a_mutation_completes_although_its_client_disconnects() {
    let (_folder, server) = server_with(&COSTLY);
    let mut stream = connect(&server);
    stream.write_all(registration("ada").as_bytes()).unwrap();
    drop(stream);
    eventually("the user exists", async || {
        let answer = Answer::of(server.post_tokens("ada")).await;
        answer.at("/token").is_string().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_timeout_does_not_cancel_the_mutation() {
    // The largest permitted parameters: 256 MiB, 16 iterations.
    let (folder, server) = server_with(&[
        ("SYMBOLON_REQUEST_TIMEOUT", "1"),
        ("SYMBOLON_ARGON2_MEMORY", "262144"),
        ("SYMBOLON_ARGON2_ITERATIONS", "16"),
    ]);
    let answer = server.registration("ada").send().await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.error(), ("SERVICE_UNAVAILABLE", ""));
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.body.get("data"), None);
    let database = database_in(folder.path()).await;
    let user = entity::user::Entity::find_by_id(1);
    let made = eventually("the user exists", async || {
        user.clone().one(&database).await.unwrap()
    });
    assert_eq!(made.await.username, "ada");
    database.close().await.unwrap();
}
