//! Pages of a long list.

/// A request for one page of a list whose items have ascending positions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PageRequest {
    /// Selects the items after this position.
    pub(crate) after: Option<i64>,
    /// Selects the items before this position.
    pub(crate) before: Option<i64>,
    /// Whether the last matching items are selected instead of the first matching items.
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
    /// Returns a request for one additional item, which shows whether there is a further page.
    pub(crate) fn with_one_more(self) -> Self {
        Self {
            limit: self.limit + 1,
            ..self
        }
    }

    /// Returns a request for one item on the other side of the cursor at which the page begins, including the item at
    /// the cursor. Such an item shows that there is a page in the other direction. Returns `None` if the page does
    /// not begin at a cursor.
    pub(crate) fn opposite_side(self) -> Option<Self> {
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

    /// Creates the page. `items` are the items for [`PageRequest::with_one_more`] and for
    /// [`PageRequest::opposite_side`] with their positions, in any order.
    pub(crate) fn page<T>(self, mut items: Vec<(i64, T)>) -> Page<T> {
        items.sort_unstable_by_key(|(position, _)| *position);
        let read = items.len();
        items.retain(|(position, _)| !self.is_opposite(*position));
        let has_opposite = items.len() < read;
        let has_more = items.len() as u64 > self.limit;
        if has_more {
            items.remove(if self.backwards { 0 } else { items.len() - 1 });
        }
        let (has_previous, has_next) = if self.backwards {
            (has_more, has_opposite)
        } else {
            (has_opposite, has_more)
        };
        Page {
            items: items.into_iter().map(|(_, item)| item).collect(),
            has_previous,
            has_next,
        }
    }

    /// Returns whether the item at `position` is on the other side of the cursor at which the page begins.
    fn is_opposite(self, position: i64) -> bool {
        if self.backwards {
            self.before.is_some_and(|before| position >= before)
        } else {
            self.after.is_some_and(|after| position <= after)
        }
    }
}

impl<T> Page<T> {
    /// Converts each item.
    pub(crate) fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(convert).collect(),
            has_previous: self.has_previous,
            has_next: self.has_next,
        }
    }
}
