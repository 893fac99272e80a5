//! The server key: creation, configuration, loss and change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::cli_database_selection::command_on_sqlite;
use crate::support::{
    Cli, PASSWORD, Server, TestApp, finish, finish_with, shared_postgres, succeed, symbolon,
    unconfigured_symbolon,
};

const KEY: &str = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn with_another_key(config: &mut symbolon::Config) {
    config.secret_key = Some(KEY.to_owned().into());
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_new_key_requires_a_new_sign_in_only() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let app = app.restart(with_another_key).await;
    assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
    let next = app.sign_in("ada").await;
    assert_ne!(next, token);
    assert_eq!(app.sign_in("ada").await, next);
    assert_eq!(
        app.me(&token).await.error(),
        ("UNAUTHENTICATED", "TOKEN_INVALID")
    );
}

#[tokio::test]
async fn concurrent_sign_ins_agree_after_a_key_change() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let old = app.sign_in("ada").await;
    let app = app.restart(with_another_key).await;
    let tokens = futures_util::future::join_all((0..16).map(|_| app.sign_in("ada"))).await;
    assert_ne!(tokens[0], old);
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
}

#[test]
fn the_same_key_from_a_file_or_the_environment_gives_the_same_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("given");
    fs::write(&file, format!("{KEY}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let token = |configure: &dyn Fn(&mut std::process::Command)| {
        let server = Server::configured(folder.path(), configure);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let client = reqwest::Client::new();
            let create = r#"mutation { createUser(input: {username: "ada", password: "correct horse"}) { user { id } } }"#;
            let create = serde_json::json!({ "query": create });
            let url = format!("{}/graphql", server.base);
            client.post(url).json(&create).send().await.unwrap();
            let url = format!("{}/tokens", server.base);
            let request = client.post(url).basic_auth("ada", Some("correct horse"));
            crate::support::Answer::of(request).await.at("/token").clone()
        })
    };
    let first = token(&|command| {
        command.envs([
            ("SYMBOLON_SECRET_KEY", KEY),
            ("SYMBOLON_SECRET_KEY_FILE", ""),
        ]);
    });
    let second = token(&|command| {
        command.env("SYMBOLON_SECRET_KEY_FILE", "given");
    });
    assert!(first.is_string());
    assert_eq!(first, second);
}

#[test]
fn a_configured_key_file_that_others_can_read_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("given");
    fs::write(&file, KEY).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let mut migrate = symbolon(folder.path());
    migrate
        .arg("migrate")
        .env("SYMBOLON_SECRET_KEY_FILE", "given");
    let (code, _, log) = finish(&mut migrate);
    assert_eq!(code, Some(0));
    let [warning, named] = log.lines().collect::<Vec<_>>().try_into().unwrap();
    assert!(
        warning.contains("WARN") && warning.contains("given can be read by other users"),
        "{log}"
    );
    assert!(named.starts_with("symbolon: database "), "{log}");
}

#[test]
fn an_invalid_key_is_refused_and_not_printed() {
    for (text, name) in [
        ("c2hvcnQ=", "SYMBOLON_SECRET_KEY"),
        ("not base64, by no means", "SYMBOLON_SECRET_KEY"),
        ("c2hvcnQ=", "given"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut migrate = symbolon(folder.path());
        migrate.arg("migrate");
        if name == "given" {
            fs::write(folder.path().join("given"), text).unwrap();
            migrate.env("SYMBOLON_SECRET_KEY_FILE", "given");
        } else {
            migrate.envs([(name, text), ("SYMBOLON_SECRET_KEY_FILE", "")]);
        }
        let (code, _, error) = finish(&mut migrate);
        assert_eq!(code, Some(1));
        let last = error.lines().last().unwrap();
        assert!(
            last.contains(name) && last.contains("openssl rand -base64 32"),
            "{error}"
        );
        assert!(!error.contains(text), "{error}");
        assert!(!folder.path().join("symbolon.db").exists());
    }
}

mod sqlite {
    use super::*;

    #[test]
    fn the_key_and_the_database_are_readable_by_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let _server = Server::on_sqlite(folder.path());
        for name in ["symbolon.db", "symbolon.db-wal", "symbolon.db.key"] {
            assert_eq!(mode(&folder.path().join(name)), 0o600, "{name}");
        }
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        // The test writes the file `log`.
        let expected = [
            "log",
            "symbolon.db",
            "symbolon.db-lock",
            "symbolon.db-shm",
            "symbolon.db-wal",
            "symbolon.db.key",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_missing_key_file_is_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("symbolon.db.key");
        let mut keys = Vec::new();
        for _ in 0..2 {
            let (code, ..) = finish(unconfigured_symbolon(folder.path()).arg("migrate"));
            assert_eq!(code, Some(0));
            keys.push(fs::read_to_string(&file).unwrap());
            fs::remove_file(&file).unwrap();
        }
        assert_ne!(keys[0], keys[1]);
    }

    #[test]
    fn a_configured_key_creates_no_key_file() {
        let folder = tempfile::tempdir().unwrap();
        let configured = unconfigured_symbolon(folder.path())
            .arg("migrate")
            .env("SYMBOLON_SECRET_KEY", KEY)
            .output()
            .unwrap();
        assert!(configured.status.success());
        assert!(!folder.path().join("symbolon.db.key").exists());
    }

    #[test]
    fn the_own_key_file_is_refused_if_others_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("symbolon.db.key");
        fs::write(&file, KEY).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let (code, _, error) = finish(&mut unconfigured_symbolon(folder.path()));
        assert_eq!(code, Some(1));
        assert_eq!(
            error,
            "symbolon: the key file symbolon.db.key can be read by other users; run `chmod 600` on it\n"
        );
        assert!(!folder.path().join("symbolon.db").exists());
    }

    #[test]
    fn commands_neither_need_nor_create_a_server_key() {
        let cli = Cli::in_empty_folder();
        let on_sqlite = |line| command_on_sqlite(cli.folder.path(), line);
        succeed(on_sqlite("migrate").env("SYMBOLON_SECRET_KEY", KEY));
        for line in ["user add ada", "user list", "token list", "token purge"] {
            let (code, _, error) = finish_with(&mut on_sqlite(line), PASSWORD);
            assert_eq!(code, Some(0), "{error}");
        }
        assert!(!cli.folder.path().join("symbolon.db.key").exists());
    }
}

mod postgres {
    use super::*;

    #[test]
    #[ignore = "needs PostgreSQL, which scripts/test installs"]
    fn a_missing_server_key_is_refused_with_instructions() {
        let (folder, url) = (tempfile::tempdir().unwrap(), shared_postgres().create());
        let mut migrate = unconfigured_symbolon(folder.path());
        let (code, _, error) = finish(migrate.arg("migrate").env("DATABASE_URL", &url));
        assert_eq!((code, error.lines().count()), (Some(1), 1), "{error}");
        assert!(error.contains("`openssl rand -base64 32`"), "{error}");
    }
}
