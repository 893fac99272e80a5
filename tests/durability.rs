//! Durability of acknowledged changes.

use std::fs;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::cli_database_selection::command_on_sqlite;
use crate::support::{Answer, PASSWORD, Server, succeed, unthrottled};

#[tokio::test]
async fn acknowledged_changes_survive_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    let client = reqwest::Client::new();
    let mut server = Server::configured(folder.path(), unthrottled);
    let mut alive = Vec::new();
    for round in 0..5 {
        let name = format!("user{round}");
        server.register(&name).await;
        let revoked = server.sign_in(&name).await;
        let end = server.request(Method::DELETE, "/tokens");
        let ended = Answer::of(end.bearer_auth(&revoked)).await;
        assert_eq!(ended.status, 204);
        // More requests are under way when the process is killed.
        let racing = (0..8).map(|n| {
            let (client, url) = (client.clone(), format!("{}/graphql", server.base));
            let query = format!(
                r#"mutation {{ createUser(input: {{username: "r{round}-{n}", password: "{PASSWORD}"}}) {{ user {{ id }} }} }}"#
            );
            tokio::spawn(async move {
                let request = client.post(url).json(&json!({ "query": query }));
                request.send().await.is_ok_and(|answer| answer.status() == 200)
            })
        });
        let racing: Vec<_> = racing.collect();
        let dead_name = format!("dead{round}");
        server.register(&dead_name).await;
        alive.push((dead_name.clone(), server.sign_in(&dead_name).await));
        server.process.signal("KILL");
        assert!(!server.process.wait(Duration::from_secs(10)).success());
        let acknowledged = futures_util::future::join_all(racing).await;
        server = Server::configured(folder.path(), unthrottled);
        for (n, acknowledged) in acknowledged.into_iter().enumerate() {
            if acknowledged.unwrap() {
                server.sign_in(&format!("r{round}-{n}")).await;
            }
        }
        let answer = server.me(&revoked).await;
        assert_eq!(answer.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
        for (name, token) in &alive {
            let answer = server.me(token).await;
            assert_eq!(answer.at("/data/me/username"), name.as_str());
            assert_eq!(&server.sign_in(name).await, token);
        }
    }
}

mod sqlite {
    use super::*;

    #[tokio::test]
    async fn a_command_reads_the_journal_of_a_killed_server() {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::on_sqlite(folder.path());
        server.register("ada").await;
        server.process.signal("KILL");
        server.process.wait(std::time::Duration::from_secs(30));
        fs::remove_file(folder.path().join("symbolon.db-shm")).unwrap();
        let listed = succeed(&mut command_on_sqlite(folder.path(), "user list --json"));
        assert!(listed.contains(r#""username":"ada""#), "{listed}");
    }
}
