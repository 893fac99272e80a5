//! The kinds of events, actors and credentials, and their names.

fn name_of<T: Copy + PartialEq>(names: &[(T, &'static str)], kind: T) -> &'static str {
    let found = names.iter().find(|(other, _)| *other == kind);
    found.map_or("", |(_, name)| name)
}

fn of_name<T: Copy>(names: &[(T, &'static str)], name: &str) -> Option<T> {
    let found = names.iter().find(|(_, other)| *other == name);
    found.map(|(kind, _)| *kind)
}

/// What can happen to an account or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditEventKind {
    /// An account was made.
    Registered,
    /// A password was accepted.
    SignedIn,
    /// A password was not accepted. Counted for each account and hour.
    SignInFailed,
    /// An attempt was refused before the password was looked at. Counted for each account and hour.
    Throttled,
    /// A new token was handed out.
    TokenIssued,
    /// A session token lives longer than it would have.
    TokenRenewed,
    /// A token was ended before its time.
    TokenRevoked,
    /// An account has another password.
    PasswordChanged,
    /// An account has another name or e-mail address.
    ProfileChanged,
    /// An account has another role.
    RoleChanged,
    /// An account may not sign in any more.
    Disabled,
    /// An account may sign in again.
    Enabled,
    /// An account was deleted.
    Deleted,
}

impl AuditEventKind {
    const NAMES: [(Self, &str); 13] = [
        (Self::Registered, "REGISTERED"),
        (Self::SignedIn, "SIGNED_IN"),
        (Self::SignInFailed, "SIGN_IN_FAILED"),
        (Self::Throttled, "THROTTLED"),
        (Self::TokenIssued, "TOKEN_ISSUED"),
        (Self::TokenRenewed, "TOKEN_RENEWED"),
        (Self::TokenRevoked, "TOKEN_REVOKED"),
        (Self::PasswordChanged, "PASSWORD_CHANGED"),
        (Self::ProfileChanged, "PROFILE_CHANGED"),
        (Self::RoleChanged, "ROLE_CHANGED"),
        (Self::Disabled, "DISABLED"),
        (Self::Enabled, "ENABLED"),
        (Self::Deleted, "DELETED"),
    ];

    /// All that there are.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMES.into_iter().map(|(kind, _)| kind)
    }

    /// Its name in the API and in the database, `SIGNED_IN` for example.
    #[must_use]
    pub fn name(self) -> &'static str {
        name_of(&Self::NAMES, self)
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        of_name(&Self::NAMES, name)
    }
}

/// The type of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ActorType {
    /// A client that was not authenticated.
    Anonymous,
    /// An account.
    User,
    /// The operator, through the command line or the library.
    Operator,
}

impl ActorType {
    const NAMES: [(Self, &str); 3] = [
        (Self::Anonymous, "ANONYMOUS"),
        (Self::User, "USER"),
        (Self::Operator, "OPERATOR"),
    ];

    /// Its name in the API and in the database, `OPERATOR` for example.
    #[must_use]
    pub fn name(self) -> &'static str {
        name_of(&Self::NAMES, self)
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        of_name(&Self::NAMES, name)
    }
}

/// The kind of credential that authenticated a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialType {
    /// The username and the password.
    Password,
    /// A session token.
    SessionToken,
    /// An access token.
    AccessToken,
}

impl CredentialType {
    const NAMES: [(Self, &str); 3] = [
        (Self::Password, "PASSWORD"),
        (Self::SessionToken, "SESSION_TOKEN"),
        (Self::AccessToken, "ACCESS_TOKEN"),
    ];

    /// Its name in the API and in the database, `SESSION_TOKEN` for example.
    #[must_use]
    pub fn name(self) -> &'static str {
        name_of(&Self::NAMES, self)
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        of_name(&Self::NAMES, name)
    }
}
