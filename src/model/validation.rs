//! What a form shows beside a field.

use std::borrow::Cow;
use std::fmt;

use crate::error::Error;

/// Why a value that somebody typed is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldErrorCode {
    /// Another account has it.
    Taken,
    /// Nothing was typed.
    Blank,
    /// Fewer characters than allowed.
    TooShort,
    /// More characters than allowed.
    TooLong,
    /// Characters or a form that are not allowed, or nothing that exists.
    Invalid,
    /// Not the present password.
    WrongPassword,
    /// There would be no admin left.
    LastAdmin,
    /// There are as many as there may be.
    LimitReached,
    /// A password that many others have.
    PasswordTooCommon,
    /// A password that contains the name of its account.
    PasswordContainsUsername,
}

/// A [`FieldErrorCode`], and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldError {
    /// The name of the input's field.
    pub field: &'static str,
    /// What is wrong with it.
    pub code: FieldErrorCode,
    /// The same in words, to be shown as it is.
    pub message: Cow<'static, str>,
}

impl FieldError {
    pub(crate) fn new(
        field: &'static str,
        code: FieldErrorCode,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            field,
            code,
            message: message.into(),
        }
    }
}

/// A part of a form that may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldChange<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It becomes this.
    Set(T),
}

/// Why something that somebody typed was not done.
#[derive(Clone, Debug)]
pub enum MutationError {
    /// For a form to show beside its fields.
    Fields(Vec<FieldError>),
    /// Not for what was typed.
    Error(Error),
}

impl From<FieldError> for MutationError {
    fn from(error: FieldError) -> Self {
        Self::Fields(vec![error])
    }
}

impl<E: Into<Error>> From<E> for MutationError {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl fmt::Display for MutationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(errors) => {
                let messages: Vec<_> = errors.iter().map(|error| &*error.message).collect();
                f.write_str(&messages.join(" "))
            }
            Self::Error(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MutationError {}
