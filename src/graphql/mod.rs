//! The GraphQL API: schema, guards, limits on documents, and execution.

mod access_token;
mod audit_events;
mod connection;
mod context;
mod data_loader;
pub(crate) mod document;
pub(crate) mod document_cache;
mod document_limits;
pub(crate) mod errors;
pub(crate) mod execution;
mod fast_path;
mod guard;
mod mutation;
mod mutation_inputs;
mod mutation_payloads;
mod one_time_link;
mod query;
mod schema;
mod session_token;
mod spec_extension;
mod user;
mod user_error;
mod variables;

use async_graphql::EmptySubscription;
pub(crate) use async_graphql::{ObjectType, SubscriptionType};

pub use self::context::ContextExt;
pub use self::guard::{Authenticated, RequireRole, RequireScope};
pub use self::mutation::Mutation;
pub use self::query::Query;
pub use self::schema::{Schema, SchemaBuilder};
use crate::config::Limits;

/// The roots of Symbolon's own schema. [`super::Query`] and [`super::Mutation`] cannot be used as
/// roots, because they are not called `Query` and `Mutation` in GraphQL: applications merge them into
/// roots that have those names.
pub(crate) mod own {
    use async_graphql::MergedObject;

    /// The queries.
    ///
    /// If a field requires credentials, and the credentials of the request are missing or insufficient, the
    /// field returns an error. The error has the code `UNAUTHENTICATED` or `FORBIDDEN` in
    /// `extensions.code`, and the reason in `extensions.reason`.
    #[derive(Debug, Default, MergedObject)]
    pub(crate) struct Query(super::Query);

    /// The mutations.
    ///
    /// If a field requires credentials, and the credentials of the request are missing or insufficient, the
    /// field returns an error. The error has the code `UNAUTHENTICATED` or `FORBIDDEN` in
    /// `extensions.code`, and the reason in `extensions.reason`.
    ///
    /// Errors in the input are returned in `userErrors`. A field whose result has no `userErrors` returns
    /// an error with the code `BAD_USER_INPUT` instead.
    ///
    /// A request can verify at most one password and set at most one password. A field that exceeds one of
    /// these limits returns the error `LIMIT_EXCEEDED`.
    #[derive(Debug, Default, MergedObject)]
    pub(crate) struct Mutation(super::Mutation);
}

/// Returns a builder for a schema that contains only Symbolon's roots.
pub(crate) fn own_schema(
    limits: &Limits,
) -> SchemaBuilder<own::Query, own::Mutation, EmptySubscription> {
    let (query, mutation) = (own::Query::default(), own::Mutation::default());
    SchemaBuilder::new(limits, query, mutation, EmptySubscription)
}

/// Returns Symbolon's own schema in the GraphQL schema definition language.
#[must_use]
pub fn sdl() -> String {
    own_schema(&Limits::default()).finish().sdl()
}
