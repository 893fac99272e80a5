//! The requirements of an operation on its caller.

use crate::error::Forbidden;
use crate::model::identity::Identity;
use crate::model::scopes::{ACCOUNT_READ, ACCOUNT_WRITE};
use crate::model::user::Role;

/// The role and the credentials that an operation requires.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requirement<'a> {
    role: Role,
    credentials: Required<'a>,
}

/// The credentials that an operation requires.
#[derive(Clone, Copy, Debug)]
enum Required<'a> {
    /// A Bearer token that has all of these scopes.
    Token(&'a [&'a str]),
    /// A Bearer token that has all of these scopes, or the username and the password.
    TokenOrPassword(&'a [&'a str]),
    /// A session token.
    Session,
    /// The username and the password, as HTTP Basic credentials of the same request.
    Password,
}

impl<'a> Requirement<'a> {
    /// Any credentials. For operations whose further requirements depend on the caller.
    pub(crate) const ANY: Self = Self::of(Required::TokenOrPassword(&[]));
    /// For operations that read private data of a user.
    pub(crate) const READ: Self = Self::token(&[ACCOUNT_READ]);
    /// For operations that change a user, but do not grant or change authority.
    pub(crate) const WRITE: Self = Self::of(Required::TokenOrPassword(&[ACCOUNT_WRITE]));
    /// For operations on the session itself.
    pub(crate) const SESSION: Self = Self::of(Required::Session);
    /// For operations that grant or change authority.
    pub(crate) const PASSWORD: Self = Self::of(Required::Password);

    /// Requires a Bearer token that has all of these scopes.
    pub(crate) const fn token(scopes: &'a [&'a str]) -> Self {
        Self::of(Required::Token(scopes))
    }

    const fn of(credentials: Required<'a>) -> Self {
        Self {
            role: Role::User,
            credentials,
        }
    }

    /// Requires this role or a higher one.
    pub(crate) const fn with_role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    /// Returns the lowest role that is allowed.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// Returns whether Basic credentials can satisfy the requirement.
    pub(crate) fn accepts_password(&self) -> bool {
        matches!(
            self.credentials,
            Required::TokenOrPassword(_) | Required::Password
        )
    }

    /// Checks the role first, and then the credentials.
    pub(crate) fn check(&self, identity: &Identity) -> Result<(), Forbidden> {
        if identity.user().role < self.role {
            return Err(Forbidden::RoleRequired);
        }
        let (is_met, refusal) = match self.credentials {
            Required::Token(scopes) | Required::TokenOrPassword(scopes) => (
                scopes.iter().all(|scope| identity.has_scope(scope)),
                Forbidden::ScopeRequired,
            ),
            Required::Session => (identity.is_session(), Forbidden::SessionRequired),
            Required::Password => (identity.is_password(), Forbidden::PasswordRequired),
        };
        if is_met { Ok(()) } else { Err(refusal) }
    }
}
