//! The rows of Symbolon's tables, as SeaORM entities. Nothing else lives here.
//!
//! Every table name starts with `symbolon_`, so that an embedder's own tables can share the
//! database. Instants are integers: milliseconds since the Unix epoch.

pub mod access_token;
pub mod audit_event;
pub mod known_address;
pub mod throttle;
pub mod user;
