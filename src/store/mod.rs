//! The database: statements, transactions, connections, and the invalidation of cached identities.

mod access_tokens;
mod affected_users;
mod audit_event_aggregation;
mod audit_events;
mod backup;
mod change_counter;
mod database;
mod database_url;
mod errors;
#[cfg(feature = "server")]
mod flask_database;
mod heartbeat;
#[cfg(feature = "server")]
mod imported_users;
mod invalidation;
mod known_addresses;
mod migrations;
mod monitored_connection;
mod notifications;
mod one_time_tokens;
mod open;
mod open_error;
mod pages;
mod pool_eviction;
mod postgres;
mod rate_limits;
mod sessions;
mod sqlite;
mod sqlite_check;
mod token_liveness;
mod transaction;
mod users;

pub(crate) use self::access_tokens::NewAccessToken;
pub(crate) use self::database::Store;
pub(crate) use self::database_url::Location;
#[cfg(feature = "server")]
pub use self::flask_database::{FlaskDatabase, FlaskRow};
#[cfg(feature = "server")]
pub(crate) use self::imported_users::ExistingFields;
pub(crate) use self::invalidation::Epoch;
pub(crate) use self::notifications::MAX_NOTIFICATION_DELAY;
pub(crate) use self::open::Connections;
pub(crate) use self::open_error::OpenError;
pub(crate) use self::rate_limits::Bucket;
pub(crate) use self::transaction::Transaction;
pub(crate) use self::users::{NewUser, ProfileChange, TakenField};
