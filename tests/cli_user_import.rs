//! The command `symbolon user import`.

use std::fs;
use std::path::Path;
use std::process::Command;

use sea_orm::{ConnectionTrait, EntityTrait};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Answer, Server, database_in, finish, succeed, symbolon, without_database_line,
};

/// Creates a folder with an empty database.
pub fn with_database() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    succeed(symbolon(folder.path()).arg("migrate"));
    folder
}

/// Runs an import. Returns the exit code, standard output, and standard error without the line that
/// names the database.
pub fn import(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut import = symbolon(folder);
    let (code, output, error) = finish(import.args(["user", "import"]).args(arguments));
    (code, output, without_database_line(&error).to_owned())
}

/// Returns the users as `user list --json` prints them.
pub fn users(folder: &Path) -> Vec<Value> {
    let listed = succeed(symbolon(folder).args(["user", "list", "--json"]));
    let users = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    users.collect()
}

pub async fn signs_in(server: &Server, username: &str, password: &str) -> bool {
    let request = server.request(reqwest::Method::POST, "/tokens");
    let answer = Answer::of(request.basic_auth(username, Some(password))).await;
    assert!([200, 401].contains(&answer.status.as_u16()), "{answer:?}");
    answer.status == 200
}

/// Hashes of "correct horse", made with argon2-cffi 25.1.0, bcrypt 5.0.0, passlib 1.7.4 and Werkzeug
/// 3.1.9.
const HASHES: &str = include_str!("hashes.csv");

#[tokio::test]
async fn imported_users_sign_in_and_their_hashes_become_argon2id() {
    let folder = with_database();
    fs::write(folder.path().join("users.csv"), HASHES).unwrap();
    let (code, output, error) = import(folder.path(), &["users.csv"]);
    assert_eq!(code, Some(0), "{output}{error}");
    let server = Server::start(folder.path());
    let names: Vec<_> = HASHES
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert!(names.len() >= 6);
    for name in names {
        assert!(!signs_in(&server, name, "wrong").await, "{name}");
        assert!(signs_in(&server, name, "correct horse").await, "{name}");
        assert!(signs_in(&server, name, "correct horse").await, "{name}");
    }
    let database = database_in(folder.path()).await;
    let rows = entity::user::Entity::find().all(&database).await.unwrap();
    database.close().await.unwrap();
    assert!(
        rows.iter()
            .all(|row| row.password_hash.starts_with("$argon2id$"))
    );
}

#[tokio::test]
async fn plain_passwords_are_hashed_by_the_import() {
    let folder = with_database();
    let file =
        "username,email,password\nada,ada@example.org,\"a, \"\"quoted\"\" one\"\nbob,,tiny\n";
    fs::write(folder.path().join("users.csv"), file).unwrap();
    let (code, output, _) = import(folder.path(), &["users.csv"]);
    assert_eq!(
        (code, output.as_str()),
        (
            Some(0),
            "2 added, 0 skipped because they exist, 0 refused\n"
        )
    );
    let users = users(folder.path());
    assert_eq!(users[0]["email"], "ada@example.org");
    assert_eq!(users[1]["email"], Value::Null);
    let server = Server::start(folder.path());
    assert!(signs_in(&server, "ada", "a, \"quoted\" one").await);
    // The import does not check the strength of existing passwords.
    assert!(signs_in(&server, "bob", "tiny").await);
}

#[test]
fn a_repeated_import_changes_nothing() {
    let folder = with_database();
    let mut file = "password,username\ncorrect horse,ada\ncorrect horse,bob\n".to_owned();
    let path = folder.path().join("users.csv");
    fs::write(&path, &file).unwrap();
    assert_eq!(import(folder.path(), &["users.csv"]).0, Some(0));
    let before = users(folder.path());
    file += "correct horse,eve\n";
    fs::write(&path, &file).unwrap();
    let (code, output, _) = import(folder.path(), &["users.csv"]);
    assert_eq!(
        (code, output.as_str()),
        (
            Some(0),
            "1 added, 2 skipped because they exist, 0 refused\n"
        )
    );
    let after = users(folder.path());
    assert_eq!(after[..2], before);
    assert_eq!(after[2]["username"], "eve");
}

const BAD_ROWS: &[u8] = b"\xef\xbb\xbfUsername,password,password_hash,Email,age
ada,correct horse,,ada@example.org,36
two words,correct horse,,,
,correct horse,,,
bob,,,,
bob,,$2b$99$nonsense,,
bob,,md5$abc$def,,
eve,correct horse,,ADA@example.org,
eve,correct horse,,nowhere,
\xff,correct horse,,,
mal
\"mul
ti\",correct horse,,,
zoe,correct horse,,,29
";

#[test]
fn invalid_rows_are_reported_by_line_and_valid_rows_are_imported() {
    let folder = with_database();
    fs::write(folder.path().join("users.csv"), BAD_ROWS).unwrap();
    for (arguments, added) in [(vec!["users.csv", "--dry-run"], 0), (vec!["users.csv"], 3)] {
        let (code, output, error) = import(folder.path(), &arguments);
        assert_eq!(code, Some(1));
        let counts = if added == 0 {
            "3 would be added (1 without a password), 0 skipped because they exist, 9 would be refused\n"
        } else {
            "3 added (1 without a password), 0 skipped because they exist, 9 refused\n"
        };
        assert_eq!(output, counts);
        let lines: Vec<_> = error.lines().collect();
        for line in [3, 4, 6, 7, 8, 9, 10, 11] {
            let report = lines
                .iter()
                .find(|report| report.starts_with(&format!("line {line}: ")));
            assert!(report.is_some(), "line {line}: {error}");
        }
        assert_eq!(lines.last(), Some(&"symbolon: 9 rows are not valid users"));
        assert_eq!(lines.len(), 12, "{error}");
        assert_eq!(users(folder.path()).len(), added);
    }
}

#[test]
fn the_import_reports_in_json() {
    let folder = with_database();
    fs::write(
        folder.path().join("users.csv"),
        "username,password\nada,correct horse\na b,correct horse\n",
    )
    .unwrap();
    let (code, output, _) = import(folder.path(), &["users.csv", "--json"]);
    assert_eq!(code, Some(1));
    let lines: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["line"], &lines[0]["username"]),
        (&json!(3), &json!("a b"))
    );
    assert!(lines[0]["refused"].is_string());
    assert_eq!(
        lines[1],
        json!({
            "added": 1, "skipped": 0, "refused": 1, "disabled": 0, "withoutPassword": 0, "wrapped": 0, "dryRun": false
        })
    );
}

#[test]
fn a_file_of_another_format_is_refused() {
    let folder = with_database();
    let sqlite = "SQLite format 3\0 and nothing more of it";
    for (name, content) in [
        ("empty.csv", ""),
        ("columns.csv", "name,secret\nada,correct horse\n"),
        ("short.db", sqlite),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
        let (code, output, error) = import(folder.path(), &[name]);
        assert_eq!((code, output.as_str()), (Some(1), ""), "{name}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let (code, _, error) = import(folder.path(), &["missing.csv"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("missing.csv"), "{error}");
    assert_eq!(users(folder.path()).len(), 0);
}

#[test]
fn the_progress_is_printed_as_plain_lines_without_a_terminal() {
    let folder = with_database();
    // A strong hash, which is not wrapped.
    let hash = "$2b$10$nM0uQ66eV1mubpqckkzCguM3jMMM72XI889K/onSvTi22E3gkkPoG";
    let rows: String = (0..20_500)
        .map(|number| format!("user{number},{hash}\n"))
        .collect();
    fs::write(
        folder.path().join("users.csv"),
        format!("username,password_hash\n{rows}"),
    )
    .unwrap();
    let (code, output, error) = import(folder.path(), &["users.csv"]);
    assert_eq!(
        (code, output.as_str()),
        (
            Some(0),
            "20500 added, 0 skipped because they exist, 0 refused\n"
        )
    );
    assert!(error.ends_with("10000 rows\n20000 rows\n"), "{error}");
    let (_, output, _) = import(folder.path(), &["users.csv"]);
    assert_eq!(
        output,
        "0 added, 20500 skipped because they exist, 0 refused\n"
    );
}

#[tokio::test]
#[ignore = "needs Python, which scripts/test installs"]
async fn the_users_of_the_flask_original_sign_in() {
    let folder = with_database();
    let flask = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/flask");
    let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join("flask");
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&python));
    succeed(
        Command::new(python.join("bin/pip"))
            .args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(flask.join("requirements.txt")),
    );
    let database = folder.path().join("app.db");
    succeed(
        Command::new(python.join("bin/python"))
            .arg(flask.join("original.py"))
            .arg(&database),
    );
    let before = fs::read(&database).unwrap();
    let (code, output, error) = import(folder.path(), &["app.db"]);
    assert_eq!(
        (code, output.as_str()),
        (
            Some(1),
            "4 added (1 without a password, 2 with a weak hash, which is wrapped in Argon2id), 0 skipped because they exist, 1 refused\n"
        )
    );
    assert!(error.contains("row 4: "), "{error}");
    assert!(error.contains("ignored columns: id, "), "{error}");
    assert_eq!(fs::read(&database).unwrap(), before);
    assert_eq!(users(folder.path())[0]["email"], "susan@example.org");
    let server = Server::start(folder.path());
    for (name, password) in [
        ("susan", "cat and dog"),
        ("david", "a long enough password"),
        ("zoë", "cre\u{300}me bru\u{302}le\u{301}e"),
    ] {
        assert!(!signs_in(&server, name, "wrong").await, "{name}");
        assert!(signs_in(&server, name, password).await, "{name}");
        assert!(signs_in(&server, name, password).await, "{name}");
    }
    // After the rehash, the password is compared in normalized form.
    assert!(signs_in(&server, "zoë", "crème brûlée").await);
}

#[tokio::test]
async fn the_columns_of_a_flask_database_are_those_of_a_csv_file() {
    let folder = with_database();
    let url = format!(
        "sqlite://{}?mode=rwc",
        folder.path().join("app.db").display()
    );
    let flask = sea_orm::Database::connect(url).await.unwrap();
    // Without a primary key, several rows can have the same id.
    for statement in [
        "CREATE TABLE user (id INTEGER, username VARCHAR(64), password_hash VARCHAR(256), is_active BOOLEAN, \
         role TEXT, created_at DATETIME)",
        "INSERT INTO user VALUES (1, ' ada', NULL, 0, 'admin', '2024-05-31 10:00:00.000000'), \
         (1, 'bob', '', 1, NULL, NULL), (NULL, 7, '', NULL, NULL, NULL), (2, NULL, '', 1, NULL, NULL), \
         (3, 'eve', '', 2, NULL, NULL)",
    ] {
        flask.execute_unprepared(statement).await.unwrap();
    }
    flask.close().await.unwrap();
    let (code, output, error) = import(folder.path(), &["app.db"]);
    assert!(
        output.starts_with("3 added (1 disabled, 3 without a password"),
        "{output}"
    );
    assert_eq!(code, Some(1));
    assert!(
        error.contains("row 4: ") && error.contains("row 5: "),
        "{error}"
    );
    assert!(error.contains("ignored columns: id\n"), "{error}");
    let users = users(folder.path());
    assert_eq!(users[0]["username"], "ada");
    assert_eq!(users[0]["role"], "ADMIN");
    assert_eq!(users[0]["createdAt"], "2024-05-31T10:00:00.000Z");
    assert!(users[0]["disabledAt"].is_string(), "{users:?}");
    assert!(users[1]["disabledAt"].is_null(), "{users:?}");
}
