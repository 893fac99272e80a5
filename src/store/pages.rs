//! Queries for one page of a long list.

use sea_orm::{Cursor, SelectorTrait};

use crate::model::pagination::PageRequest;

/// Restricts a query to the rows of a page.
pub(super) fn select_page<S: SelectorTrait>(cursor: &mut Cursor<S>, page: PageRequest) {
    if let Some(after) = page.after {
        cursor.after(after);
    }
    if let Some(before) = page.before {
        cursor.before(before);
    }
    if page.backwards {
        cursor.last(page.limit);
    } else {
        cursor.first(page.limit);
    }
}
