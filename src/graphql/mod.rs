//! The GraphQL door: schema, guard, and how errors are told.

mod audit;
mod connection;
mod context;
pub(crate) mod documents;
pub(crate) mod errors;
pub(crate) mod execute;
mod forms;
mod guard;
mod hooks;
mod limits;
mod mutation;
mod objects;
mod query;
mod users;
mod variables;

use std::sync::Arc;

use async_graphql::EmptySubscription;
// The other doors and the app pass a schema on, whatever its roots.
pub(crate) use async_graphql::{ObjectType, Schema, SchemaBuilder, SubscriptionType};

pub use self::context::ContextExt;
pub use self::guard::{Authenticated, RequireRole, RequireScope};
pub use self::mutation::Mutation;
pub use self::query::Query;
use crate::config::Limits;
use crate::service::Services;

/// A schema of the caller's roots, which Symbolon's are among.
pub(crate) fn schema<Q, M, S>(
    services: Arc<Services>,
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
    let builder = Schema::build(query, mutation, subscription)
        .data(services)
        .extension(hooks::Hooks)
        .limit_complexity(limits.complexity)
        .limit_recursive_depth(limits.nesting);
    if limits.introspection {
        builder
    } else {
        builder.disable_introspection().disable_suggestions()
    }
}

/// A schema of nothing but Symbolon's own types.
pub(crate) type OwnSchema = Schema<own::Query, own::Mutation, EmptySubscription>;

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

/// The builder of the [`OwnSchema`].
pub(crate) fn own_schema(
    services: Arc<Services>,
    limits: &Limits,
) -> SchemaBuilder<own::Query, own::Mutation, EmptySubscription> {
    schema(
        services,
        limits,
        own::Query::default(),
        own::Mutation::default(),
        EmptySubscription,
    )
}

/// Symbolon's own schema, as SDL.
#[must_use]
pub fn sdl() -> String {
    OwnSchema::new(
        own::Query::default(),
        own::Mutation::default(),
        EmptySubscription,
    )
    .sdl()
}
