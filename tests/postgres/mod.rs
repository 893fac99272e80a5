//! Tests of PostgreSQL only. They start a server of their own; `scripts/test` does not run them on SQLite.

pub mod connections;
mod consistency;
mod faults;
mod instances;
mod outages;
