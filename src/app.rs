//! [`Symbolon`], the entry point of the library.

#[cfg(feature = "server")]
mod copy;
#[cfg(feature = "server")]
mod inspection;
mod open;
mod other_servers;
mod own_tables;
#[cfg(feature = "server")]
mod restore;
mod serving;
#[cfg(feature = "testing")]
pub mod testing;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::BoxStream;
use poem::{Endpoint, Response, Route};

#[cfg(feature = "server")]
pub use self::inspection::Inspection;
use self::open::{Migrations, open};
#[cfg(feature = "server")]
pub use self::restore::RestoreReport;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::{Error, StartError};
use crate::graphql::{self, ObjectType, Schema, SchemaBuilder, SubscriptionType};
use crate::http::{self, AppState, Middleware};
use crate::model::event::Event;
use crate::operator::Operator;
use crate::service::hook_runner::HookRunner;
use crate::service::hooks::Hooks;
use crate::store::{ApplicationMigrations, Location, MissedEvents};

/// An instance of Symbolon: token authentication for the users of one database. An application serves
/// Symbolon's routes alone or together with its own routes.
///
/// Clones share the same state. A process can open several instances with different databases.
#[derive(Clone, Debug)]
pub struct Symbolon {
    state: Arc<AppState>,
}

// `serve_boxed` in `serving.rs`, `close` and `SymbolonBuilder::open_boxed` box their futures: a boxed future is compiled
// once, with the library. An `async fn` would be compiled again in each program that calls it.
impl Symbolon {
    /// Opens the database, and starts the hashing threads and the background tasks. Creates the database if it
    /// does not exist, and migrates the database. If the configuration contains no server key, the key is read
    /// from a file beside the SQLite database. If this file does not exist, a new key is created in it.
    ///
    /// ```
    /// use symbolon::{Config, StartError, Symbolon};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// let symbolon = Symbolon::open(config).await?;
    /// # symbolon.close().await?;
    ///
    /// let refused = Symbolon::open(Config::new("mysql://localhost/app")).await;
    /// assert!(matches!(refused, Err(StartError::Configuration(_))));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the configuration is invalid, if the server key cannot be read or created, if the
    /// hashing threads cannot be started, or if the database cannot be opened or migrated.
    pub async fn open(config: Config) -> Result<Self, StartError> {
        Self::builder(config).open().await
    }

    /// Returns a builder, which opens the database with hooks and with migrations of the application.
    ///
    /// ```
    /// use symbolon::{HookError, HookTransaction, Hooks, Symbolon, User, async_trait};
    ///
    /// struct Maintenance;
    ///
    /// #[async_trait]
    /// impl Hooks for Maintenance {
    ///     async fn before_sign_in(&self, _: &HookTransaction<'_>, _: &User) -> Result<(), HookError> {
    ///         Err(HookError::refuse("username", "Signing in is possible again at 8:00 UTC."))
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// let symbolon = Symbolon::builder(config).hooks(Maintenance).open().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(config: Config) -> SymbolonBuilder {
        SymbolonBuilder {
            config,
            clock: Clock::System,
            hooks: HookRunner::none(),
            migrations: None,
        }
    }

    /// Opens an existing database for administration, even while a server is using it. Neither creates nor
    /// migrates the database, and requires no server key.
    ///
    /// ```
    /// use symbolon::{StartError, Symbolon};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// let missing = Symbolon::open_operator(config.clone()).await;
    /// assert!(matches!(missing, Err(StartError::Database(_))));
    ///
    /// let server = Symbolon::open(config.clone()).await?;
    /// let operator = Symbolon::open_operator(config).await?;
    /// assert!(operator.users(None).await?.is_empty());
    /// # server.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the configuration is invalid, or if the database does not exist, cannot be opened,
    /// contains no tables of Symbolon, or contains the tables of a different version of Symbolon.
    pub async fn open_operator(config: Config) -> Result<Operator, StartError> {
        Self::builder(config).open_operator().await
    }

    /// Returns the absolute path of the SQLite file that the configuration names, without opening the file.
    /// Returns `None` if the URL is invalid or names a PostgreSQL database.
    ///
    /// ```
    /// use symbolon::{Config, Symbolon};
    ///
    /// let config = Config::new("sqlite:///var/lib/notes/app.db");
    /// let file = Symbolon::database_file(&config);
    /// assert_eq!(file.as_deref(), Some("/var/lib/notes/app.db".as_ref()));
    /// ```
    #[must_use]
    pub fn database_file(config: &Config) -> Option<PathBuf> {
        let location = Location::parse(&config.database_url.0).ok()?;
        std::path::absolute(location.file()?).ok()
    }

    /// Returns a builder for a schema with your root types, which include [`Query`](crate::Query) and
    /// [`Mutation`](crate::Mutation). The resolvers and guards of the schema use the instance whose endpoint
    /// executes the request. The limits on documents are those of this instance.
    ///
    /// ```
    /// use async_graphql::{EmptySubscription, MergedObject, Object};
    /// use symbolon::Mutation;
    ///
    /// #[derive(Default)]
    /// struct Versions;
    ///
    /// #[Object]
    /// impl Versions {
    ///     async fn version(&self) -> &str {
    ///         "1.4.0"
    ///     }
    /// }
    ///
    /// #[derive(MergedObject, Default)]
    /// struct Query(symbolon::Query, Versions);
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// let schema = symbolon.schema(Query::default(), Mutation, EmptySubscription).finish();
    /// assert!(schema.sdl().contains("version: String!"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if two types have the same GraphQL name. For example, an application cannot have an own type with the name
    /// `User`.
    pub fn schema<Q, M, S>(&self, query: Q, mutation: M, subscription: S) -> SchemaBuilder<Q, M, S>
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        SchemaBuilder::new(&self.state.limits, query, mutation, subscription)
    }

    /// Returns the routes of `symbolon serve`: [`Symbolon::routes`] with a schema that contains only Symbolon's
    /// types.
    ///
    /// ```no_run
    /// use tokio::net::TcpListener;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// let listener = TcpListener::bind("127.0.0.1:8000").await?;
    /// symbolon.serve(symbolon.own_routes(), listener, std::future::pending()).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn own_routes(&self) -> Route {
        self.routes(graphql::standalone_schema(&self.state.limits).finish())
    }

    /// Returns the routes of Symbolon: `/graphql` with `schema`, `/tokens`, `/auth`, `/healthz`, `/readyz`,
    /// the explorer at `/`, and, if [`Config::public_url`] is set, the page `/invite`, the page `/reset` unless
    /// [`Config::reset_page`] is set, and their files `/pages/password.js` and `/pages/password.css`. Add your
    /// own routes with [`Route::at`], which panics for a path that is already present.
    ///
    /// ```
    /// use async_graphql::EmptySubscription;
    /// use poem::{Endpoint, Request, get, handler, http::StatusCode};
    ///
    /// #[handler]
    /// fn terms() -> &'static str {
    ///     "Be kind."
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// # #[derive(async_graphql::MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// # let schema = symbolon.schema(Query::default(), symbolon::Mutation, EmptySubscription).finish();
    /// let app = symbolon.routes(schema).at("/terms", get(terms));
    /// for path in ["/terms", "/readyz"] {
    ///     let request = Request::builder().uri_str(path).header("Host", "localhost").finish();
    ///     let response = app.get_response(request).await;
    ///     assert_eq!(response.status(), StatusCode::OK);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn routes<Q, M, S>(&self, schema: Schema<Q, M, S>) -> Route
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        http::routes(&self.state, schema)
    }

    /// Returns only the GraphQL endpoint for `schema`, to be mounted at a path of your choice. The endpoint serves `GET`
    /// and `POST` requests, and the WebSockets of subscriptions.
    ///
    /// ```
    /// use poem::Route;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// # #[derive(async_graphql::MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// # let schema = symbolon.schema(Query::default(), symbolon::Mutation, async_graphql::EmptySubscription).finish();
    /// let app = Route::new().at("/api/graphql", symbolon.graphql(schema));
    /// # use poem::{Endpoint, Request, http::Method};
    /// # let request = Request::builder().method(Method::POST).uri_str("/api/graphql");
    /// # let request = request.header("Host", "localhost").content_type("application/json");
    /// # let request = request.body(r#"{"query": "{ __typename }"}"#);
    /// # let body: serde_json::Value = app.get_response(request).await.into_body().into_json().await?;
    /// # assert_eq!(body["data"]["__typename"], "Query");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn graphql<Q, M, S>(
        &self,
        schema: Schema<Q, M, S>,
    ) -> impl Endpoint<Output = Response> + 'static
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        http::graphql(&self.state, schema)
    }

    /// Returns a middleware that makes the extractor [`Identity`](crate::Identity) available. Routes that
    /// [`Symbolon::serve`] serves do not need this middleware. If the middleware of several instances is
    /// nested, the innermost one provides the identity.
    ///
    /// ```
    /// use poem::{Endpoint, EndpointExt, Request, Route, get, handler};
    /// use symbolon::Identity;
    ///
    /// #[handler]
    /// fn whoami(identity: Option<Identity>) -> String {
    ///     identity.map_or("a guest".to_owned(), |identity| identity.user().username.clone())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// // This application is served without `Symbolon::serve`.
    /// let app = Route::new().at("/whoami", get(whoami)).with(symbolon.middleware());
    /// # let request = Request::builder().uri_str("/whoami").header("Host", "localhost").finish();
    /// # let response = app.get_response(request).await;
    /// # assert_eq!(response.into_body().into_string().await?, "a guest");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn middleware(&self) -> Middleware {
        Middleware::new(Arc::clone(&self.state))
    }

    /// Returns the interface for administration, which requires no credentials. Programs that run beside the
    /// server use [`Symbolon::open_operator`] instead.
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
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// // The first admin of a new installation.
    /// let operator = symbolon.operator();
    /// if operator.users(None).await?.is_empty() {
    ///     let password = "a ship in port".to_owned(); // From the environment, for example.
    ///     let admin = Registration { username: "grace".to_owned(), email: None, password };
    ///     operator.add_user(&admin, Role::Admin).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator::new(Arc::clone(&self.state.services))
    }

    /// Returns an endpoint that serves the metrics. The format is
    /// [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) if the request accepts it, and the older
    /// text format of Prometheus otherwise. The endpoint requires no authentication. Mount the endpoint where only
    /// Prometheus can reach it.
    ///
    /// ```
    /// use poem::{Endpoint, Request, Route};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// let internal = Route::new().at("/internal/metrics", symbolon.metrics());
    /// let scrape = Request::builder().uri_str("/internal/metrics").finish();
    /// let body = internal.get_response(scrape).await.into_body().into_string().await?;
    /// assert!(body.contains("# TYPE symbolon_"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn metrics(&self) -> impl Endpoint<Output = Response> + 'static {
        http::metrics(&self.state)
    }

    /// Returns a stream of the events that this instance publishes from now on: one event for each change, each
    /// sign-in and each refused attempt, even if the audit trail counts several of them in one row.
    ///
    /// - The events of a transaction are published after its commit has succeeded, one after another. A throttled
    ///   attempt is published immediately. The audit trail counts it within about a second.
    /// - Nothing is published if a transaction is rolled back, or if the outcome of its commit is unknown.
    /// - Events of transactions that are committed at nearly the same time can be published in either order.
    /// - The stream contains no events of other processes, such as the program `symbolon` or other instances.
    /// - If a reader is more than 1024 events behind, it misses the oldest events. The stream then yields
    ///   [`MissedEvents`] with their number, and continues with the oldest remaining event.
    /// - The stream ends after the database is closed. [`Symbolon::serve`] closes the database before it returns.
    ///   Events that are still in the stream at that time can be read, but look-ups through [`Operator`] fail.
    ///
    /// A crash can lose events that were committed but not yet read, and a reader can still have events to
    /// handle when the database is closed. If each event must be handled, write a row in a hook ([`Hooks`]), and
    /// delete the row after handling it.
    ///
    /// ```
    /// use futures_util::StreamExt;
    /// use symbolon::{AuditEventKind, Symbolon};
    ///
    /// async fn greet_new_users(symbolon: Symbolon) -> Result<(), symbolon::Error> {
    ///     let mut events = symbolon.events();
    ///     while let Some(event) = events.next().await {
    ///         match event {
    ///             Ok(event) if event.kind == AuditEventKind::Registered => {
    ///                 let Some(id) = event.user else { continue };
    ///                 let user = symbolon.operator().user_by_id(id).await?;
    ///                 if let Some(email) = user.and_then(|user| user.email) {
    ///                     // Send a mail to this address.
    ///                     # let _ = email;
    ///                 }
    ///             }
    ///             Ok(_) => {}
    ///             Err(missed) => tracing::warn!(%missed),
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn events(&self) -> BoxStream<'static, Result<Event, MissedEvents>> {
        self.state.services.events()
    }

    /// Closes the database, including [`Symbolon::connection`]. Waits up to 10 s for transactions of the application.
    /// [`Symbolon::serve`] calls this method before it returns.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// // A test that does not call `Symbolon::serve` closes the database itself.
    /// symbolon.close().await?;
    /// assert!(symbolon.operator().users(None).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if pending changes cannot be written to the database, or if the connections cannot be
    /// closed.
    pub fn close(&self) -> impl Future<Output = Result<(), Error>> + Send {
        self.state.services.close().boxed()
    }

    /// Returns the time since the sending of the last heartbeat that this instance has received back from
    /// PostgreSQL as a notification. The instance has applied every change that was committed before that
    /// heartbeat was sent. Returns `None` with SQLite, and until the first heartbeat has been received.
    ///
    /// If the age exceeds one second, each request reads the identity from the database instead of the cache.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// let is_behind = symbolon.heartbeat_age().is_some_and(|age| age > Duration::from_secs(1));
    /// if is_behind {
    ///     println!("No notifications arrive from PostgreSQL.");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn heartbeat_age(&self) -> Option<Duration> {
        self.state.services.heartbeat_age()
    }

    /// Returns the number of cached identities that were found to differ from the database. A background task
    /// compares one recently used identity per second. A number greater than 0 indicates a bug in Symbolon.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// // At the end of a load test.
    /// assert_eq!(symbolon.stale_identities(), 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn stale_identities(&self) -> u64 {
        self.state.services.authenticator.stale_identities()
    }

    /// Returns the absolute path of the SQLite file, or the URL of the PostgreSQL database without the password.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// println!("The database is {}.", symbolon.database());
    /// # assert!(symbolon.database().ends_with("/app.db"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn database(&self) -> String {
        self.state.services.database()
    }
}

/// A builder of an instance. Created by [`Symbolon::builder`].
///
/// ```
/// use symbolon::{Clock, Config, Hooks, MockClock, Symbolon, SymbolonBuilder};
///
/// struct Profiles;
///
/// impl Hooks for Profiles {}
///
/// /// Returns the builder of the application, which its tests also use.
/// fn builder(config: Config) -> SymbolonBuilder {
///     Symbolon::builder(config).hooks(Profiles)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// let clock = MockClock::new(chrono::Utc::now());
/// let symbolon = builder(config).clock(Clock::Mock(clock)).open().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct SymbolonBuilder {
    config: Config,
    clock: Clock,
    hooks: HookRunner,
    migrations: Option<ApplicationMigrations>,
}

impl SymbolonBuilder {
    /// Sets the hooks of the instance. A second call replaces the hooks.
    ///
    /// ```
    /// use symbolon::{HookError, HookTransaction, Hooks, Registrant, Symbolon, async_trait};
    /// # use symbolon::{Registration, Role};
    ///
    /// struct StaffOnly;
    ///
    /// #[async_trait]
    /// impl Hooks for StaffOnly {
    ///     async fn before_register(
    ///         &self,
    ///         _: &HookTransaction<'_>,
    ///         registrant: &Registrant,
    ///     ) -> Result<(), HookError> {
    ///         match &registrant.email {
    ///             Some(email) if email.ends_with("@example.org") => Ok(()),
    ///             _ => Err(HookError::refuse("email", "Enter your address at example.org.")),
    ///         }
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// let symbolon = Symbolon::builder(config).hooks(StaffOnly).open().await?;
    /// # let mut new = Registration { username: "ada".into(), email: None, password: "correct horse".into() };
    /// # assert!(symbolon.operator().add_user(&new, Role::User).await.is_err());
    /// # new.email = Some("ada@example.org".to_owned());
    /// # symbolon.operator().add_user(&new, Role::User).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn hooks(self, hooks: impl Hooks + 'static) -> Self {
        let hooks = HookRunner::new(Arc::new(hooks));
        Self { hooks, ..self }
    }

    /// Sets the clock. This method is intended for tests. The default is [`Clock::System`].
    ///
    /// ```
    /// use chrono::{TimeDelta, Utc};
    /// use symbolon::{Clock, MockClock, Symbolon};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// let clock = MockClock::new(Utc::now());
    /// let builder = Symbolon::builder(config).clock(Clock::Mock(clock.clone()));
    /// let symbolon = builder.open().await?;
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
    /// assert_eq!(symbolon.operator().sessions(None).await?.len(), 1);
    /// clock.advance(TimeDelta::hours(1));
    /// assert!(symbolon.operator().sessions(None).await?.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Opens the database like [`Symbolon::open`].
    ///
    /// ```
    /// use symbolon::Symbolon;
    ///
    /// # struct Profiles;
    /// # impl symbolon::Hooks for Profiles {}
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// let symbolon = Symbolon::builder(config).hooks(Profiles).open().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error under the same conditions as [`Symbolon::open`].
    pub async fn open(self) -> Result<Symbolon, StartError> {
        let migrations = Migrations::Apply(self.migrations);
        self.open_boxed(migrations).await
    }

    /// Opens an existing database like [`Symbolon::open_operator`].
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
    /// // The hooks also run for the users that this program adds.
    /// # struct Profiles;
    /// # impl symbolon::Hooks for Profiles {}
    /// let operator = Symbolon::builder(config).hooks(Profiles).open_operator().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error under the same conditions as [`Symbolon::open_operator`].
    pub async fn open_operator(self) -> Result<Operator, StartError> {
        let symbolon = self.open_boxed(Migrations::Require).await?;
        Ok(symbolon.operator())
    }

    fn open_boxed(
        self,
        migrations: Migrations,
    ) -> impl Future<Output = Result<Symbolon, StartError>> + Send {
        let open = async move {
            let state = open(self.config, self.clock, self.hooks, migrations).await?;
            let state = Arc::new(state);
            Ok(Symbolon { state })
        };
        open.boxed()
    }
}
