//! The GraphQL state: schema, guard, and how errors are told.

mod audit_events;
mod context;
mod data_loader;
pub(crate) mod document_cache;
mod document_limits;
pub(crate) mod errors;
pub(crate) mod execution;
mod fast_path;
mod guard;
mod mutation;
mod mutation_types;
mod object_types;
mod pagination;
mod query;
mod schema;
mod spec_extension;
mod user_connection;
mod variables;

use async_graphql::EmptySubscription;
// The other doors and the app pass a schema on, whatever its roots.
pub(crate) use async_graphql::{ObjectType, SubscriptionType};

pub use self::context::ContextExt;
pub use self::guard::{Authenticated, RequireRole, RequireScope};
pub use self::mutation::Mutation;
pub use self::query::Query;
pub use self::schema::{Schema, SchemaBuilder};
use crate::config::Limits;

/// A schema of the caller's roots, which Symbolon's are among.
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

/// Symbolon's roots under the names that roots have. Those to be merged have other names, since two
/// types of one schema may not share one.
pub(crate) mod own {
    use async_graphql::MergedObject;

    /// What can be asked.
    #[derive(Debug, Default, MergedObject)]
    pub(crate) struct Query(super::Query);

    /// What can be changed.
    #[derive(Debug, Default, MergedObject)]
    pub(crate) struct Mutation(super::Mutation);
}

/// The same of nothing but Symbolon's own types.
pub(crate) fn own_schema(
    limits: &Limits,
) -> SchemaBuilder<own::Query, own::Mutation, EmptySubscription> {
    schema(
        limits,
        own::Query::default(),
        own::Mutation::default(),
        EmptySubscription,
    )
}

/// Symbolon's own schema, as SDL.
#[must_use]
pub fn sdl() -> String {
    async_graphql::Schema::new(
        own::Query::default(),
        own::Mutation::default(),
        EmptySubscription,
    )
    .sdl()
}
