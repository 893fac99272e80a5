//! Token authentication for GraphQL, to build your own API on.
//!
//! A user registers, trades username and password for a temporary opaque token with `createToken`,
//! and sends it as a Bearer token; the guard [`Authenticated`] resolves the current user;
//! `revokeToken` ends it at once. The bearer holds the token; the server keeps only its digest.
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
//! let symbolon = Symbolon::open(Config::from_env()?).await?;
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
//! # The map of the code
//!
//! Nouns, rows, verbs, doors, and each only knows what stands before it:
//!
//! | room | what lives there |
//! |---|---|
//! | `model` | nouns, no I/O: users, tokens (plain and digest are two types), passwords, identities |
//! | `store` | rows: the only room where SeaORM is spoken, over the crates `entity` and `migration` |
//! | `service` | verbs, one file for each: authenticate, issue and revoke tokens, hash, register |
//! | `graphql` | state: schema, guard, limits, the one way to execute, how errors are told |
//! | `http` | state: connections, the `Authorization` header, GraphQL over HTTP, `/tokens`, `/auth`, health |
//! | `operator` | state: [`Operator`], for programs of whoever runs the server |
//! | `app` | puts the parts together: [`Symbolon`] |
//! | `cli` | state of the binary: one file for each subcommand |
//!
//! Beside them stand `error` (the one table of how errors are answered), `config`, `clock` and `background`
//! (tasks that are started again after a panic).

mod app;
mod background;
mod clock;
mod config;
mod error;
mod graphql;
mod http;
mod model;
mod operator;
mod service;
mod store;

pub use crate::app::Symbolon;
pub use crate::clock::{Clock, DatabaseClock, MockClock};
pub use crate::config::{
    Config, HttpConfig, Limits, PostgresConfig, Secret, ThrottleConfig, UserList,
};
pub use crate::error::{Error, Forbidden, StartError, Unauthenticated};
pub use crate::graphql::{
    Authenticated, ContextExt, Mutation, Query, RequireRole, RequireScope, Schema, SchemaBuilder,
    sdl,
};
pub use crate::http::Middleware;
pub use crate::model::audit_event::{
    ActorType, AuditEvent, AuditEventKind, CredentialType, EventFilter,
};
pub use crate::model::identity::Identity;
pub use crate::model::imported_user::{ImportResult, ImportedPassword, ImportedUser};
pub use crate::model::live_token::LiveToken;
pub use crate::model::rate_limit::Rate;
pub use crate::model::user::{Role, User, UserId};
pub use crate::model::validation::{FieldError, FieldErrorCode, MutationError};
pub use crate::operator::Operator;
pub use crate::service::registration::Registration;
pub use crate::service::similar_usernames::SimilarUsernames;
pub use crate::store::{FlaskDatabase, FlaskRow};
