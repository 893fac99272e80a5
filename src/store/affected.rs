//! The accounts that a change concerns.

use crate::model::user::UserId;

/// The longest notification that is sent. PostgreSQL accepts less than 8000 bytes.
const LONGEST_PAYLOAD: usize = 7000;

/// The accounts whose cached identities a transaction invalidates.
#[derive(Clone, Debug, Default)]
pub(super) enum Affected {
    #[default]
    None,
    These(Vec<UserId>),
    Any,
}

impl Affected {
    /// The notification that PostgreSQL sends to other instances with the commit.
    pub(super) fn payload(&self) -> Option<String> {
        let accounts = match self {
            Self::None => return None,
            Self::These(accounts) => accounts.iter().map(UserId::to_string).collect::<Vec<_>>(),
            Self::Any => Vec::new(),
        };
        let accounts = accounts.join(",");
        let fits = !accounts.is_empty() && accounts.len() <= LONGEST_PAYLOAD;
        Some(if fits { accounts } else { "any".to_owned() })
    }

    /// Parses a notification. One that is not understood affects all accounts.
    pub(super) fn from_payload(payload: &str) -> Self {
        let accounts = payload.split(',').map(|id| id.parse().map(UserId));
        accounts
            .collect::<Result<Vec<_>, _>>()
            .map_or(Self::Any, Self::These)
    }
}
