//! Symbolon from outside: real HTTP, a real database, a clock that the tests move.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::format_push_string,
    clippy::unwrap_used
)]

mod support;

mod architecture;
mod audit;
mod authorization;
mod durability;
mod embedding;
mod errors;
mod keys;
mod passwords;
mod power_cut;
mod readme;
mod registration;
mod rest;
mod running;
mod schema;
mod tokens;
mod users;
