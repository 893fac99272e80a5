//! Errors of input fields.

use std::borrow::Cow;
use std::fmt;

use crate::error::Error;

/// The reason why the value of an input field is refused.
///
/// ```
/// use symbolon::FieldErrorCode;
///
/// /// Translates the errors that users of a form can cause.
/// fn german(code: FieldErrorCode) -> &'static str {
///     match code {
///         FieldErrorCode::Taken => "Der Name ist vergeben.",
///         FieldErrorCode::TooShort => "Die Eingabe ist zu kurz.",
///         _ => "Die Eingabe ist ungültig.",
///     }
/// }
/// assert_eq!(german(FieldErrorCode::Taken), "Der Name ist vergeben.");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldErrorCode {
    /// The value is already in use.
    Taken,
    /// The value is empty.
    Blank,
    /// The value has too few characters.
    TooShort,
    /// The value has too many characters.
    TooLong,
    /// The value is malformed, or refers to something that does not exist.
    Invalid,
    /// The value is not the current password.
    WrongPassword,
    /// The change would leave no active admin.
    LastAdmin,
    /// Other data refers to the item, which therefore cannot be deleted.
    InUse,
    /// The user already has the maximum number of items, for example access tokens.
    LimitReached,
    /// The password is one of the most common passwords.
    PasswordTooCommon,
    /// The password contains the username.
    PasswordContainsUsername,
}

/// The error of an input field.
///
/// ```
/// use symbolon::{MutationError, Registration, Role};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let operator = symbolon::Symbolon::open(config).await?.operator();
/// let weak = Registration {
///     username: "ada".to_owned(),
///     email: None,
///     password: "12345678".to_owned(),
/// };
/// let Err(MutationError::Fields(errors)) = operator.add_user(&weak, Role::User).await else {
///     panic!("a common password is refused");
/// };
/// for error in &errors {
///     println!("{}: {}", error.field, error.message);
/// }
/// assert_eq!(errors[0].field, "password");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldError {
    /// The name of the field.
    pub field: &'static str,
    /// The reason.
    pub code: FieldErrorCode,
    /// The message for the user.
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

/// The reason why a mutation failed.
///
/// ```
/// use symbolon::{Error, MutationError, Operator, Registration, Role};
///
/// /// Adds a user. Returns the messages for the form, which are empty after success.
/// async fn add(operator: &Operator, new: &Registration) -> Result<Vec<String>, Error> {
///     match operator.add_user(new, Role::User).await {
///         Ok(_) => Ok(Vec::new()),
///         Err(MutationError::Fields(errors)) => {
///             Ok(errors.into_iter().map(|error| error.message.into_owned()).collect())
///         }
///         Err(MutationError::Error(error)) => Err(error),
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let operator = symbolon::Symbolon::open(symbolon::Config::new(url)).await?.operator();
/// # let new = Registration { username: "two words".into(), email: None, password: "1".into() };
/// # assert_eq!(add(&operator, &new).await?.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub enum MutationError {
    /// Errors of input fields.
    Fields(Vec<FieldError>),
    /// Any other error.
    Error(Error),
}

impl From<FieldError> for MutationError {
    fn from(error: FieldError) -> Self {
        Self::Fields(vec![error])
    }
}

/// Collects the errors of several fields.
impl<const N: usize> From<[Option<FieldError>; N]> for MutationError {
    fn from(errors: [Option<FieldError>; N]) -> Self {
        Self::Fields(errors.into_iter().flatten().collect())
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
