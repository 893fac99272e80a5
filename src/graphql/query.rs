//! The queries. What waits for the database is in a box: each field of a type takes as much memory,
//! and as long to be moved about, as the largest one of that type.

use async_graphql::{Context, ID, Object, Result};

use crate::error::Error;
use crate::graphql::audit_events::{AuditEventConnection, AuditEventKind, audit_events};
use crate::graphql::context::{authentication, services};
use crate::graphql::object_types::{User, user_id};
use crate::graphql::pagination::{Arguments, page_size};
use crate::graphql::user_connection::{UserConnection, users};
use crate::model::audit_event::EventFilter;
use crate::service::users::UserKey;

/// Symbolon's queries; merge it with your own root.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query;

/// Symbolon's queries.
#[Object(name = "SymbolonQuery")]
impl Query {
    /// The account of the caller.
    async fn me(&self, ctx: &Context<'_>) -> Result<User> {
        let me = services(ctx)?.users.me(authentication(ctx)?).await?;
        Ok(User(me))
    }

    /// The account with this id or this username, exactly one of the two; null if there is none. For
    /// admins, and for the caller's own account. An access token needs the scope `account:read`.
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account's number.")] id: Option<ID>,
        #[graphql(desc = "The account's name, in any spelling that is the same name.")]
        username: Option<String>,
    ) -> Result<Option<User>> {
        let key = match (&id, &username) {
            (Some(id), None) => UserKey::Id(user_id(id)),
            (None, Some(username)) => UserKey::Name(username),
            _ => {
                let why = "Give exactly one of id and username.".to_owned();
                return Err(Error::BadUserInput(why).into());
            }
        };
        let caller = authentication(ctx)?.into();
        let found = Box::pin(services(ctx)?.users.find(caller, key)).await?;
        Ok(found.map(User))
    }

    /// All accounts in the order of their registration, page by page (Relay's connections): 20 a page
    /// unless `first` or `last` says otherwise, 100 at most. For admins, unless the server is configured
    /// to list accounts for all of them. An access token needs the scope `account:read`.
    #[graphql(complexity = "page_size(first, last) * child_complexity + 1")]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "This many from the start.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "This many from the end.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<UserConnection> {
        let caller = authentication(ctx)?.into();
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        Ok(Box::pin(users(services(ctx)?, caller, arguments)).await?)
    }

    /// The audit trail: what happened to accounts and tokens, the newest first, page by page (Relay's
    /// connections): 20 a page unless `first` or `last` says otherwise, 100 at most. For admins. An
    /// access token needs the scope `audit:read`.
    #[graphql(complexity = "page_size(first, last) * child_complexity + 1")]
    #[expect(clippy::too_many_arguments, reason = "they are the field's")]
    async fn audit_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            name = "userId",
            desc = "Only what happened to the account with this number."
        )]
        user: Option<ID>,
        #[graphql(desc = "Only events of this kind.")] kind: Option<AuditEventKind>,
        #[graphql(desc = "This many from the newest on.")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "This many up to the oldest.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<AuditEventConnection> {
        let caller = authentication(ctx)?.into();
        let filter = EventFilter {
            user: user.as_ref().map(user_id),
            kind: kind.map(Into::into),
        };
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        Ok(Box::pin(audit_events(services(ctx)?, caller, filter, arguments)).await?)
    }
}
