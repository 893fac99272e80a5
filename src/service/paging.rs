//! Loads one page of a list.

use crate::error::Error;
use crate::model::pagination::{Page, PageRequest};

/// Returns the requested page. `load` returns the items that a request selects, in ascending order of position.
pub(super) async fn load_page<T, F>(
    request: PageRequest,
    load: impl Fn(PageRequest) -> F,
) -> Result<Page<T>, Error>
where
    F: Future<Output = Result<Vec<T>, Error>>,
{
    let items = load(request.with_one_more()).await?;
    let opposite = match request.opposite_side() {
        Some(opposite) => load(opposite).await?,
        None => Vec::new(),
    };
    Ok(request.page(items, &opposite))
}
