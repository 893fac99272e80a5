//! The queries. What waits for the database is in a box: each field of a type takes as much memory,
//! and as long to be moved about, as the largest one of that type.

use async_graphql::{Context, ID, Object, Result};

use crate::error::Error;
use crate::graphql::audit::{AuditEventConnection, AuditEventKind, audit_events};
use crate::graphql::connection::{Arguments, page_size};
use crate::graphql::context::{ContextExt, services};
use crate::graphql::guard::{Authenticated, RequireRole};
use crate::graphql::objects::User;
use crate::graphql::users::{UserConnection, users};
use crate::model::audit::EventFilter;
use crate::model::user::{Role, UserId};

/// Symbolon's queries; merge it with your own root.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query;

/// Symbolon's queries.
#[Object(name = "SymbolonQuery")]
impl Query {
    /// The account of whoever is asking.
    #[graphql(guard = "Authenticated")]
    async fn me(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(User::own(ctx.identity().await?.shared_user()))
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
                Ok(id) => Box::pin(users.by_id(id)).await?,
                Err(_) => None,
            },
            (None, Some(username)) => Box::pin(users.by_username(&username)).await?,
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
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        Ok(Box::pin(users(services(ctx)?, &viewer, arguments)).await?)
    }

    /// The audit trail: what happened to accounts and tokens, the newest first, page by page (Relay's
    /// connections): 20 a page unless `first` or `last` says otherwise, 100 at most. For admins.
    #[graphql(
        guard = "RequireRole(Role::Admin)",
        complexity = "page_size(first, last) * child_complexity + 1"
    )]
    #[expect(clippy::too_many_arguments, reason = "they are the field's")]
    async fn audit_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only what happened to the account with this number.")] user_id: Option<
            ID,
        >,
        #[graphql(desc = "Only events of this kind.")] kind: Option<AuditEventKind>,
        #[graphql(desc = "This many from the newest on.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "This many up to the oldest.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<AuditEventConnection> {
        let filter = EventFilter {
            // What is no number is nobody's.
            user: user_id.map(|id| id.parse().unwrap_or(UserId(0))),
            kind: kind.map(Into::into),
        };
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        Ok(Box::pin(audit_events(services(ctx)?, filter, arguments)).await?)
    }
}
