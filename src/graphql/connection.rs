//! Pages of lists, as defined by the
//! [Relay cursor connections specification](https://relay.dev/graphql/connections.htm).

use std::borrow::Cow;

use async_graphql::connection::{EmptyFields, PageInfo};
use async_graphql::{Object, ObjectType, OutputType, TypeName};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Error;
use crate::model::pagination::{Page, PageRequest};
use crate::model::text_limits;

const DEFAULT_PAGE_SIZE: u64 = 20;
const MAX_PAGE_SIZE: u64 = 100;

/// A page of a list. `F` contains the fields that only this type of connection has.
pub(crate) struct Connection<T: OutputType, F = EmptyFields> {
    edges: Vec<Edge<T>>,
    has_previous_page: bool,
    has_next_page: bool,
    fields: F,
}

/// An entry of a list, with its position.
pub(crate) struct Edge<T: OutputType> {
    kind: &'static str,
    position: i64,
    node: T,
}

/// An entry of a list, with its position.
#[Object(name_type)]
impl<T: OutputType> Edge<T> {
    /// An opaque string that identifies the position of the entry in the list, for use in the arguments
    /// `after` and `before`.
    async fn cursor(&self) -> String {
        self.encode_cursor()
    }

    /// The entry.
    async fn node(&self) -> &T {
        &self.node
    }
}

impl<T: OutputType> Edge<T> {
    fn encode_cursor(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}:{}", self.kind, self.position))
    }
}

impl<T: OutputType, F> Connection<T, F> {
    /// Creates a connection from a page. `entry` converts an item to its position and its node.
    pub(super) fn new<I>(
        kind: &'static str,
        page: Page<I>,
        fields: F,
        entry: impl Fn(I) -> (i64, T),
    ) -> Self {
        let edge = |item| {
            let (position, node) = entry(item);
            Edge {
                kind,
                position,
                node,
            }
        };
        Self {
            edges: page.items.into_iter().map(edge).collect(),
            has_previous_page: page.has_previous,
            has_next_page: page.has_next,
            fields,
        }
    }
}

/// A page of a list, as defined by the
/// [GraphQL Cursor Connections Specification](https://relay.dev/graphql/connections.htm).
#[Object(name_type)]
#[expect(clippy::unused_async, reason = "resolvers are asynchronous")]
impl<T: OutputType, F: ObjectType> Connection<T, F> {
    /// The entries of the page, each with its cursor.
    async fn edges(&self) -> &[Edge<T>] {
        &self.edges
    }

    /// The entries of the page, without cursors.
    async fn nodes(&self) -> Vec<&T> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// The cursors of the first and the last entry of the page, and whether there are entries before and
    /// after the page.
    async fn page_info(&self) -> PageInfo {
        PageInfo {
            has_previous_page: self.has_previous_page,
            has_next_page: self.has_next_page,
            start_cursor: self.edges.first().map(Edge::encode_cursor),
            end_cursor: self.edges.last().map(Edge::encode_cursor),
        }
    }

    #[graphql(flatten)]
    async fn fields(&self) -> &F {
        &self.fields
    }
}

impl<T: OutputType, F: ObjectType> TypeName for Connection<T, F> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", T::type_name()).into()
    }
}

impl<T: OutputType> TypeName for Edge<T> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", T::type_name()).into()
    }
}

/// The pagination arguments of a connection field.
pub(super) struct PageArguments {
    pub(super) first: Option<i32>,
    pub(super) after: Option<String>,
    pub(super) last: Option<i32>,
    pub(super) before: Option<String>,
}

impl PageArguments {
    /// Parses the arguments. The cursors must be of this `kind`.
    pub(super) fn parse(self, kind: &str) -> Result<PageRequest, Error> {
        let (backwards, limit) = match (self.first, self.last) {
            (Some(_), Some(_)) => {
                return Err(bad_input(
                    "The arguments first and last cannot be combined. Give only one of them.",
                ));
            }
            (None, None) => (false, DEFAULT_PAGE_SIZE),
            (Some(first), None) => (false, parse_page_size(first)?),
            (None, Some(last)) => (true, parse_page_size(last)?),
        };
        let position = |cursor: Option<String>| cursor.map(|text| decode(kind, &text)).transpose();
        Ok(PageRequest {
            after: position(self.after)?,
            before: position(self.before)?,
            backwards,
            limit,
        })
    }
}

/// Returns the maximum number of entries of a page, for the computation of complexity. An invalid size
/// counts as 0.
pub(super) fn page_size(first: Option<i32>, last: Option<i32>) -> usize {
    let size = first
        .or(last)
        .map_or(Ok(DEFAULT_PAGE_SIZE), parse_page_size);
    size.ok()
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(0)
}

/// Returns the complexity of a list of at most `max` entries. Each entry adds 1 to the complexity of
/// its selections, because async-graphql counts `__typename` as 0.
pub(super) fn list_complexity(max: usize, child_complexity: usize) -> usize {
    max.saturating_mul(child_complexity.saturating_add(1))
}

fn parse_page_size(size: i32) -> Result<u64, Error> {
    u64::try_from(size)
        .ok()
        .filter(|size| *size <= MAX_PAGE_SIZE)
        .ok_or_else(|| bad_input("The arguments first and last must be between 0 and 100."))
}

fn decode(kind: &str, cursor: &str) -> Result<i64, Error> {
    let position = (cursor.len() <= text_limits::CURSOR)
        .then(|| URL_SAFE_NO_PAD.decode(cursor).ok())
        .flatten()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix(kind)?.strip_prefix(':')?.parse().ok());
    position.ok_or_else(|| {
        bad_input("The cursor is not valid. Use a cursor that the same connection returned.")
    })
}

pub(super) fn bad_input(message: &str) -> Error {
    Error::BadUserInput(message.to_owned())
}
