//! A server that is killed during `resetPassword`. The reset is either done or not done.

use std::path::Path;
use std::time::{Duration, Instant};

use sea_orm::{EntityTrait, QueryOrder};
use serde_json::json;

use super::{BASE, is_done, reset, signs_in};
use crate::support::{
    Answer, Cli, Client, PASSWORD, Server, database_in, finish, symbolon, unthrottled,
};

/// The user `ada` with a session, an access token and a reset link.
struct Before {
    password: String,
    session: String,
    access: String,
    token: String,
    /// The id of the row of the link.
    links: Vec<i64>,
}

fn link(folder: &Path, line: &str) -> String {
    let mut command = symbolon(folder);
    command
        .env("SYMBOLON_PUBLIC_URL", BASE)
        .args(line.split(' '));
    let (code, output, error) = finish(&mut command);
    assert_eq!(code, Some(0), "{line}: {error}");
    let created: serde_json::Value = serde_json::from_str(&output).unwrap();
    created["token"].as_str().unwrap().to_owned()
}

async fn rows(folder: &Path) -> Vec<entity::one_time_token::Model> {
    let database = database_in(folder).await;
    let rows =
        entity::one_time_token::Entity::find().order_by_asc(entity::one_time_token::Column::Id);
    let rows = rows.all(&database).await.unwrap();
    database.close().await.unwrap();
    rows
}

impl Before {
    async fn new(server: &Client, folder: &Path, password: &str) -> Self {
        let create = |field: &str| server.graphql(&format!("mutation {{ {field} }}"));
        let session = create("createToken { token }")
            .basic("ada", password)
            .send()
            .await;
        let name = rows(folder).await.len();
        let access = format!(r#"createAccessToken(input: {{ name: "{name}" }}) {{ token }}"#);
        let access = create(&access).basic("ada", password).send().await;
        let token = link(folder, "user reset-link ada --json");
        let unused = rows(folder)
            .await
            .into_iter()
            .filter(|row| row.used_at.is_none());
        Self {
            password: password.to_owned(),
            session: session.string("/data/createToken/token").to_owned(),
            access: access.string("/data/createAccessToken/token").to_owned(),
            token,
            links: unused.map(|row| row.id).collect(),
        }
    }

    /// Checks that everything that a reset changes is changed, or that nothing is. Returns whether the reset is done.
    async fn check(&self, server: &Client, folder: &Path, new: &str) -> bool {
        let of_reset = rows(folder)
            .await
            .into_iter()
            .filter(|row| self.links.contains(&row.id));
        let is_used: Vec<_> = of_reset.map(|row| row.used_at.is_some()).collect();
        let (session, access) = (
            server.accepts(&self.session).await,
            server.accepts(&self.access).await,
        );
        let (old, new) = (
            signs_in(server, "ada", &self.password).await,
            signs_in(server, "ada", new).await,
        );
        let state = (is_used, session, access, old, new);
        if new {
            assert_eq!(state, (vec![true], false, false, false, true));
        } else {
            assert_eq!(state, (vec![false], true, true, true, false));
        }
        new
    }
}

/// Returns the passwords of two successive rounds.
fn passwords(round: usize) -> (String, String) {
    let password = |round| match round {
        0 => PASSWORD.to_owned(),
        _ => format!("a good password {round}"),
    };
    (password(round), password(round + 1))
}

#[tokio::test]
async fn a_reset_in_a_killed_server_is_done_or_not_done() {
    let cli = Cli::with_users(&["ada"]);
    let folder = cli.folder.path();
    let (mut done, mut acknowledged) = (0, 0);
    // The time of a reset, which the first round measures.
    let mut duration = Duration::from_secs(10);
    for round in 0..12 {
        let mut server = Server::configured(folder, unthrottled);
        let (password, new) = passwords(done);
        let before = Before::new(&server, folder, &password).await;
        let request = reset_request(&server, &before.token, &new);
        let started = Instant::now();
        let mut sent = tokio::spawn(async move {
            let answer = Answer::try_of(request).await;
            answer.is_ok_and(|answer| is_done(&answer))
        });
        let delay = if round == 0 {
            duration
        } else {
            duration * round / 9
        };
        let answered = tokio::time::timeout(delay, &mut sent).await.ok();
        if round == 0 {
            duration = started.elapsed();
        }
        server.process.signal("KILL");
        assert!(!server.process.wait(Duration::from_secs(10)).success());
        let is_acknowledged = match answered {
            Some(answer) => answer.unwrap(),
            None => sent.await.unwrap(),
        };
        let server = Server::configured(folder, unthrottled);
        let is_done = before.check(&server, folder, &new).await;
        assert!(is_done || !is_acknowledged, "round {round}");
        done += usize::from(is_done);
        acknowledged += usize::from(is_acknowledged);
        // The link of a reset that is not done still works.
        if !is_done {
            assert!(super::is_done(&reset(&server, &before.token, &new).await));
            assert!(before.check(&server, folder, &new).await);
            done += 1;
        }
        println!("round {round}: done {is_done}, acknowledged {is_acknowledged}");
    }
    println!("acknowledged: {acknowledged}");
}

fn reset_request(server: &Client, token: &str, new: &str) -> reqwest::RequestBuilder {
    let document =
        "mutation($t: String!, $p: String!) { resetPassword(token: $t, newPassword: $p) {
        user { username } } }";
    let body = json!({ "query": document, "variables": { "t": token, "p": new } });
    server
        .request(reqwest::Method::POST, "/graphql")
        .json(&body)
}

mod sqlite {
    use super::*;
    use crate::support::{Injection, database_files, is_exhaustive};

    /// Kills the server at each write and each sync of the database files during a reset, until a reset needs fewer
    /// calls than the number.
    #[tokio::test]
    #[ignore = "needs strace, which scripts/test installs"]
    async fn a_reset_killed_at_any_write_is_done_or_not_done() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let start = || Server::on_sqlite_configured(&folder, unthrottled);
        let server = start();
        server.register("ada").await;
        drop(server);
        let (mut round, mut killed) = (0, 0);
        for (call, step) in [("pwrite64", 2), ("fsync,fdatasync", 1)] {
            let step = if is_exhaustive() { 1 } else { step };
            for number in (1..100).step_by(step) {
                let mut server = start();
                let (password, new) = passwords(round);
                let before = Before::new(&server, &folder, &password).await;
                let files = database_files(&folder.join("symbolon.db"));
                let trace = folder.join("trace");
                let injection = Injection::kill(server.process.id(), &files, call, number, &trace);
                let request = reset_request(&server, &before.token, &new);
                let answer = Answer::try_of(request.timeout(Duration::from_secs(10))).await;
                let is_acknowledged = answer.is_ok_and(|answer| is_done(&answer));
                drop(injection);
                if is_acknowledged {
                    server.process.signal("KILL");
                }
                assert!(!server.process.wait(Duration::from_secs(10)).success());
                let server = start();
                let is_done = before.check(&server, &folder, &new).await;
                println!("{call} {number}: done {is_done}, acknowledged {is_acknowledged}");
                assert!(is_done || !is_acknowledged);
                if !is_done {
                    assert!(super::super::is_done(
                        &reset(&server, &before.token, &new).await
                    ));
                }
                round += 1;
                if is_acknowledged {
                    break;
                }
                killed += 1;
            }
        }
        assert!(killed >= 4, "{killed}");
    }
}
