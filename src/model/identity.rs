//! Who a request speaks for.

use chrono::{DateTime, Utc};

use crate::model::user::User;

/// Who a request speaks for, as its Bearer token shows.
#[derive(Clone, Debug)]
pub struct Identity {
    user: User,
    expires_at: DateTime<Utc>,
}

impl Identity {
    pub(crate) fn new(user: User, expires_at: DateTime<Utc>) -> Self {
        Self { user, expires_at }
    }

    /// The user that the token belongs to.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    /// When the token stops being valid.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        self.expires_at
    }
}
