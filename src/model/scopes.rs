//! The scopes of access tokens.

use std::sync::LazyLock;

use crate::model::field_errors::{FieldError, FieldErrorCode};
use crate::model::text_limits;

/// The scope that permits an access token to read private data of users.
pub(crate) const ACCOUNT_READ: &str = "account:read";
/// The scope that permits an access token to change users.
pub(crate) const ACCOUNT_WRITE: &str = "account:write";
/// The scope that permits an access token to read the audit trail.
pub(crate) const AUDIT_READ: &str = "audit:read";

static ALL: LazyLock<[String; 1]> = LazyLock::new(|| ["*".to_owned()]);

/// The scopes of an access token: up to 32 OAuth scope tokens ([RFC 6749, section 3.3]) of up to 64 characters each.
///
/// [RFC 6749, section 3.3]: https://www.rfc-editor.org/rfc/rfc6749#section-3.3
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scopes(Vec<String>);

/// Returns whether a text is a valid scope: 1 to 64 printable ASCII characters except spaces, quotes and backslashes.
pub(crate) fn is_scope(text: &str) -> bool {
    (1..=text_limits::SCOPE).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

impl Scopes {
    /// Returns the scopes of unrestricted credentials.
    pub(crate) fn all() -> &'static [String] {
        ALL.as_slice()
    }

    /// Parses the requested scopes. If `requested` is `None`, returns the scope `*`, which includes all scopes.
    pub(crate) fn parse(requested: Option<&[String]>) -> Result<Self, FieldError> {
        let Some(requested) = requested else {
            return Ok(Self(Self::all().to_vec()));
        };
        let is_valid = (1..=text_limits::SCOPES).contains(&requested.len())
            && requested.iter().all(|scope| is_scope(scope));
        if !is_valid {
            let message = "Choose 1 to 32 scopes of 1 to 64 characters, without spaces, quotes and backslashes.";
            return Err(FieldError::new("scopes", FieldErrorCode::Invalid, message));
        }
        let mut scopes = requested.to_vec();
        scopes.sort();
        scopes.dedup();
        Ok(Self(scopes))
    }

    /// Parses the scopes in a column, which are separated by spaces.
    pub(crate) fn from_column(column: &str) -> Self {
        Self(column.split(' ').map(str::to_owned).collect())
    }

    /// Formats the scopes for a column, separated by spaces.
    pub(crate) fn to_column(&self) -> String {
        self.0.join(" ")
    }

    pub(crate) fn as_slice(&self) -> &[String] {
        &self.0
    }
}
