//! The GraphQL door: schema, guard, and how errors are told.

mod context;
pub(crate) mod errors;
mod guard;
mod mutation;
mod objects;
mod query;
mod users;

use std::sync::Arc;

use async_graphql::EmptySubscription;
use async_graphql::http::GraphiQLSource;
// The other doors and the app pass a schema on, whatever its roots.
pub(crate) use async_graphql::{ObjectType, Schema, SchemaBuilder, SubscriptionType};

pub use self::context::ContextExt;
pub use self::guard::Authenticated;
pub use self::mutation::Mutation;
pub use self::query::Query;
use crate::service::Services;

/// A schema of the caller's roots, which Symbolon's are among.
pub(crate) fn schema<Q, M, S>(
    services: Arc<Services>,
    query: Q,
    mutation: M,
    subscription: S,
) -> SchemaBuilder<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    Schema::build(query, mutation, subscription).data(services)
}

/// A page that explores the schema at `endpoint`.
pub(crate) fn graphiql(endpoint: &str) -> String {
    let page = GraphiQLSource::build().endpoint(endpoint);
    page.title("Symbolon").finish()
}

/// Symbolon's own schema, as SDL.
#[must_use]
pub fn sdl() -> String {
    Schema::new(Query, Mutation, EmptySubscription).sdl()
}
