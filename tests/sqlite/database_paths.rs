//! Links and other paths to the database file.

use std::fs;
use std::path::PathBuf;

use crate::support::server_on_sqlite::ServerOnSqlite;
use crate::support::{Server, finish_with, unconfigured_symbolon, unthrottled};

#[test]
fn a_database_file_with_several_links_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = |command: &str, url: &str| {
        let mut program = unconfigured_symbolon(folder.path());
        finish_with(program.args([command]).env("DATABASE_URL", url), "")
    };
    assert_eq!(run("migrate", "sqlite://symbolon.db").0, Some(0));
    let (file, other) = (
        folder.path().join("symbolon.db"),
        folder.path().join("other.db"),
    );
    std::fs::hard_link(file, &other).unwrap();
    for name in ["symbolon.db", "other.db"] {
        let (code, _, error) = run("migrate", &format!("sqlite://{name}"));
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains("hard links"), "{error}");
    }
    std::fs::remove_file(other).unwrap();
    assert_eq!(run("migrate", "sqlite://symbolon.db").0, Some(0));
}

#[tokio::test]
async fn a_revocation_through_any_path_takes_effect_at_once() {
    let scenario = ServerOnSqlite::start().await;
    let folder = scenario.folder.path().canonicalize().unwrap();
    let real = scenario.database();
    let link = folder.join("link.db");
    std::os::unix::fs::symlink("symbolon.db", &link).unwrap();
    fs::create_dir(folder.join("sub")).unwrap();
    let linked_folder = folder.join("linked");
    std::os::unix::fs::symlink(&folder, &linked_folder).unwrap();
    let paths = [
        real,
        folder.join("sub/../symbolon.db"),
        linked_folder.join("symbolon.db"),
        PathBuf::from("symbolon.db"),
        PathBuf::from("./sub/../symbolon.db"),
        link.clone(),
        PathBuf::from("link.db"),
    ];
    let mut violations = Vec::new();
    for path in paths {
        let token = scenario.session().await;
        let (code, printed) = scenario.command_at(&path, &[], "token revoke ada");
        assert_eq!(code, Some(0), "{printed}");
        let compared = scenario.compare(&token).await;
        if compared != (Ok(false), false) {
            violations.push(format!("{}: {compared:?}", path.display()));
        }
    }
    assert!(violations.is_empty(), "{violations:?}");
}

#[tokio::test]
async fn a_revocation_takes_effect_at_once_in_a_server_that_opened_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let folder_path = folder.path().canonicalize().unwrap();
    std::os::unix::fs::symlink("symbolon.db", folder_path.join("link.db")).unwrap();
    fs::write(folder_path.join("symbolon.db"), "").unwrap();
    let server = Server::on_sqlite_configured(&folder_path, |command| {
        unthrottled(command);
        command.env("DATABASE_URL", "sqlite://link.db");
    });
    let registered = server.registration("ada").send().await;
    assert!(
        registered.at("/data/createUser/user/id").is_string(),
        "{registered:?}"
    );
    let scenario = ServerOnSqlite { server, folder };
    let token = scenario.session().await;
    // The other path has another key file, which this command does not use.
    scenario.succeeds("token revoke ada");
    assert_eq!(scenario.compare(&token).await, (Ok(false), false));
}
