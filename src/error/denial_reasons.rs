//! The reasons of refusals for lack of credentials or of authority.

/// The reason why a request has no valid credentials.
///
/// ```
/// use symbolon::{Error, Unauthenticated};
///
/// /// Returns whether a client should ask for the password again.
/// fn has_ended(error: &Error) -> bool {
///     matches!(error, Error::Unauthenticated(Unauthenticated::TokenExpired))
/// }
/// assert!(has_ended(&Unauthenticated::TokenExpired.into()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unauthenticated {
    /// The request has no credentials.
    Missing,
    /// The operation requires the username and the password, but the `Authorization` header is malformed or has
    /// another scheme.
    NotBasic,
    /// The operation requires a token, but the `Authorization` header is malformed or has another scheme.
    NotBearer,
    /// The user does not exist or is disabled, or the password is wrong.
    InvalidCredentials,
    /// The token was never issued, or has been replaced.
    TokenInvalid,
    /// The token has expired or was revoked.
    TokenExpired,
}

/// The reason why valid credentials do not permit an operation.
///
/// ```
/// use symbolon::{Error, Forbidden};
///
/// fn advice(error: &Error) -> Option<&'static str> {
///     match error {
///         Error::Forbidden(Forbidden::RoleRequired) => Some("Ask an admin."),
///         Error::Forbidden(Forbidden::ScopeRequired) => Some("Create a token with more scopes."),
///         _ => None,
///     }
/// }
/// assert_eq!(advice(&Forbidden::RoleRequired.into()), Some("Ask an admin."));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Forbidden {
    /// A browser sent the request on behalf of a page of another site.
    CrossSite,
    /// The user does not have the required role.
    RoleRequired,
    /// The access token does not have the required scope.
    ScopeRequired,
    /// The operation requires a session token or a password, but the request has an access token.
    SessionRequired,
    /// The operation requires HTTP Basic credentials, because it grants or changes authority.
    PasswordRequired,
    /// Registration is closed. Only admins can register users.
    RegistrationClosed,
}

impl Unauthenticated {
    /// Returns the value of the field `reason`, and the message for the client.
    pub(super) fn details(self) -> (&'static str, &'static str) {
        match self {
            Self::Missing => ("MISSING", "Authentication is required."),
            Self::NotBasic => (
                "MISSING",
                "Send username and password as HTTP Basic credentials.",
            ),
            Self::NotBearer => (
                "MISSING",
                "Send a Bearer token: `Authorization: Bearer TOKEN`.",
            ),
            Self::InvalidCredentials => {
                ("INVALID_CREDENTIALS", "The username or password is wrong.")
            }
            Self::TokenInvalid => ("TOKEN_INVALID", "The token is not valid."),
            Self::TokenExpired => (
                "TOKEN_EXPIRED",
                "The token has expired or was revoked. Sign in again.",
            ),
        }
    }
}

impl Forbidden {
    /// Returns the value of the field `reason`, and the message for the client.
    pub(super) fn details(self) -> (&'static str, &'static str) {
        match self {
            Self::CrossSite => (
                "CROSS_SITE",
                "Pages of this origin cannot make changes. The setting SYMBOLON_CORS_ORIGINS lists the permitted origins.",
            ),
            Self::RoleRequired => ("ROLE_REQUIRED", "Your role does not permit this operation."),
            Self::ScopeRequired => (
                "SCOPE_REQUIRED",
                "The scopes of the token do not permit this operation.",
            ),
            Self::SessionRequired => (
                "SESSION_REQUIRED",
                "An access token does not permit this operation. Sign in.",
            ),
            Self::PasswordRequired => (
                "PASSWORD_REQUIRED",
                "A token does not permit this operation. Send the username and the password as HTTP Basic \
                 credentials in the same request.",
            ),
            Self::RegistrationClosed => ("REGISTRATION_CLOSED", "Only admins can register users."),
        }
    }
}
