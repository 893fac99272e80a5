//! The connection of all accounts.

use async_graphql::connection::PageInfo;
use async_graphql::{Context, Object, Result, SimpleObject};

use crate::error::Error;
use crate::graphql::context::{authentication, services};
use crate::graphql::object_types::User;
use crate::graphql::pagination::{Arguments, cursor};
use crate::service::Services;
use crate::service::authorization::Caller;
use crate::service::visible_user::VisibleUser;

/// A page of accounts.
#[derive(Debug)]
pub(crate) struct UserConnection {
    edges: Vec<UserEdge>,
    has_previous_page: bool,
    has_next_page: bool,
}

/// An account on a page.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct UserEdge {
    /// Where the account stands in the whole; opaque.
    cursor: String,
    /// The account.
    node: User,
}

/// A page of accounts.
#[Object]
impl UserConnection {
    /// The accounts of the page, each with its cursor.
    async fn edges(&self) -> &[UserEdge] {
        &self.edges
    }

    /// The accounts of the page.
    async fn nodes(&self) -> Vec<&User> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Where the page begins and ends, and whether there is more.
    async fn page_info(&self) -> PageInfo {
        PageInfo {
            has_previous_page: self.has_previous_page,
            has_next_page: self.has_next_page,
            start_cursor: self.edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: self.edges.last().map(|edge| edge.cursor.clone()),
        }
    }

    /// How many accounts there are on all pages. Counted only when asked for.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<u64> {
        let caller = authentication(ctx)?.into();
        Ok(services(ctx)?.users.count(caller).await?)
    }
}

pub(super) async fn users(
    services: &Services,
    caller: Caller<'_>,
    arguments: Arguments,
) -> Result<UserConnection, Error> {
    let page = services.users.page(caller, arguments.page("user")?).await?;
    let edge = |user: VisibleUser| UserEdge {
        cursor: cursor("user", user.id().0),
        node: User(user),
    };
    Ok(UserConnection {
        edges: page.items.into_iter().map(edge).collect(),
        has_previous_page: page.has_previous,
        has_next_page: page.has_next,
    })
}
