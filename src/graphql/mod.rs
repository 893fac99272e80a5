//! The GraphQL API: schema, guards, limits of documents, and execution.

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

/// Starts a schema with these roots. The application merges Symbolon's roots into them.
pub(crate) fn schema<Q, M, S>(
    limits: &Limits,
    query: Q,
    mutation: M,
    subscription: S,
) -> SchemaBuilder<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    SchemaBuilder::new(limits, query, mutation, subscription)
}

/// The roots of Symbolon's own schema. [`super::Query`] and [`super::Mutation`] have other names in GraphQL,
/// since an application merges them into roots that are usually called `Query` and `Mutation`.
pub(crate) mod own {
    use async_graphql::MergedObject;

    /// The queries.
    ///
    /// A field that requires credentials returns an error if they are missing or not sufficient. The error
    /// has the code `UNAUTHENTICATED` or `FORBIDDEN` in `extensions.code`, and the reason in
    /// `extensions.reason`.
    #[derive(Debug, Default, MergedObject)]
    pub(crate) struct Query(super::Query);

    /// The mutations.
    ///
    /// A field that requires credentials returns an error if they are missing or not sufficient. The error
    /// has the code `UNAUTHENTICATED` or `FORBIDDEN` in `extensions.code`, and the reason in
    /// `extensions.reason`.
    ///
    /// Errors in the input are returned in `userErrors`. A field without `userErrors` returns them as an error
    /// with the code `BAD_USER_INPUT`.
    ///
    /// A request can verify one password and set one password. More cause the error `LIMIT_EXCEEDED`.
    #[derive(Debug, Default, MergedObject)]
    pub(crate) struct Mutation(super::Mutation);
}

/// Starts the schema that contains Symbolon's roots only.
pub(crate) fn own_schema(
    limits: &Limits,
) -> SchemaBuilder<own::Query, own::Mutation, EmptySubscription> {
    let (query, mutation) = (own::Query::default(), own::Mutation::default());
    schema(limits, query, mutation, EmptySubscription)
}

/// Returns Symbolon's own schema in the GraphQL schema definition language.
#[must_use]
pub fn sdl() -> String {
    let (query, mutation) = (own::Query::default(), own::Mutation::default());
    async_graphql::Schema::new(query, mutation, EmptySubscription).sdl()
}
