//! Who a request speaks for.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::model::scopes::Scopes;
use crate::model::user::User;

/// Who a request speaks for, as its Bearer token shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    user: Arc<User>,
    expires_at: Option<DateTime<Utc>>,
    credential: Kind,
}

/// The credential of an identity.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Password,
    Session,
    Access(Access),
}

/// What a request's access token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Access {
    pub(crate) id: i64,
    pub(crate) scopes: Scopes,
}

impl Identity {
    /// By the username and the password.
    pub(crate) fn from_password(user: User) -> Self {
        Self {
            user: Arc::new(user),
            expires_at: None,
            credential: Kind::Password,
        }
    }

    /// By a session token, which may whatever its user may.
    pub(crate) fn from_session(user: User, expires_at: DateTime<Utc>) -> Self {
        Self {
            user: Arc::new(user),
            expires_at: Some(expires_at),
            credential: Kind::Session,
        }
    }

    /// By an access token.
    pub(crate) fn from_access_token(
        user: User,
        expires_at: Option<DateTime<Utc>>,
        access: Access,
    ) -> Self {
        Self {
            user: Arc::new(user),
            expires_at,
            credential: Kind::Access(access),
        }
    }

    /// The user that the token belongs to.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    pub(crate) fn shared_user(&self) -> Arc<User> {
        Arc::clone(&self.user)
    }

    /// When the token stops being valid; `None` for an access token that stays so until it is revoked.
    #[must_use]
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at
    }

    /// The number of the access token; `None` for a session token.
    #[must_use]
    pub fn access_token(&self) -> Option<i64> {
        self.access().map(|access| access.id)
    }

    pub(crate) fn is_session(&self) -> bool {
        matches!(self.credential, Kind::Session)
    }

    pub(crate) fn is_password(&self) -> bool {
        matches!(self.credential, Kind::Password)
    }

    fn access(&self) -> Option<&Access> {
        match &self.credential {
            Kind::Access(access) => Some(access),
            Kind::Password | Kind::Session => None,
        }
    }

    /// What the token may be used for; `*` is everything. Scopes narrow what its user may do, and
    /// never grant anything: authority is the role.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        match self.access() {
            Some(access) => access.scopes.as_slice(),
            None => Scopes::all(),
        }
    }

    /// Whether the token may be used for this.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().iter().any(|own| own == "*" || own == scope)
    }
}
