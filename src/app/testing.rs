//! Helpers for the tests of an application: an instance with a temporary database, a mock clock and cheap password hashes.
//!
//! Enable the feature `testing` in the dev-dependencies of the application:
//!
//! ```toml
//! [dev-dependencies]
//! symbolon = { version = "0.1", default-features = false, features = ["testing"] }
//! ```
//!
//! A test executes operations without HTTP, with the credentials of a test user:
//!
//! ```
//! use symbolon::async_graphql::{
//!     Context, EmptySubscription, Executor, MergedObject, Object, Request, Result,
//! };
//! use symbolon::testing::TestSymbolon;
//! use symbolon::{Authenticated, ContextExt, Mutation, chrono::TimeDelta};
//!
//! #[derive(Default)]
//! struct Greetings;
//!
//! #[Object]
//! impl Greetings {
//!     #[graphql(guard = "Authenticated")]
//!     async fn greeting(&self, ctx: &Context<'_>) -> Result<String> {
//!         Ok(format!("Hello, {}!", ctx.current_user().await?.username))
//!     }
//! }
//!
//! #[derive(MergedObject, Default)]
//! struct Query(symbolon::Query, Greetings);
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let symbolon = TestSymbolon::open().await;
//! let schema = symbolon.schema(Query::default(), Mutation, EmptySubscription);
//! let executor = symbolon.executor(schema.finish());
//! let greeting = async |requester| {
//!     let response = executor.execute(Request::new("{ greeting }").data(requester));
//!     response.await
//! };
//!
//! let ada = symbolon.as_user("ada").await;
//! let response = greeting(ada.requester()).await;
//! assert_eq!(response.data.to_string(), r#"{greeting: "Hello, ada!"}"#);
//! assert!(greeting(symbolon.anonymous()).await.is_err());
//!
//! symbolon.clock().advance(TimeDelta::hours(2));
//! assert!(greeting(ada.requester()).await.is_err(), "the token has expired");
//! # }
//! ```

mod test_user;

use std::fmt;
use std::ops::Deref;

use chrono::DateTime;
use tempfile::TempDir;

pub use self::test_user::TestUser;
use super::{Symbolon, SymbolonBuilder};
use crate::clock::{Clock, MockClock};
use crate::config::Config;
use crate::model::client::Client;
use crate::model::user::Role;
use crate::service::hooks::Hooks;
use crate::service::registration::Registration;
use crate::service::requester::Requester;
use crate::service::token_options::TokenOptions;
use crate::store::MigratorTrait;

/// The password of each user that [`TestSymbolon::as_user`] and [`TestSymbolon::as_admin`] create.
///
/// ```
/// let basic = ("ada", symbolon::testing::PASSWORD);
/// ```
pub const PASSWORD: &str = "correct horse battery staple";

/// The initial time of the clock, 2026-01-01T00:00:00Z, in seconds since the Unix epoch.
const START: i64 = 1_767_225_600;

/// An instance for tests. It has a temporary SQLite database, which is deleted when the instance is dropped, a mock clock,
/// the cheapest permitted password hashes, and no rate limits.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let symbolon = symbolon::testing::TestSymbolon::open().await;
/// let ada = symbolon.as_user("ada").await;
/// assert!(symbolon.operator().user_by_id(ada.user().id).await.unwrap().is_some());
/// # }
/// ```
#[derive(Debug)]
pub struct TestSymbolon {
    symbolon: Symbolon,
    clock: MockClock,
    _folder: TempDir,
}

impl Deref for TestSymbolon {
    type Target = Symbolon;

    fn deref(&self) -> &Symbolon {
        &self.symbolon
    }
}

impl TestSymbolon {
    /// Opens an instance without hooks and migrations.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let symbolon = symbolon::testing::TestSymbolon::open().await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the instance cannot be opened.
    pub async fn open() -> Self {
        Self::builder().open().await
    }

    /// Returns a builder, which opens an instance with the hooks, the migrations and the configuration of the application.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use symbolon::testing::TestSymbolon;
    ///
    /// let builder = TestSymbolon::builder().config(|config| config.registration = false);
    /// let symbolon = builder.open().await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the temporary folder cannot be created.
    pub fn builder() -> TestBuilder {
        let folder = require(tempfile::tempdir(), "the temporary folder");
        let file = folder.path().join("test.db");
        let mut config = Config::new(format!("sqlite://{}", file.display()));
        config.argon2_memory = 8;
        config.argon2_iterations = 1;
        config.throttle.enabled = false;
        let clock = MockClock::new(DateTime::from_timestamp(START, 0).unwrap_or_default());
        TestBuilder {
            builder: Symbolon::builder(config).clock(Clock::Mock(clock.clone())),
            clock,
            folder,
        }
    }

    /// Returns the clock of the instance. It starts at 2026-01-01T00:00:00Z, and moves only with
    /// [`MockClock::advance`].
    ///
    /// ```
    /// use symbolon::chrono::TimeDelta;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let symbolon = symbolon::testing::TestSymbolon::open().await;
    /// symbolon.clock().advance(TimeDelta::minutes(5));
    /// # }
    /// ```
    #[must_use]
    pub fn clock(&self) -> &MockClock {
        &self.clock
    }

    /// Signs in as a user. Adds the user if no user has this name, with the password [`PASSWORD`] and the e-mail address
    /// `NAME@example.com`. The hooks of the application run.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let symbolon = symbolon::testing::TestSymbolon::open().await;
    /// assert_eq!(symbolon.as_user("ada").await.user().username, "ada");
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the user cannot be added or cannot sign in, for example because a hook refuses it.
    pub async fn as_user(&self, username: &str) -> TestUser {
        self.sign_in(username, Role::User).await
    }

    /// Signs in as an admin. Adds the user like [`TestSymbolon::as_user`], and makes an existing user an admin.
    ///
    /// ```
    /// use symbolon::Role;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let symbolon = symbolon::testing::TestSymbolon::open().await;
    /// assert_eq!(symbolon.as_admin("root").await.user().role, Role::Admin);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`TestSymbolon::as_user`].
    pub async fn as_admin(&self, username: &str) -> TestUser {
        self.sign_in(username, Role::Admin).await
    }

    /// Returns the requester of a new request without credentials.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let symbolon = symbolon::testing::TestSymbolon::open().await;
    /// assert!(symbolon.anonymous().identity().await.is_err());
    /// # }
    /// ```
    #[must_use]
    pub fn anonymous(&self) -> Requester {
        self.requester(None, Client::default())
    }

    async fn sign_in(&self, username: &str, role: Role) -> TestUser {
        let operator = self.operator();
        let existing = require(operator.user(username).await, username);
        match existing {
            None => {
                let new = Registration {
                    username: username.to_owned(),
                    email: Some(format!("{username}@example.com")),
                    password: PASSWORD.to_owned(),
                };
                require(operator.add_user(&new, role).await, username);
            }
            Some(user) if role > user.role => {
                require(operator.set_role(user.id, role).await, username);
            }
            Some(_) => {}
        }
        let options = TokenOptions::new();
        let requester = self.anonymous();
        let session = requester.sign_in_with(username, PASSWORD, &options);
        let session = require(session.await, username);
        TestUser {
            authorization: format!("Bearer {}", session.token()),
            symbolon: self.symbolon.clone(),
            user: session.user,
        }
    }
}

/// A builder of an instance for tests. Created by [`TestSymbolon::builder`].
#[derive(Debug)]
#[must_use]
pub struct TestBuilder {
    builder: SymbolonBuilder,
    clock: MockClock,
    folder: TempDir,
}

impl TestBuilder {
    /// Changes the configuration, for example to enable the rate limits.
    ///
    /// ```
    /// use symbolon::testing::TestSymbolon;
    ///
    /// let builder = TestSymbolon::builder().config(|config| config.throttle.enabled = true);
    /// ```
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.builder.config);
        self
    }

    /// Sets the hooks of the application.
    ///
    /// ```
    /// use symbolon::Hooks;
    /// use symbolon::testing::TestSymbolon;
    ///
    /// struct Profiles;
    /// impl Hooks for Profiles {}
    ///
    /// let builder = TestSymbolon::builder().hooks(Profiles);
    /// ```
    pub fn hooks(self, hooks: impl Hooks + 'static) -> Self {
        let builder = self.builder.hooks(hooks);
        Self { builder, ..self }
    }

    /// Sets the migrations of the application, like [`SymbolonBuilder::migrations`].
    ///
    /// ```
    /// use symbolon::async_trait;
    /// use symbolon::sea_orm_migration::prelude::*;
    /// use symbolon::testing::TestSymbolon;
    ///
    /// struct Migrations;
    ///
    /// #[async_trait]
    /// impl MigratorTrait for Migrations {
    ///     fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    ///         Vec::new()
    ///     }
    /// }
    ///
    /// let builder = TestSymbolon::builder().migrations::<Migrations>();
    /// ```
    pub fn migrations<M: MigratorTrait + 'static>(self) -> Self {
        let builder = self.builder.migrations::<M>();
        Self { builder, ..self }
    }

    /// Opens the instance.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let symbolon = symbolon::testing::TestSymbolon::builder().open().await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the instance cannot be opened, for example because a migration of the application fails.
    pub async fn open(self) -> TestSymbolon {
        TestSymbolon {
            symbolon: require(self.builder.open().await, "the instance"),
            clock: self.clock,
            _folder: self.folder,
        }
    }
}

/// Returns the value of a result. Fails the test with the error otherwise.
fn require<T>(result: Result<T, impl fmt::Display>, name: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{name}: {error}"),
    }
}
