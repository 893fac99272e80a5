//! The command `symbolon backup`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{
    Server, finish, succeed, symbolon, unconfigured_symbolon, without_database_line,
};

fn back_up(folder: &Path, file: &str) -> (Option<i32>, String, String) {
    finish(unconfigured_symbolon(folder).args(["backup", file]))
}

mod sqlite {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_backup_contains_every_change_acknowledged_before_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::on_sqlite(folder.path());
        server.register("ada").await;
        server.register("bob").await;
        let (ada, bob) = (server.sign_in("ada").await, server.sign_in("bob").await);
        let revoke = server.graphql("mutation { revokeToken }").bearer(&bob);
        assert_eq!(revoke.send().await.at("/data/revokeToken"), true);
        // Registrations continue during the backup.
        let over = AtomicBool::new(false);
        let writes = async {
            for number in 0.. {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                server.register(&format!("u{number}")).await;
            }
        };
        let copies = async {
            for number in 0..5 {
                let file = format!("copy{number}.db");
                let (code, output, error) =
                    tokio::task::block_in_place(|| back_up(folder.path(), &file));
                assert_eq!((code, without_database_line(&error)), (Some(0), ""));
                assert!(
                    output.starts_with(&file) && output.contains("does not contain the server key"),
                    "{output}"
                );
            }
            over.store(true, Ordering::SeqCst);
        };
        tokio::join!(writes, copies);
        drop(server);

        let restored = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy4.db");
        assert_eq!(
            fs::metadata(&copy).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::copy(&copy, restored.path().join("symbolon.db")).unwrap();
        let key = "symbolon.db.key";
        fs::copy(folder.path().join(key), restored.path().join(key)).unwrap();
        let server = Server::on_sqlite(restored.path());
        for (token, is_alive) in [(&ada, true), (&bob, false)] {
            let me = server.graphql("{ me { username } }").bearer(token);
            assert_eq!(me.send().await.at("/data/me").is_object(), is_alive);
        }
        assert_eq!(server.sign_in("ada").await, ada);
    }

    #[test]
    fn a_backup_overwrites_no_file_and_leaves_no_partial_file() {
        let folder = tempfile::tempdir().unwrap();
        let (code, ..) = finish(unconfigured_symbolon(folder.path()).arg("migrate"));
        assert_eq!(code, Some(0));
        fs::write(folder.path().join("taken"), "precious").unwrap();
        for (file, expected_text) in [
            ("taken", "taken already exists"),
            ("symbolon.db", "symbolon.db already exists"),
            ("missing/copy.db", "missing/copy.db cannot be written to"),
        ] {
            let (code, _, error) = back_up(folder.path(), file);
            let error = without_database_line(&error);
            assert_eq!((code, error.lines().count()), (Some(1), 1), "{error}");
            assert!(error.contains(expected_text), "{error}");
        }
        assert_eq!(fs::read(folder.path().join("taken")).unwrap(), b"precious");
        let names = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let expected = [
            "symbolon.db",
            "symbolon.db-lock",
            "symbolon.db.key",
            "taken",
        ];
        assert_eq!(names, expected);
    }
}

mod postgres {
    use super::*;

    #[test]
    #[ignore = "needs PostgreSQL, which scripts/test installs"]
    fn the_backup_command_refers_to_pg_dump() {
        let folder = tempfile::tempdir().unwrap();
        let url = crate::support::shared_postgres().create();
        let on_postgres = || {
            let mut command = symbolon(folder.path());
            command.env("DATABASE_URL", &url);
            command.env("SYMBOLON_SECRET_KEY_FILE", crate::support::common_key());
            command
        };
        succeed(on_postgres().arg("migrate"));
        let (code, _, error) = finish(on_postgres().args(["backup", "copy.db"]));
        let error = without_database_line(&error);
        assert_eq!((code, error.lines().count()), (Some(1), 1), "{error}");
        assert!(error.contains("pg_dump"), "{error}");
    }
}
