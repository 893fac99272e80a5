//! What a form shows beside a field.

/// Why a value that somebody typed is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Another account has it.
    Taken,
    /// Nothing was typed.
    Blank,
    /// Fewer characters than allowed.
    TooShort,
    /// More characters than allowed.
    TooLong,
    /// Characters or a form that are not allowed.
    Invalid,
    /// A password that many others have.
    PasswordTooCommon,
}

/// A [`Problem`], and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// The name of the input's field.
    pub(crate) field: &'static str,
    /// What is wrong with it.
    pub(crate) problem: Problem,
    /// The same in words, to be shown as it is.
    pub(crate) message: &'static str,
}

impl FieldError {
    pub(crate) fn new(field: &'static str, problem: Problem, message: &'static str) -> Self {
        Self {
            field,
            problem,
            message,
        }
    }
}
