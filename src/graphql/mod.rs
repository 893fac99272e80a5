//! The GraphQL API: schema, guards, limits on documents, and execution.

mod access_token;
mod audit_events;
mod complexity_check;
mod connection;
mod context;
mod data_loader;
mod direct_execution;
pub(crate) mod document;
pub(crate) mod document_cache;
mod document_checks;
mod document_conversion;
mod document_limits;
mod document_positions;
mod document_validation;
pub(crate) mod errors;
pub(crate) mod execution;
mod executor;
mod guard;
mod mutation;
mod mutation_inputs;
mod mutation_payloads;
mod one_time_link;
mod operation_limits;
mod query;
mod schema;
mod schema_definitions;
mod session;
mod session_token;
mod standalone_schema;
mod timestamp;
pub(crate) mod token_mutation;
mod user;
mod user_error;
mod variables;

pub(crate) use async_graphql::{ObjectType, SubscriptionType};

pub use self::context::ContextExt;
pub use self::executor::Executor;
pub use self::guard::{Authenticated, RequireRole, RequireScope};
pub use self::mutation::Mutation;
pub use self::query::Query;
pub use self::schema::{Schema, SchemaBuilder};
pub use self::standalone_schema::sdl;
pub(crate) use self::standalone_schema::standalone_schema;
