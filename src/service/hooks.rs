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
    /// user, for [`Requester::register`](crate::Requester::register), and for [`Operator::add_user`](crate::Operator::add_user) and
    /// [`Operator::invite`](crate::Operator::invite). The values are valid. Another user may have the same name or
    /// e-mail address, which the insertion detects. A refusal appears in `userErrors` with the code `INVALID`. The
    /// attempt counts towards the rate limit of registrations.
    ///
    /// If a user of an import is refused, the whole import fails with
    /// [`Error::BadUserInput`](crate::Error::BadUserInput) and adds no user.
    ///
    /// ```
    /// use symbolon::{HookError, HookTransaction, Hooks, Registrant, async_trait};
    ///
    /// struct ReservedNames;
    ///
    /// #[async_trait]
    /// impl Hooks for ReservedNames {
    ///     async fn before_register(
    ///         &self,
    ///         _: &HookTransaction<'_>,
    ///         registrant: &Registrant,
    ///     ) -> Result<(), HookError> {
    ///         if registrant.username.to_lowercase().starts_with("support") {
    ///             return Err(HookError::refuse("username", "This name is reserved."));
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// # use ReservedNames as AppHooks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::builder(config).hooks(AppHooks).open().await?;
    /// # let operator = symbolon.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// # let support = symbolon::Registration {
    /// #     username: "Support".to_owned(), email: None, password: "correct horse".to_owned(),
    /// # };
    /// # assert!(operator.add_user(&support, symbolon::Role::User).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    async fn before_register(
        &self,
        transaction: &HookTransaction<'_>,
        registrant: &Registrant,
    ) -> Result<(), HookError> {
        let _ = (transaction, registrant);
        Ok(())
    }

    /// Runs after a user was inserted. [`Hooks::before_register`] describes the cases and the effect of a refusal.
    ///
    /// ```
    /// use symbolon::sea_orm::{ConnectionTrait, Statement};
    /// use symbolon::{HookError, HookTransaction, Hooks, User, async_trait};
    ///
    /// struct Profiles;
    ///
    /// #[async_trait]
    /// impl Hooks for Profiles {
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
    /// # use Profiles as AppHooks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::builder(config).hooks(AppHooks).open().await?;
    /// # let operator = symbolon.operator();
    /// # let database = symbolon::sea_orm::Database::connect(format!("sqlite://{}/app.db", folder.path().display())).await?;
    /// # database.execute_unprepared("CREATE TABLE profile (user_id INTEGER PRIMARY KEY, name TEXT)").await?;
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// # let select = Statement::from_string(database.get_database_backend(), "SELECT name FROM profile");
    /// # let row = database.query_one_raw(select).await?.ok_or("no profile")?;
    /// # assert_eq!(row.try_get::<String>("", "name")?, "ada");
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// ```
    /// use symbolon::{HookError, HookTransaction, Hooks, User, async_trait};
    ///
    /// struct AddressRequired;
    ///
    /// #[async_trait]
    /// impl Hooks for AddressRequired {
    ///     async fn before_sign_in(&self, _: &HookTransaction<'_>, user: &User) -> Result<(), HookError> {
    ///         if user.email.is_none() {
    ///             let message = "Ask an admin to add your e-mail address.";
    ///             return Err(HookError::refuse("email", message));
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::builder(config).hooks(AddressRequired).open().await?;
    /// # use poem::{Endpoint, Request, http::Method};
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # symbolon.operator().add_user(&ada, symbolon::Role::User).await?;
    /// # let credentials = "Basic YWRhOmNvcnJlY3QgaG9yc2U=";
    /// # let sign_in = Request::builder().method(Method::POST).uri_str("/tokens");
    /// # let sign_in = sign_in.header("Host", "localhost").header("Authorization", credentials);
    /// # let response = symbolon.own_routes().get_response(sign_in.finish()).await;
    /// # let body: serde_json::Value = response.into_body().into_json().await?;
    /// # let authorization = format!("Bearer {}", body["token"].as_str().unwrap_or_default());
    /// # assert_ne!(authorization, "Bearer ");
    /// # let grace = symbolon::Registration { username: "grace".to_owned(), email: None, ..ada };
    /// # symbolon.operator().add_user(&grace, symbolon::Role::User).await?;
    /// # let sign_in = Request::builder().method(Method::POST).uri_str("/tokens").header("Host", "localhost");
    /// # let sign_in = sign_in.header("Authorization", "Basic Z3JhY2U6Y29ycmVjdCBob3JzZQ==").finish();
    /// # let body = symbolon.own_routes().get_response(sign_in).await.into_body().into_string().await?;
    /// # assert!(body.contains("SIGN_IN_REFUSED"), "{body}");
    /// # Ok(())
    /// # }
    /// ```
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
    /// key is deferred, the commit checks it, after [`Hooks::after_delete`]. The databases do not report which deferred key
    /// is violated, so that the code is also `IN_USE` if `after_delete` violates a key between two tables of the application.
    ///
    /// ```
    /// use symbolon::sea_orm::{ConnectionTrait, Statement};
    /// use symbolon::{HookError, HookTransaction, Hooks, User, async_trait};
    ///
    /// struct Profiles;
    ///
    /// #[async_trait]
    /// impl Hooks for Profiles {
    ///     async fn before_delete(
    ///         &self,
    ///         transaction: &HookTransaction<'_>,
    ///         user: &User,
    ///     ) -> Result<(), HookError> {
    ///         let delete = Statement::from_sql_and_values(
    ///             transaction.get_database_backend(),
    ///             "DELETE FROM profile WHERE user_id = $1",
    ///             [user.id.into()],
    ///         );
    ///         transaction.execute_raw(delete).await?;
    ///         Ok(())
    ///     }
    /// }
    /// ```
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
    ///
    /// ```
    /// use symbolon::sea_orm::{ConnectionTrait, Statement};
    /// use symbolon::{HookError, HookTransaction, Hooks, User, async_trait};
    ///
    /// struct Profiles;
    ///
    /// #[async_trait]
    /// impl Hooks for Profiles {
    ///     async fn after_delete(
    ///         &self,
    ///         transaction: &HookTransaction<'_>,
    ///         user: &User,
    ///     ) -> Result<(), HookError> {
    ///         let delete = Statement::from_sql_and_values(
    ///             transaction.get_database_backend(),
    ///             "DELETE FROM profile WHERE user_id = $1",
    ///             [i64::from(user.id).into()],
    ///         );
    ///         transaction.execute_raw(delete).await?;
    ///         Ok(())
    ///     }
    /// }
    /// # use Profiles as AppHooks;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::builder(config).hooks(AppHooks).open().await?;
    /// # let operator = symbolon.operator();
    /// # let database = symbolon::sea_orm::Database::connect(format!("sqlite://{}/app.db", folder.path().display())).await?;
    /// # database.execute_unprepared("CREATE TABLE profile (user_id INTEGER PRIMARY KEY, name TEXT)").await?;
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// # database.execute_unprepared("INSERT INTO profile VALUES (1, 'ada'), (2, 'grace')").await?;
    /// # operator.delete(ada.id).await?;
    /// # let select = Statement::from_string(database.get_database_backend(), "SELECT name FROM profile");
    /// # let row = database.query_one_raw(select).await?.ok_or("no profile")?;
    /// # assert_eq!(row.try_get::<String>("", "name")?, "grace");
    /// # Ok(())
    /// # }
    /// ```
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
///
/// ```
/// use symbolon::{HookError, Registrant};
///
/// fn check(registrant: &Registrant) -> Result<(), HookError> {
///     match &registrant.email {
///         Some(email) if email.ends_with("@example.org") => Ok(()),
///         _ => Err(HookError::refuse("email", "Enter your address at example.org.")),
///     }
/// }
/// # struct AppHooks;
/// # #[symbolon::async_trait]
/// # impl symbolon::Hooks for AppHooks {
/// #     async fn before_register(
/// #         &self, _: &symbolon::HookTransaction<'_>, registrant: &Registrant,
/// #     ) -> Result<(), HookError> { check(registrant) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let symbolon = symbolon::Symbolon::builder(config).hooks(AppHooks).open().await?;
/// # let operator = symbolon.operator();
/// # let ada = symbolon::Registration {
/// #     username: "ada".to_owned(),
/// #     email: Some("ada@example.org".to_owned()),
/// #     password: "correct horse".to_owned(),
/// # };
/// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
/// # Ok(())
/// # }
/// ```
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
///
/// ```
/// use symbolon::HookError;
///
/// fn parse_limit(text: &str) -> Result<u32, HookError> {
///     let limit = text.parse()?; // A failure: the client receives `INTERNAL_SERVER_ERROR`.
///     if limit == 0 {
///         return Err(HookError::refuse("username", "No more users can register."));
///     }
///     Ok(limit)
/// }
/// # assert!(parse_limit("ten").is_err());
/// # assert!(parse_limit("0").is_err());
/// # assert!(parse_limit("10").is_ok());
/// ```
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
    ///
    /// ```
    /// use symbolon::HookError;
    ///
    /// fn check_name(username: &str) -> Result<(), HookError> {
    ///     if username.eq_ignore_ascii_case("support") {
    ///         return Err(HookError::refuse("username", "This name is reserved."));
    ///     }
    ///     Ok(())
    /// }
    /// # assert!(check_name("Support").is_err());
    /// ```
    #[must_use]
    pub fn refuse(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        let error = FieldError::new(field, FieldErrorCode::Invalid, message);
        Self(HookErrorKind::Refusal(error))
    }

    /// Returns a failure. `cause` can be a text or a boxed error. It is logged, and never sent to the client.
    ///
    /// ```
    /// use symbolon::HookError;
    ///
    /// fn check_rows(rows: u64) -> Result<(), HookError> {
    ///     match rows {
    ///         1 => Ok(()),
    ///         _ => Err(HookError::fail(format!("{rows} profiles belong to one user"))),
    ///     }
    /// }
    /// # assert!(check_rows(2).is_err());
    /// ```
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
