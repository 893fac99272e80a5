//! Tests of SQLite only. `scripts/test` does not run them on PostgreSQL.

mod commands_run_by_root;
mod disk_faults;
mod killed_commands;
mod power_cut;
mod secrets_at_rest;
