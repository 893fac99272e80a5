//! Token authentication for GraphQL APIs.
//!
//! A registered user exchanges the username and the password for a temporary opaque token with the mutation
//! `createToken`. The client sends the token as a Bearer token in each request. The guard [`Authenticated`]
//! restricts a field to requests with valid credentials. The mutation `revokeToken` revokes the token
//! immediately. The database stores only digests of tokens.
//!
//! ```no_run
//! use async_graphql::{Context, EmptySubscription, MergedObject, Object, Result};
//! use poem::{get, handler};
//! use symbolon::{Authenticated, Config, ContextExt, Identity, Mutation, Symbolon};
//!
//! #[derive(Default)]
//! struct Greetings;
//!
//! #[Object]
//! impl Greetings {
//!     #[graphql(guard = "Authenticated")]
//!     async fn greeting(&self, ctx: &Context<'_>) -> Result<String> {
//!         Ok(format!("Hello, {}!", ctx.current_user().await?.username))
//!     }
//! }
//!
//! #[derive(MergedObject, Default)]
//! struct Query(symbolon::Query, Greetings);
//!
//! #[handler]
//! async fn whoami(identity: Identity) -> String {
//!     identity.user().username.clone()
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let symbolon = Symbolon::open(Config::new("sqlite://app.db")).await?;
//! let schema = symbolon
//!     .schema(Query::default(), Mutation, EmptySubscription)
//!     .finish();
//! let app = symbolon.routes(schema).at("/whoami", get(whoami));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
//! let shutdown = async {
//!     let _ = tokio::signal::ctrl_c().await;
//! };
//! symbolon.serve(app, listener, shutdown).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! `explorer` and `server` are enabled by default. An application that embeds Symbolon requires neither of them.
//!
//! - `explorer`: the API explorer at `/`. The build downloads the explorer with npm.
//! - `server`: the program `symbolon`, and the import of users from other systems.
//! - `testing`: `symbolon::testing`, for the tests of an application.
//!
//! # Map of the code
//!
//! `docs/architecture.md` in the repository lists the layers, the files of each feature, and the vocabulary.

mod app;
mod clock;
mod config;
mod error;
pub mod graphql;
mod http;
mod model;
mod operator;
mod service;
mod store;
mod supervised_tasks;

pub use async_graphql;
pub use async_trait::async_trait;
pub use {chrono, sea_orm, sea_orm_migration};

#[cfg(feature = "testing")]
pub use crate::app::testing;
#[cfg(feature = "server")]
pub use crate::app::{Inspection, RestoreReport};
pub use crate::app::{Symbolon, SymbolonBuilder};
pub use crate::clock::{Clock, DatabaseClock, MockClock};
pub use crate::config::{
    ClientAddressHeader, Config, HttpConfig, Limits, Number, PostgresConfig, Secret,
    ThrottleConfig, UserList,
};
pub use crate::error::{DocumentError, Error, Forbidden, Position, StartError, Unauthenticated};
pub use crate::graphql::{
    Authenticated, ContextExt, Executor, Mutation, Query, RequireRole, RequireScope, Schema,
    SchemaBuilder, sdl,
};
pub use crate::http::Middleware;
pub use crate::model::audit_event::{AuditEvent, AuditEventFilter};
pub use crate::model::audit_event_enums::{ActorType, AuditEventKind, CredentialType};
pub use crate::model::client::Client;
pub use crate::model::event::Event;
pub use crate::model::field_errors::{FieldError, FieldErrorCode, MutationError};
pub use crate::model::identity::Identity;
#[cfg(feature = "server")]
pub use crate::model::imported_user::{ImportResult, ImportedPassword, ImportedUser};
pub use crate::model::live_token::LiveToken;
pub use crate::model::one_time_link::OneTimeLink;
pub use crate::model::rate_limit::Rate;
pub use crate::model::request_credentials::TokenType;
pub use crate::model::user::{Role, User, UserId};
pub use crate::operator::Operator;
pub use crate::service::hooks::{HookError, Hooks, Registrant};
pub use crate::service::issued_token::SessionToken;
pub use crate::service::one_time_links::Invitation;
pub use crate::service::registration::Registration;
pub use crate::service::requester::Requester;
pub use crate::service::similar_usernames_report::SimilarUsernames;
pub use crate::service::token_options::TokenOptions;
#[cfg(feature = "server")]
pub use crate::store::{
    CopyProgress, CopyReport, DatabaseInspection, FlaskDatabase, FlaskRow, TablesState,
};
pub use crate::store::{HookTransaction, MissedEvents};
