//! Tests of PostgreSQL only. They start a server of their own; `scripts/test` does not run them on SQLite.

mod consistency;
mod instances;
mod outages;
pub mod transactions;
mod unwritable_servers;
