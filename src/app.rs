//! The composition root: put the parts together, serve, and stop.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use poem::endpoint::{BoxEndpoint, Endpoint};
use poem::{EndpointExt, IntoEndpoint, Response, Route};
use tokio::net::TcpListener;

use crate::background::repeat;
use crate::clock::Clock;
use crate::config::{Config, PostgresConfig, ThrottleConfig};
use crate::error::StartError;
use crate::graphql::{self, ObjectType, Schema, SchemaBuilder, SubscriptionType};
use crate::http::{self, AppState, Capacity, IgnoredForwardedHeader, Metrics, Middleware};
use crate::model::password::PasswordRules;
use crate::model::session::Lifetime;
use crate::operator::Operator;
use crate::service::Services;
use crate::service::access_token_verifier::AccessTokenVerifier;
use crate::service::access_tokens::AccessTokens;
use crate::service::audit_recorder::AuditRecorder;
use crate::service::audit_trail::AuditTrail;
use crate::service::authenticator::Authenticator;
use crate::service::identity_cache::IdentityCache;
use crate::service::import::Import;
use crate::service::passwords::Passwords;
use crate::service::server_key::KeySource;
use crate::service::sessions::Sessions;
use crate::service::sign_in::SignIn;
use crate::service::throttle::{Rates, Throttle};
use crate::service::token_watch::TokenWatches;
use crate::service::users::Users;
use crate::store::{Connections, Location, Store};

const SECOND: Duration = Duration::from_secs(1);

/// The time between two purges.
const PURGE_INTERVAL: Duration = Duration::from_mins(10);

/// What is done about a database that is missing, or not up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Create,
    Refuse,
}

/// Token authentication on one database: what an app of yours serves, or has beside its own.
///
/// Its clones are the same. Any number of them, on different databases, fit in one process.
#[derive(Clone, Debug)]
pub struct Symbolon {
    state: Arc<AppState>,
}

impl Symbolon {
    /// Connects, migrates, and finds or makes the server key.
    pub fn open(config: Config) -> impl Future<Output = Result<Self, StartError>> + Send {
        Self::open_with_clock(config, Clock::System)
    }

    /// The same, by another clock: for tests.
    pub fn open_with_clock(
        config: Config,
        clock: Clock,
    ) -> impl Future<Output = Result<Self, StartError>> + Send {
        // In a box, so that this code is compiled with the library and not again with each program.
        Self::start(config, clock, Opening::Create).boxed()
    }

    /// Connects to a database that has the tables of this version, for a program that runs beside the
    /// server: what `symbolon user` does. A file that is missing, a database without Symbolon's tables,
    /// and tables of an older or newer version are refused. Nothing is created or migrated, and the
    /// server key is not needed.
    pub fn open_operator(
        config: Config,
    ) -> impl Future<Output = Result<Operator, StartError>> + Send {
        let start = Self::start(config, Clock::System, Opening::Refuse);
        async move { Ok(start.await?.operator()) }.boxed()
    }

    /// The absolute path of the SQLite file that the configuration names. Nothing is opened. `None` for
    /// PostgreSQL, and for a URL that names no database.
    #[must_use]
    pub fn database_file(config: &Config) -> Option<PathBuf> {
        let location = Location::parse(&config.database_url.0).ok()?;
        std::path::absolute(location.file()?).ok()
    }

    async fn start(config: Config, clock: Clock, opening: Opening) -> Result<Self, StartError> {
        config.check()?;
        let location = Location::parse(&config.database_url.0).map_err(StartError::new)?;
        let key = match opening {
            Opening::Create => key_source(&config, &location)?,
            Opening::Refuse => KeySource::Unused,
        };
        let lifetime =
            Lifetime::from_seconds(config.token_lifetime.into()).map_err(StartError::new)?;
        let passwords = hashing(&config)?;
        let rules = PasswordRules {
            min_characters: config.password_min as usize,
        };
        // A key that cannot be used is found out before a database is made, and a key is made only
        // for a database that can be used.
        let found = key.find().map_err(StartError::new)?;
        let connections = connections(&config.postgres);
        let store = match opening {
            Opening::Create => Store::open(location, connections).await,
            Opening::Refuse => Store::open_existing(location, connections).await,
        };
        let store = Arc::new(store.map_err(StartError::new)?);
        let clock = match (clock, store.clock()) {
            (Clock::System, Some(common)) => Clock::Database(common.clone()),
            (clock, _) => clock,
        };
        let key = found
            .map_or_else(|| key.create(), Ok)
            .map_err(StartError::new)?;
        let keep = TimeDelta::days(config.audit_days.into());
        let audit = Arc::new(AuditRecorder::new(Arc::clone(&store), keep));
        let throttle = Arc::new(Throttle {
            store: Arc::clone(&store),
            clock: clock.clone(),
            audit: Arc::clone(&audit),
            passwords: Arc::clone(&passwords),
            rates: rates(&config.throttle),
        });
        let sessions = Arc::new(Sessions {
            store: Arc::clone(&store),
            clock: clock.clone(),
            key,
            lifetime,
            reuse: config.reuse,
            max_age: TimeDelta::days(config.session_max_age.into()),
        });
        let sign_in = SignIn {
            store: Arc::clone(&store),
            clock: clock.clone(),
            throttle: Arc::clone(&throttle),
            audit: Arc::clone(&audit),
            sessions: Arc::clone(&sessions),
        };
        let authenticator = Arc::new(Authenticator::new(
            AccessTokenVerifier::new(Arc::clone(&store), clock.clone()),
            sign_in,
            IdentityCache::new(mebibytes(config.identity_cache), Arc::clone(&store)),
        ));
        let services = Services {
            access_tokens: AccessTokens {
                store: Arc::clone(&store),
                clock: clock.clone(),
            },
            audit_recorder: audit,
            audit_trail: AuditTrail {
                store: Arc::clone(&store),
            },
            import: Import {
                store: Arc::clone(&store),
                clock: clock.clone(),
                passwords,
            },
            sessions,
            throttle: Arc::clone(&throttle),
            token_watches: TokenWatches::new(Arc::clone(&authenticator)),
            authenticator,
            users: Users {
                store: Arc::clone(&store),
                clock,
                throttle,
                rules,
                registration_open: config.registration,
                listed_for: config.user_list.role(),
            },
            store,
        };
        let services = Arc::new(services);
        start_tasks(&services);
        let state = AppState {
            services,
            capacity: Capacity::new(&config.http),
            http: config.http,
            limits: config.limits,
            document_cache: mebibytes(config.document_cache),
            metrics: Metrics::new(),
            ignored_forwarding: IgnoredForwardedHeader::default(),
        };
        Ok(Self {
            state: Arc::new(state),
        })
    }

    /// Builds a schema of your roots, which [`Query`](crate::Query) and
    /// [`Mutation`](crate::Mutation) are merged into. Resolvers and guards use the instance whose
    /// endpoint serves the schema.
    pub fn schema<Q, M, S>(&self, query: Q, mutation: M, subscription: S) -> SchemaBuilder<Q, M, S>
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        graphql::schema(&self.state.limits, query, mutation, subscription)
    }

    /// [`Symbolon::routes`] with nothing but Symbolon's own types: what `symbolon serve` serves.
    #[must_use]
    pub fn own_routes(&self) -> Route {
        self.routes(graphql::own_schema(&self.state.limits).finish())
    }

    /// Symbolon's paths: `/graphql` for the schema, `/tokens`, `/auth`, `/healthz`, `/readyz`, and `/`
    /// for a browser. Add your own with `at`.
    #[must_use]
    pub fn routes<Q, M, S>(&self, schema: Schema<Q, M, S>) -> Route
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        http::routes(&self.state, schema)
    }

    /// Only the endpoint of the schema, to be mounted wherever you like in an app of your own.
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

    /// Lets plain routes of an app that runs on a server of its own ask who is calling. Where a route is
    /// under the middleware of several instances, the innermost one answers.
    #[must_use]
    pub fn middleware(&self) -> Middleware {
        Middleware::new(Arc::clone(&self.state))
    }

    /// Serves `app` on `listener` until `shutdown` ends. Then it takes no more connections, lets the
    /// requests under way end within 10 s, and closes the database.
    pub fn serve<'a, E>(
        &'a self,
        app: E,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'a,
    ) -> impl Future<Output = std::io::Result<()>> + Send
    where
        E: IntoEndpoint,
        E::Endpoint: 'static,
    {
        // In boxes, so that the server is compiled with the library and not again with each program.
        let app = app.into_endpoint().map_to_response().boxed();
        self.serve_boxed(app, listener, shutdown.boxed())
    }

    /// Serves `app` without the middleware.
    fn serve_unchanged<'a>(
        &'a self,
        app: BoxEndpoint<'static>,
        listener: TcpListener,
        shutdown: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, std::io::Result<()>> {
        http::serve(app, listener, &self.state.http, shutdown).boxed()
    }

    fn serve_boxed<'a>(
        &'a self,
        app: BoxEndpoint<'static>,
        listener: TcpListener,
        shutdown: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, std::io::Result<()>> {
        let serve = async move {
            let app = app.with(self.middleware());
            http::serve(app, listener, &self.state.http, shutdown).await?;
            self.close().await.map_err(std::io::Error::other)
        };
        serve.boxed()
    }

    /// What the operator may do, without credentials. [`Symbolon::open_operator`] is for programs that
    /// run beside the server.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator::new(Arc::clone(&self.state.services))
    }

    /// What Prometheus reads, to be mounted where only Prometheus comes.
    #[must_use]
    pub fn metrics(&self) -> impl Endpoint<Output = Response> + 'static {
        http::metrics(&self.state)
    }

    /// Serves [`Symbolon::metrics`] on a listener of its own until `shutdown` ends.
    pub fn serve_metrics<'a>(
        &'a self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'a,
    ) -> impl Future<Output = std::io::Result<()>> + Send {
        let app = Route::new()
            .at("/metrics", self.metrics())
            .map_to_response();
        self.serve_unchanged(app.boxed(), listener, shutdown.boxed())
    }

    /// Closes the database. [`Symbolon::serve`] does it at its end.
    pub fn close(&self) -> impl Future<Output = Result<(), crate::Error>> + Send {
        self.state.services.close().boxed()
    }

    /// How long ago the last heartbeat was sent that came back through PostgreSQL's notifications: every
    /// change that was committed before is known here. `None` on SQLite, and while there is none.
    /// Beyond a second, every request asks the database whom its token speaks for.
    #[must_use]
    pub fn heartbeat_age(&self) -> Option<Duration> {
        self.state.services.heartbeat_age()
    }

    /// The number of cached identities that differed from the database. Once a second, one of those that
    /// were used is compared. The number is 0 unless there is an error in Symbolon.
    #[must_use]
    pub fn stale_identities(&self) -> u64 {
        self.state.services.authenticator.stale_identities()
    }

    /// Where the data is, for people: the path of the file, or the URL without the password.
    #[must_use]
    pub fn database(&self) -> String {
        self.state.services.database()
    }
}

/// Starts the tasks that run until the services are dropped.
fn start_tasks(services: &Arc<Services>) {
    repeat("cache check", SECOND, services, |services| async move {
        services.authenticator.check_cache().await;
    });
    repeat("flush", SECOND, services, |services| async move {
        report("flush", services.flush().await);
    });
    repeat("purge", PURGE_INTERVAL, services, |services| async move {
        report("purge", services.purge().await);
    });
}

/// Logs an error of a task, whose next round tries again. That the database is unavailable is logged by the store.
fn report(task: &str, done: Result<(), crate::Error>) {
    if let Err(error) = done
        && !matches!(error, crate::Error::ServiceUnavailable { .. })
    {
        error.log(task);
    }
}

/// Starts the threads that hash passwords.
fn hashing(config: &Config) -> Result<Arc<Passwords>, StartError> {
    let (memory, iterations, parallelism) = (
        config.argon2_memory,
        config.argon2_iterations,
        config.argon2_parallelism,
    );
    let cores = || available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let threads = config.hash_threads.unwrap_or_else(cores);
    let passwords = Passwords::start(memory, iterations, parallelism, threads, config.hash_queue);
    passwords.map(Arc::new).map_err(|why| {
        StartError::new(format!(
            "SYMBOLON_ARGON2_MEMORY={memory}, SYMBOLON_ARGON2_ITERATIONS={iterations} and \
             SYMBOLON_ARGON2_PARALLELISM={parallelism} do not work together: {why}"
        ))
    })
}

fn mebibytes(count: u32) -> u64 {
    u64::from(count) * 1024 * 1024
}

fn rates(config: &ThrottleConfig) -> Option<Rates> {
    if !config.enabled {
        tracing::warn!("the throttle is off: passwords can be guessed without limit");
        return None;
    }
    Some(Rates {
        account: config.account,
        address: config.address,
        registration: config.registrations,
    })
}

fn connections(config: &PostgresConfig) -> Connections {
    let millis = |millis: u32| Duration::from_millis(millis.into());
    Connections {
        readers: config.readers,
        writers: config.writers,
        acquire_timeout: millis(config.acquire_timeout),
        statement_timeout: millis(config.statement_timeout),
    }
}

/// Where `config` has the server key.
fn key_source(config: &Config, database: &Location) -> Result<KeySource, StartError> {
    if let Some(key) = &config.secret_key {
        return Ok(KeySource::Given(key.0.clone()));
    }
    if let Some(file) = &config.secret_key_file {
        return Ok(KeySource::GivenFile(file.clone()));
    }
    let Some(file) = database.file() else {
        return Err(StartError::new(
            "with PostgreSQL the server key has to be given in SYMBOLON_SECRET_KEY, or a file with it \
             in SYMBOLON_SECRET_KEY_FILE, the same for every instance; make one with \
             `openssl rand -base64 32`",
        ));
    };
    let mut own = file.as_os_str().to_owned();
    own.push(".key");
    Ok(KeySource::OwnFile(PathBuf::from(own)))
}
