//! Pages of a long list.

/// The request for a page of a list whose items have ascending positions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PageRequest {
    /// Selects the items after this position.
    pub(crate) after: Option<i64>,
    /// Selects the items before this position.
    pub(crate) before: Option<i64>,
    /// Selects the last items instead of the first.
    pub(crate) backwards: bool,
    /// The maximum number of items.
    pub(crate) limit: u64,
}

/// A page of items, in ascending order of their positions.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) has_previous: bool,
    pub(crate) has_next: bool,
}

impl PageRequest {
    /// Returns the request for one more item, which shows whether there is a further page.
    pub(crate) fn with_one_more(self) -> Self {
        Self {
            limit: self.limit + 1,
            ..self
        }
    }

    /// Returns the request that finds an item on the other side of the cursor. The nearest such item is the
    /// cursor's own.
    pub(crate) fn behind(self) -> Option<Self> {
        let one_item = Self {
            limit: 1,
            ..Self::default()
        };
        match (self.backwards, self.after, self.before) {
            (false, Some(after), _) => Some(Self {
                before: Some(after.saturating_add(1)),
                ..one_item
            }),
            (true, _, Some(before)) => Some(Self {
                after: Some(before.saturating_sub(1)),
                ..one_item
            }),
            _ => None,
        }
    }

    /// Creates the page from the items of [`PageRequest::with_one_more`] and [`PageRequest::behind`].
    pub(crate) fn page<T>(self, mut items: Vec<T>, behind: &[T]) -> Page<T> {
        let has_more = items.len() as u64 > self.limit;
        if has_more {
            items.remove(if self.backwards { 0 } else { items.len() - 1 });
        }
        let has_behind = !behind.is_empty();
        let (has_previous, has_next) = if self.backwards {
            (has_more, has_behind)
        } else {
            (has_behind, has_more)
        };
        Page {
            items,
            has_previous,
            has_next,
        }
    }
}
