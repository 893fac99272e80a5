//! The identity of the caller of a request.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::model::scopes::Scopes;
use crate::model::user::User;

/// The user who sent a request, the type of the credential, and the scopes of the credential.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    user: Arc<User>,
    expires_at: Option<DateTime<Utc>>,
    credential: CredentialKind,
}

/// The type of the credential that authenticated a request.
#[derive(Clone, Debug, PartialEq)]
enum CredentialKind {
    Password,
    Session,
    AccessToken(AccessTokenGrant),
}

/// The access token that authenticated a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AccessTokenGrant {
    pub(crate) id: i64,
    pub(crate) scopes: Scopes,
}

impl Identity {
    /// Creates the identity of a request with Basic credentials.
    pub(crate) fn from_password(user: User) -> Self {
        Self::new(user, None, CredentialKind::Password)
    }

    /// Creates the identity of a request with a session token, which has all scopes.
    pub(crate) fn from_session(user: User, expires_at: DateTime<Utc>) -> Self {
        Self::new(user, Some(expires_at), CredentialKind::Session)
    }

    /// Creates the identity of a request with an access token.
    pub(crate) fn from_access_token(
        user: User,
        expires_at: Option<DateTime<Utc>>,
        grant: AccessTokenGrant,
    ) -> Self {
        Self::new(user, expires_at, CredentialKind::AccessToken(grant))
    }

    fn new(user: User, expires_at: Option<DateTime<Utc>>, credential: CredentialKind) -> Self {
        Self {
            user: Arc::new(user),
            expires_at,
            credential,
        }
    }

    /// Returns the user.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    pub(crate) fn shared_user(&self) -> Arc<User> {
        Arc::clone(&self.user)
    }

    /// Returns the time at which the token expires. Returns `None` for a password and for an access token that does
    /// not expire.
    #[must_use]
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at
    }

    /// Returns the id of the access token, or `None` if the credential is not an access token.
    #[must_use]
    pub fn access_token(&self) -> Option<i64> {
        self.grant().map(|grant| grant.id)
    }

    pub(crate) fn has_session_token(&self) -> bool {
        matches!(self.credential, CredentialKind::Session)
    }

    pub(crate) fn used_password(&self) -> bool {
        matches!(self.credential, CredentialKind::Password)
    }

    fn grant(&self) -> Option<&AccessTokenGrant> {
        match &self.credential {
            CredentialKind::AccessToken(grant) => Some(grant),
            CredentialKind::Password | CredentialKind::Session => None,
        }
    }

    /// Returns the scopes of the credential. The scope `*` includes all scopes. Scopes restrict the authority that
    /// the role of the user grants, and never extend this authority.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        match self.grant() {
            Some(grant) => grant.scopes.as_slice(),
            None => Scopes::all(),
        }
    }

    /// Returns whether the scopes of the credential include `scope`.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes()
            .iter()
            .any(|granted| granted == "*" || granted == scope)
    }
}
