//! The fields of a user that a caller can read.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::error::{Error, Forbidden, Unauthenticated};
use crate::model::identity::Identity;
use crate::model::scopes::ACCOUNT_READ;
use crate::model::user::{Role, User, UserId, UserName};

/// A user, with the fields that one caller can read. Every caller can read `id` and `username`. The other
/// fields are private. Only the user and admins can read them. An access token also requires the scope
/// `account:read`. For other callers, the private fields are `None`.
#[derive(Clone, Debug)]
pub(crate) struct VisibleUser {
    user: Arc<User>,
    is_own: bool,
    access: PrivateFieldAccess,
}

/// Whether the caller can read the private fields.
#[derive(Clone, Debug)]
enum PrivateFieldAccess {
    Allowed,
    /// The access token does not have the required scope.
    ScopeRequired,
    /// The caller is another user and not an admin, or has sent no credentials.
    Denied,
    /// The caller has sent credentials that are invalid or cannot be verified.
    Refused(Arc<Error>),
}

impl VisibleUser {
    /// Returns `user` with the fields that the caller with this identity can read.
    pub(super) fn seen_by(identity: &Identity, user: Arc<User>) -> Self {
        let viewer = identity.user();
        let is_own = viewer.id == user.id;
        let access = if !is_own && viewer.role < Role::Admin {
            PrivateFieldAccess::Denied
        } else if identity.has_scope(ACCOUNT_READ) {
            PrivateFieldAccess::Allowed
        } else {
            PrivateFieldAccess::ScopeRequired
        };
        Self {
            user,
            is_own,
            access,
        }
    }

    /// Returns `user` with the fields that a request can read. The identity is the result of the authentication of the
    /// request. Invalid credentials cause an error only in private fields.
    pub(super) fn seen_by_request(
        identity: &Result<Arc<Identity>, Arc<Error>>,
        user: Arc<User>,
    ) -> Self {
        let access = match identity {
            Ok(identity) => return Self::seen_by(identity, user),
            Err(error) => match &**error {
                Error::Unauthenticated(Unauthenticated::Missing) => PrivateFieldAccess::Denied,
                _ => PrivateFieldAccess::Refused(Arc::clone(error)),
            },
        };
        Self {
            user,
            is_own: false,
            access,
        }
    }

    /// Returns `user` with all fields. Used for the operator, for the client that registered the user, and for
    /// a client that received a session token of the user.
    pub(crate) fn whole(user: User) -> Self {
        Self {
            user: user.into(),
            is_own: true,
            access: PrivateFieldAccess::Allowed,
        }
    }

    /// Returns all fields of the user. Must be called only for the operator.
    pub(crate) fn into_user(self) -> User {
        Arc::unwrap_or_clone(self.user)
    }

    pub(crate) fn id(&self) -> UserId {
        self.user.id
    }

    pub(crate) fn username(&self) -> &str {
        &self.user.username
    }

    /// Returns the role. Callers need no scope to read their own role.
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

    /// Returns the id if the caller can read the private fields. Used to read private data from other tables.
    pub(crate) fn private_id(&self) -> Result<Option<UserId>, Error> {
        self.private(|user| user.id)
    }

    fn private<'a, T>(&'a self, field: impl FnOnce(&'a User) -> T) -> Result<Option<T>, Error> {
        match &self.access {
            PrivateFieldAccess::Allowed => Ok(Some(field(&self.user))),
            PrivateFieldAccess::ScopeRequired => Err(Forbidden::ScopeRequired.into()),
            PrivateFieldAccess::Denied => Ok(None),
            PrivateFieldAccess::Refused(error) => Err(Error::clone(error)),
        }
    }
}

/// A user of a list.
#[derive(Clone, Debug)]
pub(crate) enum ListedUser {
    Whole(VisibleUser),
    /// A user of whom only the id and the name were read. For 20 users, reading all columns takes 50 % more instructions.
    Name(UserName),
}

impl ListedUser {
    pub(crate) fn id(&self) -> UserId {
        match self {
            Self::Whole(user) => user.id(),
            Self::Name(user) => user.id,
        }
    }

    pub(crate) fn username(&self) -> &str {
        match self {
            Self::Whole(user) => user.username(),
            Self::Name(user) => &user.username,
        }
    }

    /// Returns the user with all fields that the caller can read.
    pub(crate) fn whole(&self) -> Result<&VisibleUser, Error> {
        match self {
            Self::Whole(user) => Ok(user),
            Self::Name(_) => Err(Error::internal("a selected field of a user was not read")),
        }
    }
}
