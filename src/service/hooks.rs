//! Hooks: work of an embedding application in the transactions of Symbolon.

use std::borrow::Cow;

use async_trait::async_trait;

use crate::model::field_errors::{FieldError, FieldErrorCode};
use crate::model::user::{Role, User};
use crate::store::HookTransaction;

/// Work of an application in the transactions in which Symbolon registers, signs in and deletes users.
///
/// The methods do nothing by default. The rows that a hook writes are committed together with the change of Symbolon, or
/// not at all. A hook that returns an error, panics, or takes longer than 5 s causes a rollback of the whole
/// transaction:
///
/// - [`HookError::refuse`] is sent to the client.
/// - Any other error is logged with the request id, and the client receives `INTERNAL_SERVER_ERROR`. The methods of
///   [`Operator`](crate::Operator) return [`Error::Internal`](crate::Error::Internal). If the database was busy or
///   unreachable, the error is [`Error::ServiceUnavailable`](crate::Error::ServiceUnavailable) instead.
///
/// Hooks run only in the instance that was opened with them. The program `symbolon`, and other processes that use the
/// database, do not run them.
///
/// The time limit ends a hook only while the hook waits. With SQLite, a statement that takes longer runs to its end, and
/// other changes fail during this time.
///
/// A hook holds the locks of its transaction. SQLite has one writer, so that all other changes wait for the hook. A hook
/// should only use its transaction: send mail from [`Symbolon::events`](crate::Symbolon::events). With SQLite, a change
/// through another connection or through [`Operator`](crate::Operator) waits for the transaction of the hook itself: the
/// hook exceeds its time limit, and the other change is made after the rollback.
///
/// ```
/// use symbolon::sea_orm::{ConnectionTrait, Statement};
/// use symbolon::{Config, HookError, HookTransaction, Hooks, Registrant, Symbolon, User, async_trait};
///
/// struct Profiles;
///
/// #[async_trait]
/// impl Hooks for Profiles {
///     async fn before_register(
///         &self,
///         _transaction: &HookTransaction<'_>,
///         registrant: &Registrant,
///     ) -> Result<(), HookError> {
///         if registrant.email.is_none() {
///             return Err(HookError::refuse("email", "An e-mail address is required."));
///         }
///         Ok(())
///     }
///
///     async fn after_register(
///         &self,
///         transaction: &HookTransaction<'_>,
///         user: &User,
///     ) -> Result<(), HookError> {
///         let insert = Statement::from_sql_and_values(
///             transaction.get_database_backend(),
///             "INSERT INTO profile (user_id, name) VALUES ($1, $2)",
///             [i64::from(user.id).into(), user.username.clone().into()],
///         );
///         transaction.execute_raw(insert).await?;
///         Ok(())
///     }
/// }
///
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// let config = Config::new("sqlite://app.db");
/// let symbolon = Symbolon::builder(config).hooks(Profiles).open().await?;
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Runs before a user is inserted, for each `createUser`, each `inviteUser` that creates a user, and each imported
    /// user, and for [`Operator::add_user`](crate::Operator::add_user) and
    /// [`Operator::invite`](crate::Operator::invite). The values are valid. Another user may have the same name or
    /// e-mail address, which the insertion detects. A refusal appears in `userErrors` with the code `INVALID`. The
    /// attempt counts towards the rate limit of registrations.
    ///
    /// If a user of an import is refused, the whole import fails with
    /// [`Error::BadUserInput`](crate::Error::BadUserInput) and adds no user.
    async fn before_register(
        &self,
        transaction: &HookTransaction<'_>,
        registrant: &Registrant,
    ) -> Result<(), HookError> {
        let _ = (transaction, registrant);
        Ok(())
    }

    /// Runs after a user was inserted. [`Hooks::before_register`] describes the cases and the effect of a refusal.
    async fn after_register(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        let _ = (transaction, user);
        Ok(())
    }

    /// Runs at each sign-in after the password was accepted: for `createToken`, for `POST /tokens`, and for each other
    /// request that HTTP Basic credentials authenticate. Runs at most once per request. Also runs for
    /// [`Requester::create_token`](crate::Requester::create_token). Does not run when a token is
    /// used or renewed, or when a signed-in user confirms the password. [`User::last_sign_in_at`] is the time of the
    /// last sign-in before the password was verified. It is `None` in several hooks if a user signs in for the first time
    /// with concurrent requests.
    ///
    /// A refusal is the error `FORBIDDEN` with the reason `SIGN_IN_REFUSED` and the message of the hook. The field name
    /// of the refusal is not sent. The refusal reveals that the password is right. A refused sign-in does not count
    /// towards the rate limits and causes no event. Tokens that were issued earlier stay valid.
    async fn before_sign_in(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        let _ = (transaction, user);
        Ok(())
    }

    /// Runs before a user is deleted, for `deleteUser` and [`Operator::delete`](crate::Operator::delete). The row of the
    /// user still exists and is locked. Delete the rows here whose foreign keys refer to `symbolon_user`. A refusal appears
    /// in `userErrors` with the code `INVALID`.
    ///
    /// If a row still refers to the user, and its foreign key has no action such as `ON DELETE CASCADE`, the user is not
    /// deleted. The client receives the code `IN_USE` in `userErrors`, and
    /// [`Operator::delete`](crate::Operator::delete) returns
    /// [`FieldErrorCode::InUse`](crate::FieldErrorCode::InUse). The log contains the error of the database. If the foreign
    /// key is deferred, the commit checks it, after [`Hooks::after_delete`].
    async fn before_delete(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        let _ = (transaction, user);
        Ok(())
    }

    /// Runs after a user was deleted, in the same cases as [`Hooks::before_delete`]. The row of the user no longer exists
    /// in the transaction. A refusal appears in `userErrors` with the code `INVALID`.
    async fn after_delete(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        let _ = (transaction, user);
        Ok(())
    }
}

/// No hooks.
impl Hooks for () {}

/// The properties of a user to be registered. The password is not included.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registrant {
    /// The username.
    pub username: String,
    /// The e-mail address, if any. It is not verified.
    pub email: Option<String>,
    /// The role.
    pub role: Role,
}

/// The error of a hook: a refusal for the client, or the cause of a failure. The operator `?` converts every
/// [`std::error::Error`] to a failure.
#[derive(Debug)]
pub struct HookError(pub(super) HookErrorKind);

#[derive(Debug)]
pub(super) enum HookErrorKind {
    Refusal(FieldError),
    Failure(Box<dyn std::error::Error + Send + Sync>),
}

impl HookError {
    /// Returns a refusal. `field` is the name of the input field that the refusal concerns, for example `email`. The
    /// client receives `message`.
    #[must_use]
    pub fn refuse(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        let error = FieldError::new(field, FieldErrorCode::Invalid, message);
        Self(HookErrorKind::Refusal(error))
    }

    /// Returns a failure. `cause` can be a text or a boxed error. It is logged, and never sent to the client.
    #[must_use]
    pub fn fail(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(HookErrorKind::Failure(cause.into()))
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HookError {
    fn from(cause: E) -> Self {
        Self::fail(cause)
    }
}
