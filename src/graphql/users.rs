//! The connection of all accounts.

use async_graphql::connection::PageInfo;
use async_graphql::{Context, Object, Result, SimpleObject};

use crate::error::Error;
use crate::graphql::connection::{Arguments, cursor};
use crate::graphql::context::services;
use crate::graphql::objects::User;
use crate::model;
use crate::model::identity::Identity;
use crate::service::Services;

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
        Ok(services(ctx)?.users.count().await?)
    }
}

pub(super) async fn users(
    services: &Services,
    viewer: &Identity,
    arguments: Arguments,
) -> Result<UserConnection, Error> {
    let page = services.users.page(arguments.page("user")?).await?;
    let edge = |user: model::user::User| UserEdge {
        cursor: cursor("user", user.id.0),
        node: User::seen_by(viewer, user),
    };
    Ok(UserConnection {
        edges: page.items.into_iter().map(edge).collect(),
        has_previous_page: page.has_previous,
        has_next_page: page.has_next,
    })
}
