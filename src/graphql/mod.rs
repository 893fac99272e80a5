//! The parts of a GraphQL schema: Symbolon's roots and guards, and types for the schema of an application.
//!
//! - [`Query`] and [`Mutation`] are merged into the roots of the application, as [the first example](crate) shows. [`Omit`]
//!   removes some of their fields.
//! - [`Authenticated`], [`RequireRole`] and [`RequireScope`] guard fields. [`ContextExt`] returns the caller.
//! - [`User`] is the type of fields that return a user, and [`UserError`] the type of errors in the input of a mutation.
//! - [`UserEntities`] makes users entities of Apollo Federation.
//!
//! The macros of async-graphql work with the re-export [`symbolon::async_graphql`](crate::async_graphql), so that an application
//! needs no dependency on a matching version:
//!
//! ```
//! use symbolon::async_graphql::{self, Object};
//!
//! struct Greetings;
//!
//! #[Object]
//! impl Greetings {
//!     async fn greeting(&self) -> &str {
//!         "Hello!"
//!     }
//! }
//! ```

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
mod omit;
mod one_time_link;
mod operation_limits;
mod query;
mod representations;
mod schema;
mod schema_definitions;
mod session;
mod session_token;
mod standalone_schema;
mod timestamp;
pub(crate) mod token_mutation;
mod user;
mod user_entities;
mod user_error;
mod user_id;
mod variables;

pub(crate) use async_graphql::{ObjectType, SubscriptionType};

pub use self::context::ContextExt;
pub use self::executor::Executor;
pub use self::guard::{Authenticated, RequireRole, RequireScope};
pub use self::mutation::Mutation;
pub use self::omit::{Omit, OmittedFields};
pub use self::query::Query;
pub use self::schema::{Schema, SchemaBuilder};
pub use self::standalone_schema::sdl;
pub(crate) use self::standalone_schema::standalone_schema;
pub use self::user::User;
pub use self::user_entities::UserEntities;
pub use self::user_error::UserError;
