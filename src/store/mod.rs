//! The database: statements, transactions, connections, and the invalidation of cached identities.

mod access_tokens;
mod affected_users;
mod application_migrations;
mod audit_event_insertion;
mod audit_events;
mod backup;
mod change_counter;
#[cfg(feature = "server")]
mod copy;
mod database;
mod database_lock;
mod database_url;
mod errors;
mod event_metrics;
mod event_publisher;
#[cfg(feature = "server")]
mod flask_database;
mod heartbeat;
mod heartbeat_sender;
mod hook_transaction;
mod identity_validity;
#[cfg(feature = "server")]
mod imported_users;
#[cfg(feature = "server")]
mod inspection;
mod invalidation;
mod known_addresses;
mod migrations;
mod monitored_connection;
mod notification_payload;
mod notifications;
mod one_time_tokens;
mod open;
mod open_error;
mod pages;
mod pool_eviction;
mod pool_metrics;
mod postgres_connection;
mod postgres_pool;
mod postgres_schema;
mod postgres_url;
mod postgres_variables;
mod rate_limits;
#[cfg(feature = "server")]
mod restore;
mod server_state;
mod server_timelines;
mod sessions;
mod shared_sessions;
mod sign_in_and_password_change;
mod sqlite;
mod sqlite_tables_check;
mod token_digests;
mod token_liveness;
mod token_owners;
mod transaction;
mod url_error;
mod user_columns;
mod user_id;
mod users;

pub(crate) use migration::MigratorTrait;
pub(crate) use sea_orm::DatabaseConnection;

pub(crate) use self::access_tokens::NewAccessToken;
pub(crate) use self::application_migrations::ApplicationMigrations;
#[cfg(feature = "server")]
pub(crate) use self::copy::{CopyError, copy};
#[cfg(feature = "server")]
pub use self::copy::{CopyProgress, CopyReport};
pub(crate) use self::database::Store;
pub(crate) use self::database_url::Location;
pub(crate) use self::errors::is_foreign_key_violation;
pub use self::event_publisher::MissedEvents;
#[cfg(feature = "server")]
pub use self::flask_database::{FlaskDatabase, FlaskRow};
pub use self::hook_transaction::HookTransaction;
#[cfg(feature = "server")]
pub(crate) use self::imported_users::ExistingFields;
#[cfg(feature = "server")]
pub(crate) use self::inspection::inspect;
#[cfg(feature = "server")]
pub use self::inspection::{DatabaseInspection, TablesState};
pub(crate) use self::invalidation::Epoch;
pub(crate) use self::notifications::MAX_NOTIFICATION_DELAY;
pub(crate) use self::open::Connections;
pub(crate) use self::open_error::OpenError;
pub(crate) use self::pool_metrics::PoolState;
pub(crate) use self::rate_limits::Bucket;
#[cfg(feature = "server")]
pub(crate) use self::restore::{Restoration, RestoreError};
pub(crate) use self::sessions::NewSession;
pub(crate) use self::sqlite::folder_of;
pub(crate) use self::token_digests::FoundTokens;
pub(crate) use self::transaction::Transaction;
pub(crate) use self::users::{NewUser, ProfileChange, TakenField};
