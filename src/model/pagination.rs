//! A stretch of a long list.

/// A stretch of a list whose entries have ascending positions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PageRequest {
    /// Only what comes after this position.
    pub(crate) after: Option<i64>,
    /// Only what comes before this position.
    pub(crate) before: Option<i64>,
    /// The last `limit` of them instead of the first.
    pub(crate) backwards: bool,
    /// How many at most.
    pub(crate) limit: u64,
}

/// A page, in ascending order of positions.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) has_previous: bool,
    pub(crate) has_next: bool,
}

impl PageRequest {
    /// What to fetch for the page: one entry more tells whether there is more.
    pub(crate) fn with_one_more(self) -> Self {
        Self {
            limit: self.limit + 1,
            ..self
        }
    }

    /// What to fetch to know whether there is something on the side that the page is not read towards.
    /// There, the cursor's own entry is the nearest.
    pub(crate) fn behind(self) -> Option<Self> {
        let one = Self {
            limit: 1,
            ..Self::default()
        };
        match (self.backwards, self.after, self.before) {
            (false, Some(after), _) => Some(Self {
                before: Some(after.saturating_add(1)),
                ..one
            }),
            (true, _, Some(before)) => Some(Self {
                after: Some(before.saturating_sub(1)),
                ..one
            }),
            _ => None,
        }
    }

    /// The page, from what was fetched for it.
    pub(crate) fn page<T>(self, mut with_one_more: Vec<T>, behind: &[T]) -> Page<T> {
        let items = &mut with_one_more;
        let more = items.len() as u64 > self.limit;
        if more {
            items.remove(if self.backwards { 0 } else { items.len() - 1 });
        }
        let behind = !behind.is_empty();
        let (has_previous, has_next) = if self.backwards {
            (more, behind)
        } else {
            (behind, more)
        };
        Page {
            items: with_one_more,
            has_previous,
            has_next,
        }
    }
}
