//! A server on an SQLite database, and commands on the same database.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    Answer, PASSWORD, Server, StoredUser, database_files, finish_with, unconfigured_symbolon,
    unthrottled,
};

/// A server on a database in a folder, with the user `ada`.
pub struct ServerOnSqlite {
    pub server: Server,
    pub folder: TempDir,
}

impl ServerOnSqlite {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::on_sqlite_configured(folder.path(), unthrottled);
        server.register("ada").await;
        Self { server, folder }
    }

    pub fn database(&self) -> PathBuf {
        self.folder
            .path()
            .canonicalize()
            .unwrap()
            .join("symbolon.db")
    }

    /// Returns the files beside the database that belong to Symbolon and not to SQLite.
    pub fn own_files(&self) -> Vec<PathBuf> {
        let of_sqlite = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            ["symbolon.db", "symbolon.db-wal", "symbolon.db-shm"].contains(&name)
        };
        let files = database_files(&self.database()).into_iter();
        files.filter(|path| !of_sqlite(path)).collect()
    }

    /// Runs a command on the database at this path, through another program such as strace if `under` is
    /// not empty. Returns the exit code and the output.
    pub fn command_at(&self, path: &Path, under: &[String], line: &str) -> (Option<i32>, String) {
        let own = unconfigured_symbolon(self.folder.path());
        let mut command = match under {
            [] => own,
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(own.get_program());
                command.current_dir(self.folder.path());
                command
            }
        };
        command
            .env("DATABASE_URL", format!("sqlite://{}", path.display()))
            .env("SYMBOLON_ARGON2_MEMORY", "8")
            .env("SYMBOLON_ARGON2_ITERATIONS", "1")
            .args(line.split_whitespace());
        let (code, output, error) = finish_with(&mut command, PASSWORD);
        (code, output + &error)
    }

    pub fn command(&self, under: &[String], line: &str) -> (Option<i32>, String) {
        self.command_at(&self.database(), under, line)
    }

    pub fn succeeds(&self, line: &str) {
        let (code, printed) = self.command(&[], line);
        assert_eq!(code, Some(0), "{line}: {printed}");
    }

    /// Returns a session token of `ada` that the server has cached.
    pub async fn session(&self) -> String {
        if StoredUser::of(&self.database(), "ada")
            .await
            .user
            .unwrap()
            .disabled_at
            .is_some()
        {
            self.succeeds("user enable ada");
        }
        let token = self.server.sign_in("ada").await;
        for _ in 0..2 {
            assert_eq!(self.accepts(&token).await, Ok(true));
        }
        token
    }

    pub async fn accepts(&self, token: &str) -> Result<bool, String> {
        let body = json!({ "query": "{ me { username } }" });
        let request = self.server.request(Method::POST, "/graphql").json(&body);
        let request = request.bearer_auth(token).timeout(Duration::from_mins(1));
        let answer = Answer::try_of(request).await;
        let answer = answer.map_err(|error| format!("no answer: {error}"))?;
        if answer.at("/data/me/username") == "ada" {
            Ok(true)
        } else if answer.at("/errors/0/extensions/code") == "UNAUTHENTICATED" {
            Ok(false)
        } else {
            Err(answer.body.to_string())
        }
    }

    /// Returns whether the server accepts a token in the next request, and whether it is live in the
    /// database.
    pub async fn compare(&self, token: &str) -> (Result<bool, String>, bool) {
        let accepted = self.accepts(token).await;
        let is_live = StoredUser::of(&self.database(), "ada")
            .await
            .has_live_session(token);
        (accepted, is_live)
    }
}
