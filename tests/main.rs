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

mod architecture;
mod authorization;
mod clients;
mod durability;
mod embedding;
mod errors;
mod keys;
mod limits;
mod partial_failure;
mod passwords;
mod power_cut;
mod readme;
mod registration;
mod rest;
mod running;
mod schema;
mod tokens;
mod users;
