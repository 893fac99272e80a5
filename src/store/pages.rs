//! Reads one page of a long list with one statement.

use sea_orm::sea_query::{Asterisk, Expr, Order, SelectStatement, UnionType};
use sea_orm::{ColumnTrait, ConnectionTrait, QueryResult};

use crate::error::Error;
use crate::model::pagination::{Page, PageRequest};

/// A list of rows in the order of their ids.
#[derive(Debug)]
pub(super) struct List<C> {
    /// The statement that selects all rows. Its first column is the id.
    pub(super) rows: SelectStatement,
    /// The column of the id.
    pub(super) id: C,
    /// Whether the ids descend. In this case, the position of a row is its negated id. Otherwise, the position is the
    /// id.
    pub(super) newest_first: bool,
}

impl<C: ColumnTrait> List<C> {
    /// Reads a page. `convert` converts a row to an item.
    pub(super) async fn page<T>(
        &self,
        connection: &impl ConnectionTrait,
        request: PageRequest,
        convert: impl Fn(&QueryResult) -> Result<T, Error>,
    ) -> Result<Page<T>, Error> {
        let rows = self.select(request.with_one_more());
        let statement = match request.opposite_side() {
            Some(opposite) => union(rows, self.select(opposite)),
            None => rows,
        };
        let rows = connection.query_all(&statement).await?;
        let items = rows.iter().map(|row| {
            let id = row.try_get_by_index(0)?;
            Ok((self.other(id), convert(row)?))
        });
        Ok(request.page(items.collect::<Result<_, Error>>()?))
    }

    /// Returns the statement that selects the rows of a request, in any order.
    fn select(&self, request: PageRequest) -> SelectStatement {
        let mut rows = self.rows.clone();
        let (after, before) = (request.after, request.before);
        let (above, below) = if self.newest_first {
            (before, after)
        } else {
            (after, before)
        };
        if let Some(above) = above {
            rows.and_where(self.id.gt(self.other(above)));
        }
        if let Some(below) = below {
            rows.and_where(self.id.lt(self.other(below)));
        }
        let order = if request.backwards == self.newest_first {
            Order::Asc
        } else {
            Order::Desc
        };
        rows.order_by_expr(Expr::col(self.id.as_column_ref()), order);
        rows.limit(request.limit);
        rows
    }

    /// Converts a position to an id, or an id to a position.
    fn other(&self, number: i64) -> i64 {
        if self.newest_first {
            number.saturating_neg()
        } else {
            number
        }
    }
}

/// Returns a statement that selects the rows of both statements.
fn union(one: SelectStatement, other: SelectStatement) -> SelectStatement {
    // SQLite permits neither `ORDER BY` nor parentheses in the parts of a union.
    let [mut one, other] = [one, other].map(|part| {
        let mut rows = SelectStatement::new();
        rows.column(Asterisk).from_subquery(part, "part").to_owned()
    });
    one.union(UnionType::All, other).to_owned()
}
