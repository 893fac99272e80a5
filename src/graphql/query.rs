//! The queries.

use async_graphql::{Context, ID, Object, Result};

use crate::error::Error;
use crate::graphql::context::{ContextExt, services};
use crate::graphql::guard::Authenticated;
use crate::graphql::objects::User;
use crate::graphql::users::{UserConnection, page_size, users};

/// Symbolon's queries; merge it with your own root.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query;

/// Symbolon's queries.
#[Object(name = "SymbolonQuery")]
impl Query {
    /// The account of whoever is asking.
    #[graphql(guard = "Authenticated")]
    async fn me(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::own(ctx.current_user().await?))
    }

    /// The account with this id or this username, exactly one of the two; null if there is none.
    #[graphql(guard = "Authenticated")]
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account's number.")] id: Option<ID>,
        #[graphql(desc = "The account's name, in any spelling that is the same name.")]
        username: Option<String>,
    ) -> Result<Option<User>> {
        let users = &services(ctx)?.users;
        let user = match (id, username) {
            // What is no number is nobody's id.
            (Some(id), None) => match id.parse() {
                Ok(id) => users.by_id(id).await?,
                Err(_) => None,
            },
            (None, Some(username)) => users.by_username(&username).await?,
            _ => {
                let why = "Give exactly one of id and username.".to_owned();
                return Err(Error::BadUserInput(why).into());
            }
        };
        let viewer = ctx.identity().await?;
        Ok(user.map(|user| User::seen_by(&viewer, user)))
    }

    /// All accounts in the order of their registration, page by page (Relay's connections): 20 a page
    /// unless `first` or `last` says otherwise, 100 at most.
    #[graphql(
        guard = "Authenticated",
        complexity = "page_size(first, last) * child_complexity + 1"
    )]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "This many from the start.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "This many from the end.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<UserConnection> {
        let viewer = ctx.identity().await?;
        let services = services(ctx)?;
        Ok(users(services, &viewer, first, after, last, before).await?)
    }
}
