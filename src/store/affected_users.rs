//! The users that a transaction affects.

use crate::model::user::UserId;

/// The users whose cached identities a transaction invalidates.
#[derive(Clone, Debug, Default)]
pub(super) enum AffectedUsers {
    #[default]
    None,
    Some(Vec<UserId>),
    All,
}

impl AffectedUsers {
    /// Adds a user.
    pub(super) fn add(&mut self, user: UserId) {
        match self {
            Self::All => {}
            Self::Some(users) if users.contains(&user) => {}
            Self::Some(users) => users.push(user),
            Self::None => *self = Self::Some(vec![user]),
        }
    }
}
