//! SeaORM entities of Symbolon's tables.
//!
//! All table names begin with `symbolon_`, so that an embedding application can have its own tables in the same
//! database. Instants are stored as integers, in milliseconds since the Unix epoch.

pub mod access_token;
pub mod audit_event;
pub mod known_address;
pub mod one_time_token;
pub mod throttle;
pub mod user;
