//! The methods with which an embedding application authenticates users.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::model::text_limits;

/// The name of a method with which an application authenticates users, for example `github`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignInMethod(Arc<str>);

impl SignInMethod {
    /// Parses a name: 1 to 32 ASCII letters, digits, `-`, `_` and `.`.
    pub(crate) fn parse(name: &str) -> Result<Self, Error> {
        let is_valid = (1..=text_limits::SIGN_IN_METHOD).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !is_valid {
            let message = "The name of a sign-in method consists of 1 to 32 ASCII letters, digits, `-`, `_` and `.`.";
            return Err(Error::BadUserInput(message.to_owned()));
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for SignInMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
