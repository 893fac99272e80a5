//! Tests of SQLite only. `scripts/test` does not run them on PostgreSQL.

mod commands_failing_at_system_calls;
mod commands_refused_to_root;
mod damaged_files;
mod database_paths;
mod disk_faults;
mod power_cut;
mod secrets_at_rest;
