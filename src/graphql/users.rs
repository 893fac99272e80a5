//! The connection of all accounts, after Relay's cursor connections specification.

use async_graphql::connection::PageInfo;
use async_graphql::{Context, Object, Result, SimpleObject};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Error;
use crate::graphql::context::services;
use crate::graphql::objects::User;
use crate::model;
use crate::model::identity::Identity;
use crate::model::user::{PageRequest, UserId};
use crate::service::Services;

const DEFAULT_PAGE: u64 = 20;
const LARGEST_PAGE: u64 = 100;

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
    first: Option<i32>,
    after: Option<String>,
    last: Option<i32>,
    before: Option<String>,
) -> Result<UserConnection, Error> {
    let (backwards, limit) = match (first, last) {
        (Some(_), Some(_)) => return Err(bad("Give first or last, not both.")),
        (None, None) => (false, DEFAULT_PAGE),
        (Some(first), None) => (false, checked(first)?),
        (None, Some(last)) => (true, checked(last)?),
    };
    let page = PageRequest {
        after: after.as_deref().map(decode).transpose()?,
        before: before.as_deref().map(decode).transpose()?,
        backwards,
        limit,
    };
    let page = services.users.page(page).await?;
    let edge = |user: model::user::User| UserEdge {
        cursor: encode(user.id),
        node: User::seen_by(viewer, user),
    };
    Ok(UserConnection {
        edges: page.users.into_iter().map(edge).collect(),
        has_previous_page: page.has_previous,
        has_next_page: page.has_next,
    })
}

/// How many accounts a page has at most, for what it may cost.
pub(super) fn page_size(first: Option<i32>, last: Option<i32>) -> usize {
    let asked_for = first
        .or(last)
        .map_or(DEFAULT_PAGE, |size| checked(size).unwrap_or(0));
    usize::try_from(asked_for).unwrap_or(0)
}

fn checked(asked_for: i32) -> Result<u64, Error> {
    u64::try_from(asked_for)
        .ok()
        .filter(|size| *size <= LARGEST_PAGE)
        .ok_or_else(|| bad("A page has 0 to 100 accounts."))
}

fn encode(id: UserId) -> String {
    URL_SAFE_NO_PAD.encode(format!("user:{id}"))
}

fn decode(cursor: &str) -> Result<UserId, Error> {
    let id = URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix("user:")?.parse().ok());
    id.ok_or_else(|| bad("This cursor is not one of this connection's."))
}

fn bad(why: &str) -> Error {
    Error::BadUserInput(why.to_owned())
}
