//! What an access token may be used for.

use std::sync::LazyLock;

use crate::model::text_limits;
use crate::model::validation::{FieldError, FieldErrorCode};

/// The scope that an access token needs to read private data of accounts.
pub(crate) const ACCOUNT_READ: &str = "account:read";
/// The scope that an access token needs to change accounts.
pub(crate) const ACCOUNT_WRITE: &str = "account:write";
/// The scope that an access token needs to read the audit trail.
pub(crate) const AUDIT_READ: &str = "audit:read";

static ALL: LazyLock<[String; 1]> = LazyLock::new(|| ["*".to_owned()]);

/// Scope tokens as OAuth has them (RFC 6749, section 3.3): up to 32, of up to 64 printable ASCII
/// characters each, without spaces, quotes and backslashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scopes(Vec<String>);

/// Whether this is a scope that a token can have.
pub(crate) fn is_scope(text: &str) -> bool {
    (1..=text_limits::SCOPE).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

impl Scopes {
    /// Everything.
    pub(crate) fn all() -> &'static [String] {
        ALL.as_slice()
    }

    /// Those that were asked for, each once; everything if none were.
    pub(crate) fn parse(asked_for: Option<&[String]>) -> Result<Self, FieldError> {
        let Some(asked_for) = asked_for else {
            return Ok(Self(Self::all().to_vec()));
        };
        let is_possible = (1..=text_limits::SCOPES).contains(&asked_for.len())
            && asked_for.iter().all(|scope| is_scope(scope));
        if !is_possible {
            let message =
                "1 to 32 scopes of 1 to 64 characters, without spaces, quotes and backslashes.";
            return Err(FieldError::new("scopes", FieldErrorCode::Invalid, message));
        }
        let mut scopes = asked_for.to_vec();
        scopes.sort();
        scopes.dedup();
        Ok(Self(scopes))
    }

    /// As a column has them.
    pub(crate) fn from_column(column: &str) -> Self {
        Self(column.split(' ').map(str::to_owned).collect())
    }

    /// For a column: with spaces in between.
    pub(crate) fn to_column(&self) -> String {
        self.0.join(" ")
    }

    pub(crate) fn as_slice(&self) -> &[String] {
        &self.0
    }
}
