//! The fields of an account that a caller may read.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::error::{Error, Forbidden};
use crate::model::identity::Identity;
use crate::model::scopes::ACCOUNT_READ;
use crate::model::user::{Role, User, UserId};

/// An account as one caller may see it. `id` and `username` are visible to every caller. All else is for
/// the account itself and for admins, and for access tokens only with the scope `account:read`. Others
/// get `None`.
#[derive(Clone, Debug)]
pub(crate) struct VisibleUser {
    user: Arc<User>,
    is_own: bool,
    access: Access,
}

/// The access to the private fields.
#[derive(Clone, Copy, Debug)]
enum Access {
    Allowed,
    /// The access token lacks the scope.
    ScopeRequired,
    /// The account is another's, and the caller is not an admin.
    Denied,
}

impl VisibleUser {
    /// The account as the caller with this identity may see it.
    pub(super) fn seen_by(identity: &Identity, user: Arc<User>) -> Self {
        let viewer = identity.user();
        let is_own = viewer.id == user.id;
        let access = if !is_own && viewer.role < Role::Admin {
            Access::Denied
        } else if identity.has_scope(ACCOUNT_READ) {
            Access::Allowed
        } else {
            Access::ScopeRequired
        };
        Self {
            user,
            is_own,
            access,
        }
    }

    /// The whole account: for the operator, for the client that has just registered it, and for a client
    /// that has just received its session token.
    pub(super) fn whole(user: User) -> Self {
        Self {
            user: user.into(),
            is_own: true,
            access: Access::Allowed,
        }
    }

    /// The account without the rules, for the operator.
    pub(crate) fn into_user(self) -> User {
        Arc::unwrap_or_clone(self.user)
    }

    pub(crate) fn id(&self) -> UserId {
        self.user.id
    }

    pub(crate) fn username(&self) -> &str {
        &self.user.username
    }

    /// The role. The role of the caller needs no scope.
    pub(crate) fn role(&self) -> Result<Option<Role>, Error> {
        if self.is_own {
            return Ok(Some(self.user.role));
        }
        self.private(|user| user.role)
    }

    pub(crate) fn created_at(&self) -> Result<Option<DateTime<Utc>>, Error> {
        self.private(|user| user.created_at)
    }

    pub(crate) fn email(&self) -> Result<Option<&str>, Error> {
        Ok(self.private(|user| user.email.as_deref())?.flatten())
    }

    pub(crate) fn last_sign_in_at(&self) -> Result<Option<DateTime<Utc>>, Error> {
        Ok(self.private(|user| user.last_sign_in_at)?.flatten())
    }

    pub(crate) fn disabled_at(&self) -> Result<Option<DateTime<Utc>>, Error> {
        Ok(self.private(|user| user.disabled_at)?.flatten())
    }

    /// The id, to read what else belongs to the account.
    pub(crate) fn private_id(&self) -> Result<Option<UserId>, Error> {
        self.private(|user| user.id)
    }

    fn private<'a, T>(&'a self, field: impl FnOnce(&'a User) -> T) -> Result<Option<T>, Error> {
        match self.access {
            Access::Allowed => Ok(Some(field(&self.user))),
            Access::ScopeRequired => Err(Forbidden::ScopeRequired.into()),
            Access::Denied => Ok(None),
        }
    }
}
