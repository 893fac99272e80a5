//! The operator's commands.

use std::process::Command;

use sea_orm::ConnectionTrait;
use serde_json::Value;
use tempfile::TempDir;

use super::server_process::cheap;
use super::{
    DATABASE_PASSWORD, PASSWORD, database_in, database_url, finish, finish_with, on_postgres,
    symbolon,
};

/// A folder with a database, and somebody who types there.
pub struct Shell {
    pub folder: TempDir,
}

impl Shell {
    /// With a database that has no accounts.
    pub fn new() -> Self {
        let shell = Self::without_database();
        let (code, _, error) = finish(&mut shell.command("migrate"));
        assert_eq!(code, Some(0), "{error}");
        shell
    }

    /// In an empty folder.
    pub fn without_database() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    /// With these accounts, whose password is [`PASSWORD`]. The first one is an admin.
    pub fn with(accounts: &[&str]) -> Self {
        let shell = Self::new();
        for (number, account) in accounts.iter().enumerate() {
            let admin = if number == 0 { "--admin" } else { "" };
            shell.prints_given(&format!("user add {account} {admin}"), PASSWORD);
        }
        shell
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = symbolon(self.folder.path());
        cheap(&mut command).args(line.split_whitespace());
        command
    }

    /// The database, as commands name it.
    pub fn database(&self) -> String {
        if on_postgres() {
            let url = database_url(self.folder.path(), "symbolon.db");
            return url.replace(&format!(":{DATABASE_PASSWORD}@"), "@");
        }
        let folder = self.folder.path().canonicalize().unwrap();
        folder.join("symbolon.db").display().to_string()
    }

    /// What a command prints that succeeds, and has nothing to say on standard error but which database
    /// it uses.
    pub fn prints(&self, line: &str) -> String {
        self.prints_given(line, "")
    }

    pub fn prints_given(&self, line: &str, input: &str) -> String {
        let (code, output, error) = finish_with(&mut self.command(line), input);
        let named = format!("symbolon: database {}\n", self.database());
        assert_eq!((code, &error), (Some(0), &named), "{line}: {output}");
        output
    }

    /// The same with `--json`.
    pub fn json(&self, line: &str) -> Vec<Value> {
        let output = self.prints(&format!("{line} --json"));
        let lines = output.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Why a command refuses, in one line after the one that names the database.
    pub fn refusal(&self, line: &str, input: &str) -> String {
        let (code, output, error) = finish_with(&mut self.command(line), input);
        assert_eq!((code, output.as_str()), (Some(1), ""), "{line}: {error}");
        let why = after_the_database(&error);
        assert_eq!(why.lines().count(), 1, "{error}");
        let why = why.strip_prefix("symbolon: ").unwrap();
        why.trim_end().to_owned()
    }

    pub async fn sql(&self, sql: &str) {
        let database = database_in(self.folder.path()).await;
        database.execute_unprepared(sql).await.unwrap();
        database.close().await.unwrap();
    }
}

/// What a command says on standard error after the line that names the database.
pub fn after_the_database(error: &str) -> &str {
    let (line, rest) = error.split_once('\n').unwrap();
    assert!(line.starts_with("symbolon: database "), "{error}");
    rest
}
