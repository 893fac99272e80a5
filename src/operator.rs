//! Administration without credentials and rate limits.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};

use crate::error::Error;
use crate::model::audit_event::{AuditEvent, AuditEventFilter};
use crate::model::field_errors::MutationError;
#[cfg(feature = "server")]
use crate::model::imported_user::{ImportResult, ImportedUser};
use crate::model::live_token::LiveToken;
use crate::model::one_time_link::OneTimeLink;
use crate::model::pagination::PageRequest;
use crate::model::user::{Role, User, UserId};
use crate::service::Services;
use crate::service::authorization::Caller;
use crate::service::named_input::NamedInput;
use crate::service::one_time_links::Invitation;
use crate::service::registration::Registration;
use crate::service::similar_usernames_report::SimilarUsernames;
use crate::service::users::UserKey;
use crate::service::visible_user::VisibleUser;

/// The maximum number of items that one call returns.
const PAGE_SIZE: u64 = 1000;

/// The result of a method of [`Operator`]. The future is boxed, so that the methods are compiled once, with the
/// library, and not again in each program that calls them.
type OperatorFuture<'a, T, E = Error> = BoxFuture<'a, Result<T, E>>;

/// An interface for administration that requires no credentials. Created by
/// [`Symbolon::operator`](crate::Symbolon::operator) or
/// [`Symbolon::open_operator`](crate::Symbolon::open_operator).
///
/// An operator can be used while a server is running on the same database. After the operator has revoked a
/// token, the server refuses the token immediately with SQLite, and after at most 1.25 s with PostgreSQL.
///
/// ```
/// use symbolon::{Registration, Role};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let operator = symbolon::Symbolon::open(config).await?.operator();
/// let admin = Registration {
///     username: "grace".to_owned(),
///     email: None,
///     password: "a ship in port".to_owned(),
/// };
/// let admin = operator.add_user(&admin, Role::Admin).await?;
/// assert_eq!(operator.user("Grace").await?, Some(admin));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Every method returns [`Error::ServiceUnavailable`] if the database is unavailable, and [`Error::Internal`]
/// if the database reports an unexpected error. A method that changes the database returns
/// [`Error::OutcomeUnknown`] if the connection fails during the commit.
#[derive(Clone, Debug)]
pub struct Operator {
    services: Arc<Services>,
}

#[expect(
    clippy::must_use_candidate,
    reason = "the compiler warns of unused boxed futures"
)]
impl Operator {
    pub(crate) fn new(services: Arc<Services>) -> Self {
        Self { services }
    }

    /// Returns the absolute path of the SQLite file, or the URL of the PostgreSQL database without the
    /// password.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// println!("This changes the users in {}.", operator.database());
    /// # assert!(operator.database().ends_with("/app.db"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn database(&self) -> String {
        self.services.database()
    }

    /// Closes the database. The [`Symbolon`](crate::Symbolon) that created the operator cannot use the database
    /// afterwards.
    ///
    /// ```
    /// use symbolon::Symbolon;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # Symbolon::open(config.clone()).await?.close().await?;
    /// let operator = Symbolon::open_operator(config).await?;
    /// let revoked = operator.revoke_all_tokens().await?;
    /// operator.close().await?;
    /// println!("{revoked} tokens were revoked.");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if pending changes cannot be written to the database. In this case, the database stays
    /// open.
    pub fn close(&self) -> OperatorFuture<'_, ()> {
        self.services.close().boxed()
    }

    /// Adds a user, even if registration is closed. Runs [`Hooks::before_register`](crate::Hooks::before_register) and
    /// [`Hooks::after_register`](crate::Hooks::after_register).
    ///
    /// ```
    /// use symbolon::{FieldErrorCode, MutationError, Registration, Role};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// let new = Registration {
    ///     username: "ada".to_owned(),
    ///     email: Some("ada@example.org".to_owned()),
    ///     password: "correct horse".to_owned(),
    /// };
    /// let ada = operator.add_user(&new, Role::User).await?;
    /// assert_eq!(ada.username, "ada");
    ///
    /// let Err(MutationError::Fields(errors)) = operator.add_user(&new, Role::User).await else {
    ///     panic!("a username can be used only once");
    /// };
    /// assert_eq!((errors[0].field, errors[0].code), ("username", FieldErrorCode::Taken));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`MutationError::Fields`] if the name, the e-mail address or the password is invalid, or if
    /// another user has the name or the e-mail address, or if a hook refuses the user.
    pub fn add_user<'a>(
        &'a self,
        new: &'a Registration,
        role: Role,
    ) -> OperatorFuture<'a, User, MutationError> {
        let users = &self.services.users;
        whole(users.register(Caller::Operator, new, role))
    }

    /// Returns the user with this name, or `None` if no user has this name. Two names match if they are equal after
    /// PRECIS preparation, which ignores case, for example.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// let found = operator.user("ADA").await?;
    /// assert_eq!(found, Some(ada));
    /// assert_eq!(operator.user("grace").await?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn user<'a>(&'a self, username: &'a str) -> OperatorFuture<'a, Option<User>> {
        self.find(UserKey::Name(username))
    }

    /// Returns the user with this id, or `None` if no user has this id.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// // An own table contains the id of the author.
    /// let author = ada.id;
    /// let author = operator.user_by_id(author).await?;
    /// let name = author.map_or("a deleted user".to_owned(), |user| user.username);
    /// assert_eq!(name, "ada");
    /// # Ok(())
    /// # }
    /// ```
    pub fn user_by_id(&self, id: UserId) -> OperatorFuture<'_, Option<User>> {
        self.find(UserKey::Id(id))
    }

    fn find<'a>(&'a self, key: UserKey<'a>) -> OperatorFuture<'a, Option<User>> {
        let users = &self.services.users;
        let found = users.find(Caller::Operator, key);
        found
            .map_ok(|user| user.map(VisibleUser::into_user))
            .boxed()
    }

    /// Returns at most 1,000 users with ids greater than `after`, in ascending order of id. `None` means the first page.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// let mut last = None;
    /// let mut addresses = Vec::new();
    /// loop {
    ///     let page = operator.users(last).await?;
    ///     let Some(user) = page.last() else { break };
    ///     last = Some(user.id);
    ///     addresses.extend(page.into_iter().filter_map(|user| user.email));
    /// }
    /// assert_eq!(addresses, ["ada@example.org"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn users(&self, after: Option<UserId>) -> OperatorFuture<'_, Vec<User>> {
        let page = self
            .services
            .users
            .page(Caller::Operator, page_request(after.map(|id| id.0)));
        let users =
            page.map_ok(|page| page.items.into_iter().map(VisibleUser::into_user).collect());
        users.boxed()
    }

    /// Imports users from another system in one transaction. Returns the result for each user. Existing users
    /// are not changed, so that an import can be repeated. A dry run changes nothing.
    ///
    /// ```
    /// use symbolon::{ImportResult, ImportedPassword, ImportedUser};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// let hash = "$2b$04$75aEG2I4EPHy/uBEvnf/8uEXz/pN5Za/RvVOaFDTu862YE.aK38Du";
    /// let users = [
    ///     ImportedUser::new("ada".to_owned(), ImportedPassword::from_hash(hash.to_owned())),
    ///     ImportedUser::new("two words".to_owned(), ImportedPassword::Unset),
    /// ];
    /// let results = operator.import(users.into(), false).await?;
    /// assert!(matches!(results[0], ImportResult::Added { .. }), "{results:?}");
    /// assert!(matches!(results[1], ImportResult::Refused(_)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::BadUserInput`] if a hook refuses one of the users. No user is then added. An invalid user is not an
    /// error, but has the result [`ImportResult::Refused`].
    #[cfg(feature = "server")]
    pub fn import(
        &self,
        users: Vec<ImportedUser>,
        dry_run: bool,
    ) -> OperatorFuture<'_, Vec<ImportResult>> {
        self.services.import.run(users, dry_run).boxed()
    }

    /// Sets the password of a user, and revokes all tokens of the user.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// operator.set_password(ada.id, "battery staple").await?;
    /// assert!(operator.set_password(ada.id, "short").await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`MutationError::Fields`] if the user does not exist, or if the password is not allowed.
    pub fn set_password<'a>(
        &'a self,
        id: UserId,
        new: &'a str,
    ) -> OperatorFuture<'a, User, MutationError> {
        let new = NamedInput::new("password", new);
        let users = &self.services.users;
        whole(users.set_password(Caller::Operator, id, new))
    }

    /// Creates a link with which a user can replace a forgotten password. Returns the user and the link. The last
    /// unused reset link of the user becomes invalid. The link is valid for
    /// [`Config::reset_link_lifetime`](crate::Config::reset_link_lifetime).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// config.public_url = Some("https://login.example.org".to_owned());
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// let (user, link) = operator.create_reset_link(ada.id).await?;
    /// println!("To: {}\n\nChoose a new password: {}", user.email.unwrap_or_default(), link.url());
    /// assert!(link.url().starts_with("https://login.example.org/reset#"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`MutationError::Fields`] if the user does not exist or is disabled. Returns
    /// [`Error::BadUserInput`] if neither [`Config::public_url`](crate::Config::public_url) nor
    /// [`Config::reset_page`](crate::Config::reset_page) is set.
    pub fn create_reset_link(
        &self,
        id: UserId,
    ) -> OperatorFuture<'_, (User, OneTimeLink), MutationError> {
        let users = &self.services.users;
        let created = users.create_reset_link(Caller::Operator, id);
        let created = created.map_ok(|(user, link)| (user.into_user(), link));
        created.boxed()
    }

    /// Creates a user without a password, and a link with which the user chooses the password. Returns the user and
    /// the link. If the user has been invited before and has never had a password, only creates a new link, and the
    /// last unused one becomes invalid. The link is valid for
    /// [`Config::invitation_lifetime`](crate::Config::invitation_lifetime).
    ///
    /// ```
    /// use symbolon::{Invitation, Role};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// config.public_url = Some("https://login.example.org".to_owned());
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// let invitation = Invitation {
    ///     username: "grace".to_owned(),
    ///     email: Some("grace@example.org".to_owned()),
    ///     role: Some(Role::Admin),
    /// };
    /// let (user, link) = operator.invite(&invitation).await?;
    /// assert!(!user.has_password);
    /// assert!(link.url().starts_with("https://login.example.org/invite#"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`MutationError::Fields`] if the name or the e-mail address is invalid, if another user has the name or
    /// the e-mail address, or if the user was invited before and is disabled or has another role or e-mail address.
    /// Returns [`Error::BadUserInput`] if [`Config::public_url`](crate::Config::public_url) is not set.
    pub fn invite<'a>(
        &'a self,
        invitation: &'a Invitation,
    ) -> OperatorFuture<'a, (User, OneTimeLink), MutationError> {
        let users = &self.services.users;
        let invited = users.invite(Caller::Operator, invitation);
        let invited = invited.map_ok(|(user, link)| (user.into_user(), link));
        invited.boxed()
    }

    /// Sets the role of a user. The tokens of the user stay valid, and have the authority of the new role.
    ///
    /// ```
    /// use symbolon::Role;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// let ada = operator.set_role(ada.id, Role::Admin).await?;
    /// assert_eq!(ada.role, Role::Admin);
    /// // An active admin must remain.
    /// assert!(operator.set_role(ada.id, Role::User).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`MutationError::Fields`] if the user does not exist, or if the user is the last admin and
    /// `role` is lower.
    pub fn set_role(&self, id: UserId, role: Role) -> OperatorFuture<'_, User, MutationError> {
        let users = &self.services.users;
        whole(users.set_role(Caller::Operator, id, role))
    }

    /// Disables a user, and revokes all tokens of the user.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// let ada = operator.disable(ada.id).await?;
    /// assert!(ada.is_disabled());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`MutationError::Fields`] if the user does not exist, or is the last admin.
    pub fn disable(&self, id: UserId) -> OperatorFuture<'_, User, MutationError> {
        let users = &self.services.users;
        whole(users.disable(Caller::Operator, id))
    }

    /// Enables a disabled user. The tokens that were revoked when the user was disabled stay invalid.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// # operator.disable(ada.id).await?;
    /// let ada = operator.enable(ada.id).await?;
    /// assert!(!ada.is_disabled());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`MutationError::Fields`] if the user does not exist.
    pub fn enable(&self, id: UserId) -> OperatorFuture<'_, User, MutationError> {
        let users = &self.services.users;
        whole(users.enable(Caller::Operator, id))
    }

    /// Deletes a user with all tokens, and runs [`Hooks::after_delete`](crate::Hooks::after_delete). The audit trail
    /// keeps the events of the user.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// operator.delete(ada.id).await?;
    /// assert_eq!(operator.user_by_id(ada.id).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`MutationError::Fields`] if the user does not exist or is the last admin, or if the hook refuses the
    /// deletion.
    pub fn delete(&self, id: UserId) -> OperatorFuture<'_, (), MutationError> {
        let password = NamedInput::new("password", "");
        let users = &self.services.users;
        let deleted = users.delete(Caller::Operator, Some(id), password);
        deleted.map_ok(drop).boxed()
    }

    /// Revokes all tokens of a user, including unused one-time links. Returns the number of session tokens and access
    /// tokens that were live.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
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
    /// let operator = symbolon.operator();
    /// if let Some(ada) = operator.user("ada").await? {
    ///     let revoked = operator.revoke_tokens(ada.id).await?;
    ///     assert_eq!(revoked, 1);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`MutationError::Fields`] if the user does not exist.
    pub fn revoke_tokens(&self, id: UserId) -> OperatorFuture<'_, u32, MutationError> {
        let users = &self.services.users;
        users.revoke_tokens(Caller::Operator, id).boxed()
    }

    /// Revokes all tokens of all users, including unused one-time links, in several transactions. Returns the number of
    /// session tokens and access tokens that were live.
    ///
    /// Use this method after tokens were leaked, and after a backup was restored. If the method returns an
    /// error, call it again. Users can sign in while the method is running. Tokens that are issued during this
    /// time may stay valid.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
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
    /// let operator = symbolon.operator();
    /// let revoked = operator.revoke_all_tokens().await?;
    /// assert_eq!(revoked, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn revoke_all_tokens(&self) -> OperatorFuture<'_, u64> {
        let users = &self.services.users;
        users.revoke_all_tokens(Caller::Operator).boxed()
    }

    /// Returns the usernames that look alike according to [Unicode Technical Standard
    /// #39](https://www.unicode.org/reports/tr39/#Confusable_Detection). For example, one name may contain a
    /// Cyrillic letter in place of a Latin letter. Reads all users.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// let similar = operator.similar_usernames().await?;
    /// for (older, newer) in &similar.pairs {
    ///     println!("{} looks like {}, who registered first", newer.username, older.username);
    /// }
    /// assert_eq!(similar.count, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn similar_usernames(&self) -> OperatorFuture<'_, SimilarUsernames> {
        let users = &self.services.users;
        users.similar_usernames().boxed()
    }

    /// Returns the live shared sessions of at most 1,000 users with ids greater than `after`, in ascending order
    /// of user id. The result contains only the beginning of each token's digest, because the tokens are not
    /// stored.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
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
    /// let operator = symbolon.operator();
    /// for session in operator.sessions(None).await? {
    ///     println!("{} is signed in until {:?}", session.user.username, session.expires_at);
    ///     # assert_eq!(session.user.username, "ada");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn sessions(&self, after: Option<UserId>) -> OperatorFuture<'_, Vec<LiveToken>> {
        self.services.sessions.live_shared(after, PAGE_SIZE).boxed()
    }

    /// Returns at most 1,000 live device sessions with ids greater than `after`, in ascending order of id.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// let mut last = None;
    /// loop {
    ///     let page = operator.device_sessions(last).await?;
    ///     let Some(session) = page.last() else { break };
    ///     last = session.id;
    ///     for session in &page {
    ///         println!("{}: {}", session.user.username, session.name.as_deref().unwrap_or_default());
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn device_sessions(&self, after: Option<i64>) -> OperatorFuture<'_, Vec<LiveToken>> {
        let sessions = &self.services.sessions;
        sessions.live_on_devices(after, PAGE_SIZE).boxed()
    }

    /// Returns at most 1,000 live access tokens with ids greater than `after`, in ascending order of id.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// let tokens = operator.access_tokens(None).await?;
    /// let endless = tokens.iter().filter(|token| token.expires_at.is_none());
    /// println!("{} access tokens never expire.", endless.count());
    /// # Ok(())
    /// # }
    /// ```
    pub fn access_tokens(&self, after: Option<i64>) -> OperatorFuture<'_, Vec<LiveToken>> {
        self.services.access_tokens.live(after, PAGE_SIZE).boxed()
    }

    /// Deletes the sessions that have ended, and all other outdated rows. Returns the number of deleted
    /// sessions. The tokens of these sessions are then reported as invalid instead of expired.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// let deleted = operator.purge().await?;
    /// println!("{deleted} sessions had ended.");
    /// # Ok(())
    /// # }
    /// ```
    pub fn purge(&self) -> OperatorFuture<'_, u64> {
        let purged = async move {
            self.services.purge().await?;
            self.services.sessions.delete_ended().await
        };
        purged.boxed()
    }

    /// Copies a consistent snapshot of the SQLite database into a new file, and checks the copy. Returns the
    /// number of users in the copy. The server key is not copied.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// let file = folder.path().join("backup.db");
    /// let users = operator.back_up(&file).await?;
    /// assert_eq!(users, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the database is not SQLite, if the file already exists, or if the copy fails.
    pub fn back_up<'a>(&'a self, file: &'a Path) -> OperatorFuture<'a, u64, std::io::Error> {
        self.services.back_up(file).boxed()
    }

    /// Returns at most 1,000 audit events that match `filter` and have ids smaller than `before`, newest first. `None`
    /// means the newest events.
    ///
    /// ```
    /// use symbolon::{AuditEventFilter, AuditEventKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// let filter = AuditEventFilter {
    ///     user: Some(ada.id),
    ///     kind: Some(AuditEventKind::Registered),
    /// };
    /// let events = operator.audit_events(filter, None).await?;
    /// assert_eq!(events.len(), 1);
    /// // The next page contains older events.
    /// assert!(operator.audit_events(filter, Some(events[0].id)).await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn audit_events(
        &self,
        filter: AuditEventFilter,
        before: Option<i64>,
    ) -> OperatorFuture<'_, Vec<AuditEvent>> {
        // The position of an event is its negated id, so that newer events come first.
        let request = page_request(before.map(i64::saturating_neg));
        let page = (self.services.audit_trail).page(Caller::Operator, filter, request);
        page.map_ok(|page| page.items).boxed()
    }
}

/// Boxes the future of a change, and converts its result to a user with all fields.
fn whole<'a>(
    change: impl Future<Output = Result<VisibleUser, MutationError>> + Send + 'a,
) -> OperatorFuture<'a, User, MutationError> {
    change.map_ok(VisibleUser::into_user).boxed()
}

fn page_request(after: Option<i64>) -> PageRequest {
    PageRequest {
        after,
        limit: PAGE_SIZE,
        ..PageRequest::default()
    }
}
