//! Tests of PostgreSQL only. They start a server of their own; `scripts/test` does not run them on SQLite.

mod cancelled_and_waiting_requests;
mod consistency;
mod failover;
mod instances;
mod metrics;
mod outages;
mod pgbouncer;
mod schemas;
mod tls;
mod unwritable_servers;

use std::process::Command;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use tempfile::TempDir;

use crate::support::{common_key, unconfigured_symbolon};

/// Returns the program with this database, in a folder of its own.
pub fn on(url: &str, folder: &TempDir) -> Command {
    let mut command = unconfigured_symbolon(folder.path());
    command
        .env("DATABASE_URL", url)
        .env("SYMBOLON_SECRET_KEY_FILE", common_key());
    command
}

pub async fn connect(url: &str) -> DatabaseConnection {
    Database::connect(url).await.unwrap()
}

pub async fn number(database: &DatabaseConnection, sql: &str) -> i64 {
    let fetch = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(fetch).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}
