//! Symbolon from outside: real HTTP, a real database, a clock that the tests move.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unused_async,
    clippy::unwrap_used
)]

mod support;

mod access_tokens;
mod accounts;
mod admins;
mod architecture;
mod audit;
mod audit_events;
mod authorization;
mod backup;
mod browsers;
mod caches;
mod cli;
mod clients;
mod connections;
mod databases;
mod durability;
mod embedding;
mod errors;
mod escalation;
mod existing_data;
mod explorer;
mod faults;
mod flood;
mod forward_auth;
mod healthcheck;
mod import;
mod keys;
mod kills;
mod limits;
mod lists;
mod log;
mod migrations;
mod models;
mod partial_failure;
mod passwords;
mod postgres;
mod postgres_faults;
mod postgres_history;
mod postgres_outages;
mod power_cut;
mod readme;
mod registration;
mod requirements;
mod rest;
mod revocation;
mod running;
mod schema;
mod security;
mod sessions;
mod subscriptions;
mod terminal;
mod throttle;
mod tokens;
mod trail;
mod users;
