//! Commands of the operator, run in a folder of their own.

use std::process::Command;

use sea_orm::ConnectionTrait;
use serde_json::Value;
use tempfile::TempDir;

use super::server_process::set_cheap_hashing;
use super::{
    DATABASE_PASSWORD, PASSWORD, database_in, database_url, finish, finish_with, on_postgres,
    symbolon,
};

/// A folder with a database in which commands run.
pub struct Cli {
    pub folder: TempDir,
}

impl Cli {
    /// Creates an empty database.
    pub fn new() -> Self {
        let cli = Self::in_empty_folder();
        let (code, _, error) = finish(&mut cli.command("migrate"));
        assert_eq!(code, Some(0), "{error}");
        cli
    }

    /// Creates an empty folder.
    pub fn in_empty_folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    /// Creates a database with these users and the password [`PASSWORD`]. The first user is an admin.
    pub fn with_users(users: &[&str]) -> Self {
        let cli = Self::new();
        for (number, user) in users.iter().enumerate() {
            let admin = if number == 0 { "--admin" } else { "" };
            cli.run_with_input(&format!("user add {user} {admin}"), PASSWORD);
        }
        cli
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = symbolon(self.folder.path());
        set_cheap_hashing(&mut command).args(line.split_whitespace());
        command
    }

    /// Returns the database as commands print it.
    pub fn database(&self) -> String {
        if on_postgres() {
            let url = database_url(self.folder.path(), "symbolon.db");
            return url.replace(&format!(":{DATABASE_PASSWORD}@"), "@");
        }
        let folder = self.folder.path().canonicalize().unwrap();
        folder.join("symbolon.db").display().to_string()
    }

    /// Returns the output of a successful command that prints only the line of the database on standard
    /// error.
    pub fn run(&self, line: &str) -> String {
        self.run_with_input(line, "")
    }

    pub fn run_with_input(&self, line: &str, input: &str) -> String {
        let (code, output, error) = finish_with(&mut self.command(line), input);
        let named = format!("symbolon: database {}\n", self.database());
        assert_eq!((code, &error), (Some(0), &named), "{line}: {output}");
        output
    }

    /// Returns the output of a command with `--json`.
    pub fn json(&self, line: &str) -> Vec<Value> {
        let output = self.run(&format!("{line} --json"));
        let lines = output.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Returns the refusal of a command: one line after the line that names the database.
    pub fn refusal(&self, line: &str, input: &str) -> String {
        let (code, output, error) = finish_with(&mut self.command(line), input);
        assert_eq!((code, output.as_str()), (Some(1), ""), "{line}: {error}");
        let why = without_database_line(&error);
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

/// Returns standard error without the line that names the database.
pub fn without_database_line(error: &str) -> &str {
    let (line, rest) = error.split_once('\n').unwrap();
    assert!(line.starts_with("symbolon: database "), "{error}");
    rest
}
