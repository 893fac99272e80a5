//! Damage to the files of the database of a running server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;

use super::disk_faults::{BEGIN, END};
use crate::support::server_on_sqlite::ServerOnSqlite;
use crate::support::{Answer, Server};

#[tokio::test]
async fn a_deleted_or_replaced_database_file_is_not_written() {
    for replace in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::on_sqlite(folder.path());
        server.register("ada").await;
        let token = server.sign_in("ada").await;
        let (file, moved) = (folder.path().join("symbolon.db"), folder.path().join("old"));
        std::fs::rename(&file, &moved).unwrap();
        if replace {
            std::fs::copy(&moved, &file).unwrap();
        }
        for _ in 0..3 {
            let refused = server.registration("bob").send().await;
            assert_eq!(refused.error(), ("SERVICE_UNAVAILABLE", ""), "{refused:?}");
            // Another process can revoke the token in the other file.
            let refused = server.me(&token).await;
            assert_eq!(refused.error(), ("SERVICE_UNAVAILABLE", ""), "{refused:?}");
            let refused = Answer::of(
                server
                    .request(Method::DELETE, "/tokens")
                    .bearer_auth(&token),
            );
            assert_eq!(refused.await.status, 503);
        }
        let ready = Answer::of(server.request(Method::GET, "/readyz")).await;
        assert_eq!(ready.status, 503);
        let log = server.log_when(|log| log.contains(BEGIN));
        assert_eq!(log.matches(BEGIN).count(), 1, "{log}");
        assert!(log.contains("was deleted or replaced"), "{log}");
        // The original file is back.
        std::fs::rename(&moved, &file).unwrap();
        let done = server.registration("bob").send().await;
        assert!(done.at("/data/createUser/user/id").is_string(), "{done:?}");
        server.log_when(|log| log.contains(END));
    }
}

#[tokio::test]
async fn a_deleted_journal_stops_writes() {
    for name in ["symbolon.db-wal", "symbolon.db-shm"] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::on_sqlite(folder.path());
        server.register("ada").await;
        std::fs::remove_file(folder.path().join(name)).unwrap();
        let refused = server.registration("bob").send().await;
        assert_eq!(refused.error(), ("SERVICE_UNAVAILABLE", ""), "{refused:?}");
        assert!(server.log().contains(name), "{}", server.log());
    }
}

/// A change of a file.
type Harm = fn(&Path);

#[tokio::test]
async fn a_server_survives_damage_to_its_own_files() {
    use std::os::unix::fs::PermissionsExt;
    let harms: [(&str, Harm); 6] = [
        ("deleted", |file| fs::remove_file(file).unwrap()),
        ("truncated", |file| {
            let file = fs::File::options().write(true).open(file).unwrap();
            file.set_len(0).unwrap();
        }),
        ("replaced", |file| {
            let other = file.with_extension("other");
            fs::copy(file, &other).unwrap();
            fs::rename(other, file).unwrap();
        }),
        ("replaced by a folder", |file| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        }),
        ("made unwritable", |file| {
            fs::set_permissions(file, fs::Permissions::from_mode(0o000)).unwrap();
        }),
        ("locked", |file| {
            let file = fs::File::open(file).unwrap();
            // The server holds its own lock on the lock file.
            let _ = file.try_lock();
            // The lock is held until the test process ends.
            std::mem::forget(file);
        }),
    ];
    let mut violations = Vec::new();
    for (name, harm) in harms {
        let scenario = ServerOnSqlite::start().await;
        let token = scenario.session().await;
        scenario.own_files().iter().for_each(|file| harm(file));
        let accepted = scenario.accepts(&token).await;
        if accepted != Ok(true) {
            violations.push(format!("{name}: {accepted:?}"));
            continue;
        }
        // Shorter than the time for which the server keeps an idle connection.
        let limit = ["timeout", "5"].map(str::to_owned);
        let (code, printed) = scenario.command(&limit, "token revoke ada");
        let (accepted, is_live) = scenario.compare(&token).await;
        let has_ended = code.is_some_and(|code| code < 100);
        // The command can fail. The server follows the database in any case.
        if accepted != Ok(is_live) || is_live && code == Some(0) || !has_ended {
            violations.push(format!(
                "{name}: the command {code:?} {printed:?}, the database {is_live}, the server {accepted:?}"
            ));
            continue;
        }
        let token = scenario.session().await;
        let end = scenario
            .server
            .request(Method::DELETE, "/tokens")
            .bearer_auth(&token);
        let ended = Answer::try_of(end.timeout(Duration::from_secs(10))).await;
        let ended = ended.map(|answer| answer.status.as_u16());
        if !matches!(ended, Ok(204)) || scenario.compare(&token).await != (Ok(false), false) {
            violations.push(format!(
                "{name}: a revocation through the server: {ended:?}"
            ));
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}
