//! Errors in the input of a mutation.

use std::borrow::Cow;

use async_graphql::{Enum, Result, SimpleObject};

use crate::error::Error;
use crate::model::field_errors::{FieldError, FieldErrorCode, MutationError};

/// The maximum number of errors in a payload. No input has more than three fields that can cause
/// errors.
pub(super) const MAX_USER_ERRORS: usize = 3;

/// An error in the input of a mutation. A client can show the error beside a field of a form.
#[derive(Clone, Debug, SimpleObject)]
pub struct UserError {
    /// The machine-readable code of the error.
    code: UserErrorCode,
    /// The name of the input field or argument that the error concerns. Null if the error concerns no field
    /// and no argument.
    field: Option<&'static str>,
    /// The human-readable description of the error.
    message: Cow<'static, str>,
}

/// The code of an error in the input of a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "FieldErrorCode")]
pub(crate) enum UserErrorCode {
    /// The value is already in use.
    Taken,
    /// The value is empty.
    Blank,
    /// The value has too few characters.
    TooShort,
    /// The value has too many characters.
    TooLong,
    /// The value contains characters that are not allowed, has the wrong format, is out of range, or
    /// refers to an object that does not exist.
    Invalid,
    /// The value is not the current password of the caller.
    WrongPassword,
    /// The operation would leave no admin who can sign in.
    LastAdmin,
    /// Other data of the application refers to the object, so the object cannot be deleted.
    InUse,
    /// The user already has the maximum number of access tokens.
    LimitReached,
    /// The password is one of the 100,000 most common passwords.
    PasswordTooCommon,
    /// The password contains the username.
    PasswordContainsUsername,
}

impl UserError {
    /// Creates an error. `field` is the GraphQL name of the argument or of the field of the input, if the error concerns one.
    ///
    /// ```
    /// use async_graphql::{Context, Object, Result, SimpleObject};
    /// use symbolon::FieldErrorCode;
    /// use symbolon::graphql::UserError;
    ///
    /// #[derive(SimpleObject)]
    /// struct AddNotePayload {
    ///     note: Option<String>,
    ///     user_errors: Vec<UserError>,
    /// }
    ///
    /// struct Mutation;
    ///
    /// #[Object]
    /// impl Mutation {
    ///     async fn add_note(&self, text: String) -> AddNotePayload {
    ///         let blank = UserError::new(FieldErrorCode::Blank, "text", "The note is empty.");
    ///         let is_blank = text.trim().is_empty();
    ///         AddNotePayload {
    ///             note: (!is_blank).then_some(text),
    ///             user_errors: is_blank.then_some(blank).into_iter().collect(),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn new(
        code: FieldErrorCode,
        field: impl Into<Option<&'static str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            code: code.into(),
            field: field.into(),
            message: message.into(),
        }
    }
}

impl From<FieldError> for UserError {
    fn from(error: FieldError) -> Self {
        Self::new(error.code, error.field, error.message)
    }
}

/// Splits the result of a mutation into its value and the errors in its input. Any other error is
/// returned unchanged.
pub(super) fn split<T>(
    result: Result<T, MutationError>,
) -> Result<(Option<T>, Vec<UserError>), Error> {
    match result {
        Ok(value) => Ok((Some(value), Vec::new())),
        Err(MutationError::Fields(errors)) => {
            let errors = errors.into_iter().take(MAX_USER_ERRORS);
            Ok((None, errors.map(UserError::from).collect()))
        }
        Err(MutationError::Error(error)) => Err(error),
    }
}

/// Converts errors in the input to `BAD_USER_INPUT`, for mutations whose result has no `userErrors`.
pub(super) fn without_payload<T>(result: Result<T, MutationError>) -> Result<T> {
    Ok(result.map_err(|error| match error {
        MutationError::Error(error) => error,
        MutationError::Fields(_) => Error::BadUserInput(error.to_string()),
    })?)
}
