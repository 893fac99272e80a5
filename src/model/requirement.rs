//! The role and the credentials that an operation requires of its caller.

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
    /// The username and the password, sent with the request as HTTP Basic credentials.
    Password,
}

impl<'a> Requirement<'a> {
    /// Accepts any credentials. For operations whose further requirements depend on the caller.
    pub(crate) const ANY: Self = Self::of(Required::TokenOrPassword(&[]));
    /// The requirement for operations that read private data of a user.
    pub(crate) const READ: Self = Self::token(&[ACCOUNT_READ]);
    /// The requirement for operations that change a user without granting or changing authority.
    pub(crate) const WRITE: Self = Self::of(Required::TokenOrPassword(&[ACCOUNT_WRITE]));
    /// The requirement for operations on the session of the caller.
    pub(crate) const SESSION: Self = Self::of(Required::Session);
    /// The requirement for operations that grant or change authority.
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

    /// Returns the lowest role that satisfies the requirement.
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

    /// Checks the role of `identity` first, and then its credential.
    pub(crate) fn check(&self, identity: &Identity) -> Result<(), Forbidden> {
        if identity.user().role < self.role {
            return Err(Forbidden::RoleRequired);
        }
        let (is_met, refusal) = match self.credentials {
            Required::Token(scopes) | Required::TokenOrPassword(scopes) => (
                scopes.iter().all(|scope| identity.has_scope(scope)),
                Forbidden::ScopeRequired,
            ),
            Required::Session => (identity.has_session_token(), Forbidden::SessionRequired),
            Required::Password => (identity.used_password(), Forbidden::PasswordRequired),
        };
        if is_met { Ok(()) } else { Err(refusal) }
    }
}
