//! Tests of SQLite only. `scripts/test` does not run them on PostgreSQL.

mod commands_run_by_root;
mod damaged_files;
mod database_paths;
mod disk_faults;
mod killed_commands;
mod power_cut;
mod secrets_at_rest;
