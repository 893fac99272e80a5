//! Users as entities of Apollo Federation.

use async_graphql::{Context, ID, Object, Result};

use crate::graphql::context::caller;
use crate::graphql::user::{User, user_id};
use crate::service::users::UserKey;

/// The entity `User` of [Apollo Federation](https://www.apollographql.com/docs/graphos/schema-design/federated-schemas/entities/intro),
/// to be merged with the queries of an application. Other subgraphs can then refer to users: `type User @key(fields: "id")`.
///
/// - The requirement is that of the query `user(id:)`, and the router must forward the header `Authorization` of the client:
///   a session token, or an access token with the scope `account:read`. To read another user, the caller also needs the role
///   `ADMIN`, unless the setting [`Config::user_list`](crate::Config::user_list) allows all users to see other users.
/// - One database query reads all users of a list of representations. A user who does not exist is null.
/// - The complexity of the document is multiplied by the number of representations. [`Limits`](crate::Limits) also limits
///   their number.
/// - `_service` returns the schema in the SDL. If [introspection](crate::Limits::introspection) is disabled, `_service` is
///   refused, and the router needs the SDL from a file.
///
/// ```
/// use async_graphql::{EmptySubscription, MergedObject};
/// use symbolon::graphql::UserEntities;
/// use symbolon::{Mutation, Symbolon};
///
/// #[derive(MergedObject, Default)]
/// struct Query(symbolon::Query, UserEntities);
///
/// fn schema(symbolon: &Symbolon) -> symbolon::Schema<Query, Mutation, EmptySubscription> {
///     symbolon.schema(Query::default(), Mutation, EmptySubscription).finish()
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct UserEntities;

#[Object(name = "SymbolonUserEntities")]
impl UserEntities {
    #[graphql(entity)]
    async fn user(&self, ctx: &Context<'_>, id: ID) -> Result<Option<User>> {
        let id = user_id(&id);
        let (caller, services) = caller(ctx)?;
        let key = UserKey::Id(id);
        Box::pin(services.users.check_find(caller, key)).await?;
        User::load(ctx, id).await
    }
}
