//! The command `symbolon restore`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{
    Answer, PASSWORD, Server, finish, finish_with, unconfigured_symbolon, without_database_line,
};

fn on_sqlite(folder: &Path, line: &str) -> Command {
    let mut command = unconfigured_symbolon(folder);
    command
        .env("SYMBOLON_ARGON2_MEMORY", "8")
        .env("SYMBOLON_ARGON2_ITERATIONS", "1")
        .args(line.split_whitespace());
    command
}

fn run(folder: &Path, line: &str) -> String {
    let (code, output, error) = finish_with(&mut on_sqlite(folder, line), PASSWORD);
    assert_eq!(code, Some(0), "{line}: {error}");
    output
}

fn refusal(folder: &Path, line: &str) -> String {
    let (code, output, error) = finish(&mut on_sqlite(folder, line));
    assert_eq!((code, output.as_str()), (Some(1), ""), "{line}: {error}");
    let refusal = without_database_line(&error);
    assert_eq!(refusal.lines().count(), 1, "{error}");
    refusal.to_owned()
}

fn users(folder: &Path) -> usize {
    run(folder, "user list --json").lines().count()
}

/// Returns the folders beside the database.
fn folders(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect()
}

/// The number of calls of each kind before which the command is killed.
const POINTS: usize = 4;

mod sqlite {
    use super::*;
    use sea_orm::{ConnectionTrait, Database};

    async fn me(server: &Server, token: &str) -> Answer {
        server
            .graphql("{ me { username } }")
            .bearer(token)
            .send()
            .await
    }

    #[tokio::test]
    async fn tokens_end_unless_they_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let server = Server::on_sqlite(path);
        server.register("ada").await;
        let shared = server.sign_in("ada").await;
        let device = server.sign_in_on("ada", "phone").await;
        run(path, "backup backup.db");
        server.register("bob").await;
        let error = refusal(path, "restore backup.db --yes");
        assert!(
            error.contains("a server or another command is using"),
            "{error}"
        );
        assert_eq!(me(&server, &shared).await.at("/data/me/username"), "ada");
        // A killed server leaves its journal.
        server.process.signal("KILL");
        drop(server);
        assert!(path.join("symbolon.db-wal").exists());
        let backup = fs::read(path.join("backup.db")).unwrap();
        for (line, number, is_kept) in [
            ("restore backup.db --yes --keep-tokens", 1, true),
            ("restore backup.db --yes", 2, false),
            ("restore backup.db --yes", 3, false),
        ] {
            let output = run(path, line);
            let replaced = format!("symbolon.db.before-restore-{number}");
            assert!(output.contains(&replaced), "{output}");
            assert_eq!(
                output.contains("live tokens of the backup revoked: 2"),
                !is_kept
            );
            assert_eq!(users(path), 1);
            let server = Server::on_sqlite(path);
            for token in [&shared, &device] {
                assert_eq!(me(&server, token).await.at("/data/me").is_object(), is_kept);
            }
            drop(server);
        }
        assert_eq!(fs::read(path.join("backup.db")).unwrap(), backup);
        let revoked = run(path, "audit --kind token_revoked --json");
        assert_eq!(revoked.lines().count(), 2, "{revoked}");
        // The replaced database includes the changes of its journal.
        let first = "sqlite://symbolon.db.before-restore-1";
        let list = run(path, &format!("user list --json --database-url {first}"));
        assert_eq!(list.lines().count(), 2);
        let mode = std::os::unix::fs::PermissionsExt::mode;
        for file in ["symbolon.db", "symbolon.db.before-restore-1"] {
            let permissions = fs::metadata(path.join(file)).unwrap().permissions();
            assert_eq!(mode(&permissions) & 0o777, 0o600, "{file}");
        }
    }

    #[tokio::test]
    async fn a_backup_that_cannot_be_used_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        run(path, "migrate");
        run(path, "user add ada");
        run(path, "backup newer.db");
        run(path, "backup older.db");
        fs::write(path.join("text"), "x".repeat(10_000)).unwrap();
        fs::write(path.join("empty"), "").unwrap();
        let damaged = fs::read(path.join("older.db")).unwrap();
        let middle = damaged.len() / 2;
        let damaged = [
            &damaged[..middle],
            &[0xaa; 5000][..],
            &damaged[middle + 5000..],
        ]
        .concat();
        fs::write(path.join("damaged"), damaged).unwrap();
        std::os::unix::fs::symlink("symbolon.db", path.join("link")).unwrap();
        let url = |file: &str| format!("sqlite://{}", path.join(file).display());
        let newer = Database::connect(url("newer.db")).await.unwrap();
        let wings = "INSERT INTO symbolon_migration VALUES ('m20990101_000001_wings', 0)";
        newer.execute_unprepared(wings).await.unwrap();
        newer.close().await.unwrap();
        let before = fs::read(path.join("symbolon.db")).unwrap();
        for (file, table) in [("a.db", "audit_event"), ("b.db", "throttle")] {
            fs::copy(path.join("older.db"), path.join(file)).unwrap();
            let incomplete = Database::connect(url(file)).await.unwrap();
            if file == "b.db" {
                <migration::Migrator as migration::MigratorTrait>::down(&incomplete, Some(1))
                    .await
                    .unwrap();
            }
            let drop = format!("DROP TABLE symbolon_{table}");
            incomplete.execute_unprepared(&drop).await.unwrap();
            incomplete.close().await.unwrap();
        }
        for (file, expected) in [
            (
                "a.db",
                "the backup a.db is damaged: the table symbolon_audit_event is missing",
            ),
            ("a.db --keep-tokens", "symbolon_audit_event is missing"),
            (
                "b.db --keep-tokens",
                "the backup b.db is damaged: the table symbolon_throttle is missing",
            ),
            ("missing", "cannot be read"),
            (".", "it is not a file"),
            ("text", "not an SQLite database"),
            ("empty", "the file is empty"),
            ("damaged", "damaged"),
            (
                "newer.db",
                "the backup newer.db was written by a newer version",
            ),
            ("symbolon.db", "is the database itself"),
            ("link", "is the database itself"),
        ] {
            let error = refusal(path, &format!("restore {file} --yes"));
            assert!(error.contains(expected), "{file}: {error}");
            assert_eq!(
                fs::read(path.join("symbolon.db")).unwrap(),
                before,
                "{file}"
            );
            assert_eq!(folders(path), [""; 0]);
        }
        let check = finish(&mut on_sqlite(path, "check --database-url sqlite://a.db"));
        assert_eq!(check.0, Some(1));
        let missing = "symbolon_audit_event is missing";
        assert!(check.1.contains(missing), "{}", check.1);
        let error = refusal(path, "restore older.db");
        assert!(error.contains("--yes is not given"), "{error}");
        // A lost database is restored, and a backup of an older version is migrated.
        let older = Database::connect(url("older.db")).await.unwrap();
        <migration::Migrator as migration::MigratorTrait>::down(&older, Some(1))
            .await
            .unwrap();
        older.close().await.unwrap();
        fs::remove_file(path.join("symbolon.db")).unwrap();
        run(path, "restore older.db --yes");
        assert_eq!(users(path), 1);
        let mut postgres = on_sqlite(path, "restore older.db --yes");
        postgres.env("DATABASE_URL", "postgres://a:secret@h/d");
        let (_, _, error) = finish(&mut postgres);
        assert!(
            error.contains("pg_restore") && !error.contains("secret"),
            "{error}"
        );
    }

    #[test]
    fn only_the_database_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        run(path, "migrate");
        run(path, "user add ada");
        // A folder of the user has the name of the folder of a killed command.
        fs::create_dir(path.join("symbolon.db-restore")).unwrap();
        run(path, "backup symbolon.db-restore/backup.db");
        run(path, "restore symbolon.db-restore/backup.db --yes");
        run(path, "restore symbolon.db-restore/backup.db --yes");
        assert_eq!(folders(path), ["symbolon.db-restore"]);
        // The result is reported even if standard output cannot be written to.
        let mut full = on_sqlite(path, "restore symbolon.db-restore/backup.db --yes");
        let device = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = full.stdout(device).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(error.contains("symbolon.db is restored from"), "{error}");
        let restore = "restore symbolon.db-restore/backup.db --yes --database-url sqlite://";
        std::os::unix::fs::symlink("unmounted/symbolon.db", path.join("link.db")).unwrap();
        let error = refusal(path, &format!("{restore}link.db"));
        assert!(error.contains("leads to no file"), "{error}");
        assert!(path.join("link.db").is_symlink());
        fs::hard_link(path.join("symbolon.db"), path.join("name.db")).unwrap();
        let error = refusal(path, &format!("{restore}name.db"));
        assert!(error.contains("more than one name"), "{error}");
        assert_eq!(folders(path), ["symbolon.db-restore"]);
    }

    #[tokio::test]
    #[ignore = "needs strace, which scripts/test installs"]
    async fn a_killed_restoration_leaves_the_old_or_the_new_database() {
        let (mut old, mut new) = (0, 0);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        run(path, "migrate");
        run(path, "user add ada");
        run(path, "backup one.db");
        run(path, "user add bob");
        run(path, "backup two.db");
        for call in ["rename", "renameat2", "unlink", "fsync", "fdatasync"] {
            for number in 1..=POINTS {
                run(path, "restore two.db --yes");
                let program = on_sqlite(path, "").get_program().to_owned();
                let mut strace = Command::new("strace");
                strace.args([
                    "-f",
                    "-qq",
                    "-o",
                    "/dev/null",
                    "-e",
                    &format!("trace={call}"),
                ]);
                strace.args(["-e", &format!("inject={call}:signal=KILL:when={number}")]);
                strace.arg(program).args(["restore", "one.db", "--yes"]);
                strace.current_dir(path).env_clear();
                let (code, ..) = finish(&mut strace);
                match users(path) {
                    1 => new += 1,
                    2 => old += 1,
                    other => panic!("{call} {number}: {other} users"),
                }
                if code == Some(0) {
                    break;
                }
            }
        }
        // The folder of a killed command does not disturb, and can be deleted.
        assert!(!folders(path).is_empty());
        run(path, "restore one.db --yes");
        assert!(old > 5 && new > 1, "{old} {new}");
    }
}
