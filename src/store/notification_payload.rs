//! The notification that announces the affected users of a transaction to other instances.

use crate::model::user::UserId;
use crate::store::affected_users::AffectedUsers;

/// The maximum length of a notification, in bytes. PostgreSQL requires less than 8000 bytes.
const MAX_PAYLOAD: usize = 7000;

impl AffectedUsers {
    /// Formats the notification that PostgreSQL sends to other instances with the commit. Returns `None` if no user
    /// is affected.
    pub(super) fn to_payload(&self) -> Option<String> {
        let ids = match self {
            Self::None => return None,
            Self::Some(users) => users.iter().map(UserId::to_string).collect::<Vec<_>>(),
            Self::All => Vec::new(),
        };
        let ids = ids.join(",");
        let fits = !ids.is_empty() && ids.len() <= MAX_PAYLOAD;
        Some(if fits { ids } else { "any".to_owned() })
    }

    /// Parses a notification. A notification that cannot be parsed affects all users.
    pub(super) fn from_payload(payload: &str) -> Self {
        let users = payload.split(',').map(|id| id.parse().map(UserId));
        users
            .collect::<Result<_, _>>()
            .map_or(Self::All, Self::Some)
    }
}
