//! `symbolon token revoke --all`.

use std::fs;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{
    Answer, Cli, Server, finish, poll_until_propagated, unconfigured_symbolon, unthrottled,
};

/// More users than one transaction changes.
const ACCOUNTS: usize = 130;

async fn access(server: &Server, name: &str) -> String {
    server.access_token(name, json!({ "name": "laptop" })).await
}

#[tokio::test]
async fn all_sessions_and_access_tokens_end_in_the_running_server() {
    let cli = Cli::new();
    let server = Server::configured(cli.folder.path(), unthrottled);
    let names: Vec<_> = (0..ACCOUNTS)
        .map(|number| format!("user-{number}"))
        .collect();
    for some in names.chunks(10) {
        let registered = some.iter().map(|name| server.registration(name).send());
        for answer in join_all(registered).await {
            assert!(
                answer.at("/data/createUser/user/id").is_string(),
                "{answer:?}"
            );
        }
    }
    let (mut sessions, mut accesses) = (Vec::new(), Vec::new());
    for (number, name) in names.iter().enumerate() {
        // Some users have both kinds of tokens, some have one kind, and some have none.
        if number % 3 != 0 {
            sessions.push(server.sign_in(name).await);
        }
        if number % 3 != 1 && number % 2 == 0 {
            accesses.push(access(&server, name).await);
        }
    }
    // This caches the identities.
    for token in sessions.iter().chain(&accesses) {
        assert!(server.me(token).await.at("/data/me/username").is_string());
    }

    let refused = cli.refusal("token revoke --all", "y\n");
    let says = "no token is revoked: standard input is not a terminal, and --yes is not given";
    assert_eq!(refused, says);
    assert!(server.me(&sessions[0]).await.at("/data/me").is_object());

    let live = sessions.len() + accesses.len();
    let ended = cli.json("token revoke --all --yes");
    assert_eq!(ended, [json!({ "revoked": live })]);
    let is_refused = |answer: &Answer| answer.at("/data/me").is_null();
    for (tokens, reason) in [(&sessions, "TOKEN_EXPIRED"), (&accesses, "TOKEN_INVALID")] {
        for token in tokens {
            let answer = poll_until_propagated(async || server.me(token).await, is_refused).await;
            assert_eq!(answer.error(), ("UNAUTHENTICATED", reason));
        }
    }
    assert_eq!(
        cli.run("token list"),
        "username  type  name  token  expires\n"
    );
    let events = cli.json("audit --kind token_revoked --limit 1000");
    assert_eq!(events.len(), live);
    assert!(events.iter().all(|event| event["actorId"] == Value::Null));

    // A second run finds no live token, and new tokens work.
    let again = cli.run("token revoke --all --yes");
    assert_eq!(again, "live tokens of all users revoked: 0\n");
    let token = server.sign_in("user-1").await;
    assert_eq!(server.me(&token).await.at("/data/me/username"), "user-1");
}

#[test]
fn token_revoke_requires_either_a_user_or_all() {
    let cli = Cli::with_users(&["ada"]);
    for line in [
        "token revoke",
        "token revoke ada --all",
        "token revoke --yes",
    ] {
        let (code, output, _) = finish(&mut cli.command(line));
        assert_eq!((code, output.as_str()), (Some(2), ""), "{line}");
    }
}

mod sqlite {
    use super::*;

    #[tokio::test]
    async fn revoke_all_ends_tokens_that_a_restored_backup_revived() {
        let folder = tempfile::tempdir().unwrap();
        let run = |line: &str| {
            let (code, output, error) =
                finish(unconfigured_symbolon(folder.path()).args(line.split(' ')));
            assert_eq!(code, Some(0), "{line}: {error}");
            output
        };
        let server = Server::on_sqlite(folder.path());
        server.register("ada").await;
        let (token, laptop) = (server.sign_in("ada").await, access(&server, "ada").await);
        run("backup copy.db");
        run("token revoke ada");
        for token in [&token, &laptop] {
            assert!(server.me(token).await.at("/data/me").is_null());
        }
        drop(server);
        let path = |name: &str| folder.path().join(name);
        for name in ["symbolon.db-wal", "symbolon.db-shm"] {
            let _ = fs::remove_file(path(name));
        }
        fs::rename(path("copy.db"), path("symbolon.db")).unwrap();
        let server = Server::on_sqlite(folder.path());
        for token in [&token, &laptop] {
            assert!(server.me(token).await.at("/data/me").is_object());
        }
        // A new server key ends neither token.
        drop(server);
        fs::remove_file(path("symbolon.db.key")).unwrap();
        let server = Server::on_sqlite(folder.path());
        for token in [&token, &laptop] {
            assert!(server.me(token).await.at("/data/me").is_object());
        }
        let output = run("token revoke --all --yes");
        assert_eq!(output, "live tokens of all users revoked: 2\n");
        for token in [&token, &laptop] {
            assert!(server.me(token).await.at("/data/me").is_null());
        }
    }
}
