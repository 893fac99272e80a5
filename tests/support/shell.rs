//! The operator's commands.

use std::process::Command;

use sea_orm::ConnectionTrait;
use serde_json::Value;
use tempfile::TempDir;

use super::process::cheap;
use super::{PASSWORD, database_in, finish_with, symbolon};

/// A folder with a database, and somebody who types there.
pub struct Shell {
    pub folder: TempDir,
}

impl Shell {
    pub fn new() -> Self {
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

    /// What a command prints that succeeds, and has nothing to say on standard error.
    pub fn prints(&self, line: &str) -> String {
        self.prints_given(line, "")
    }

    pub fn prints_given(&self, line: &str, input: &str) -> String {
        let (code, output, error) = finish_with(&mut self.command(line), input);
        assert_eq!((code, error.as_str()), (Some(0), ""), "{line}: {output}");
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

    /// Why a command refuses, in one line.
    pub fn refusal(&self, line: &str, input: &str) -> String {
        let (code, output, error) = finish_with(&mut self.command(line), input);
        assert_eq!((code, output.as_str()), (Some(1), ""), "{line}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        let why = error.strip_prefix("symbolon: ").unwrap();
        why.trim_end().to_owned()
    }

    pub async fn sql(&self, sql: &str) {
        let database = database_in(self.folder.path()).await;
        database.execute_unprepared(sql).await.unwrap();
        database.close().await.unwrap();
    }
}
