//! The schema that contains only Symbolon's own types.

use async_graphql::EmptySubscription;

use crate::config::Limits;
use crate::graphql::mutation::Mutation;
use crate::graphql::query::Query;
use crate::graphql::schema::SchemaBuilder;

/// The roots of Symbolon's own schema. [`super::Query`] and [`super::Mutation`] cannot be used as
/// roots, because they are not called `Query` and `Mutation` in GraphQL: applications merge them into
/// roots that have those names.
pub(crate) mod roots {
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
pub(crate) fn standalone_schema(
    limits: &Limits,
) -> SchemaBuilder<roots::Query, roots::Mutation, EmptySubscription> {
    let (query, mutation) = (roots::Query::default(), roots::Mutation::default());
    SchemaBuilder::new(limits, query, mutation, EmptySubscription)
}

/// Returns Symbolon's own schema in the GraphQL schema definition language.
///
/// ```
/// // A build script writes the schema for the code generator of a client.
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("schema.graphql");
/// std::fs::write(file, symbolon::sdl())?;
/// assert!(symbolon::sdl().contains("createToken"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn sdl() -> String {
    standalone_schema(&Limits::default()).finish().sdl()
}
