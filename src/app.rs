//! [`Symbolon`]: opens an application, builds its routes, serves and stops.

mod open;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use poem::endpoint::{BoxEndpoint, Endpoint};
use poem::{EndpointExt, IntoEndpoint, Response, Route};
use tokio::net::TcpListener;

use self::open::{Migrations, open};
use crate::clock::Clock;
use crate::config::Config;
use crate::error::StartError;
use crate::graphql::{self, ObjectType, Schema, SchemaBuilder, SubscriptionType};
use crate::http::{self, AppState, Middleware};
use crate::operator::Operator;
use crate::store::Location;

/// Token authentication on one database, which an application serves alone or beside its own routes.
///
/// Clones share the same state. A process can have several instances on different databases.
#[derive(Clone, Debug)]
pub struct Symbolon {
    state: Arc<AppState>,
}

// Some methods return a boxed future. A boxed future is compiled with the library; an `async fn` would be
// compiled again with each program that calls it.
impl Symbolon {
    /// Opens the database, and starts the hashing threads and the background tasks. The database is created if
    /// it does not exist, and migrated. A missing server key is created in a file beside the SQLite database.
    ///
    /// # Errors
    ///
    /// Returns an error if the configuration is invalid, the server key cannot be read or created, or the
    /// database cannot be opened or migrated.
    pub async fn open(config: Config) -> Result<Self, StartError> {
        Self::open_with_clock(config, Clock::System).await
    }

    /// Opens the database like [`Symbolon::open`], with another clock. It is intended for tests.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Symbolon::open`].
    pub async fn open_with_clock(config: Config, clock: Clock) -> Result<Self, StartError> {
        Self::open_boxed(config, clock, Migrations::Apply).await
    }

    /// Opens an existing database for administration, also while a server uses it. Nothing is created or
    /// migrated, and no server key is required.
    ///
    /// # Errors
    ///
    /// Returns an error if the configuration is invalid, or the database does not exist, cannot be opened, has
    /// no tables of Symbolon, or has the tables of another version.
    pub async fn open_operator(config: Config) -> Result<Operator, StartError> {
        let symbolon = Self::open_boxed(config, Clock::System, Migrations::Require).await?;
        Ok(symbolon.operator())
    }

    fn open_boxed(
        config: Config,
        clock: Clock,
        migrations: Migrations,
    ) -> impl Future<Output = Result<Self, StartError>> + Send {
        let open = async move {
            let state = Arc::new(open(config, clock, migrations).await?);
            Ok(Self { state })
        };
        open.boxed()
    }

    /// Returns the absolute path of the SQLite file in the configuration, without opening it. Returns `None` for
    /// PostgreSQL and for an invalid URL.
    #[must_use]
    pub fn database_file(config: &Config) -> Option<PathBuf> {
        let location = Location::parse(&config.database_url.0).ok()?;
        std::path::absolute(location.file()?).ok()
    }

    /// Builds a schema from your root types, which include [`Query`](crate::Query) and
    /// [`Mutation`](crate::Mutation). Its resolvers and guards use the instance whose endpoint serves the schema.
    pub fn schema<Q, M, S>(&self, query: Q, mutation: M, subscription: S) -> SchemaBuilder<Q, M, S>
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        graphql::schema(&self.state.limits, query, mutation, subscription)
    }

    /// Returns the routes of `symbolon serve`: [`Symbolon::routes`] with a schema of Symbolon's types only.
    #[must_use]
    pub fn own_routes(&self) -> Route {
        self.routes(graphql::own_schema(&self.state.limits).finish())
    }

    /// Returns the routes of Symbolon: `/graphql` with the schema, `/tokens`, `/auth`, `/healthz`, `/readyz`, and
    /// the explorer at `/`. Add your own with [`Route::at`].
    #[must_use]
    pub fn routes<Q, M, S>(&self, schema: Schema<Q, M, S>) -> Route
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        http::routes(&self.state, schema)
    }

    /// Returns the GraphQL endpoint of the schema alone, for a route of your own.
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

    /// Returns a middleware that provides the extractor [`Identity`](crate::Identity) to routes which
    /// [`Symbolon::serve`] does not serve. Of several nested instances, the innermost provides the identity.
    #[must_use]
    pub fn middleware(&self) -> Middleware {
        Middleware::new(Arc::clone(&self.state))
    }

    /// Serves `app` on `listener` until `shutdown` completes. Then the server accepts no connections, completes
    /// the pending requests within 10 s, and closes the database.
    ///
    /// # Errors
    ///
    /// Returns an error if the listener fails, or the database cannot be closed.
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
        let app = app.with(self.middleware()).map_to_response().boxed();
        let serving = self.serve_boxed(app, listener, shutdown);
        async move {
            serving.await?;
            self.close().await.map_err(std::io::Error::other)
        }
    }

    fn serve_boxed<'a>(
        &'a self,
        app: BoxEndpoint<'static>,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'a,
    ) -> impl Future<Output = std::io::Result<()>> + Send {
        http::serve(app, listener, &self.state.http, shutdown.boxed()).boxed()
    }

    /// Returns the interface for administration, which requires no credentials. Programs that run beside the
    /// server use [`Symbolon::open_operator`].
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator::new(Arc::clone(&self.state.services))
    }

    /// Returns an endpoint with the metrics in the
    /// [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) text format. Mount it where only
    /// Prometheus has access.
    #[must_use]
    pub fn metrics(&self) -> impl Endpoint<Output = Response> + 'static {
        http::metrics(&self.state)
    }

    /// Serves [`Symbolon::metrics`] at `/metrics` on a separate listener until `shutdown` completes.
    ///
    /// # Errors
    ///
    /// Returns an error if the listener fails.
    pub async fn serve_metrics(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> std::io::Result<()> {
        let app = Route::new().at("/metrics", self.metrics());
        let app = app.map_to_response().boxed();
        self.serve_boxed(app, listener, shutdown).await
    }

    /// Closes the database. [`Symbolon::serve`] calls this function when it stops.
    ///
    /// # Errors
    ///
    /// Returns an error if the pending changes cannot be written, or the connections cannot be closed.
    pub async fn close(&self) -> Result<(), crate::Error> {
        self.state.services.close().await
    }

    /// Returns the age of the last heartbeat that came back as a notification of PostgreSQL. This instance has
    /// applied every change that was committed before that heartbeat. Returns `None` on SQLite, and while no
    /// heartbeat has come back.
    ///
    /// If the age exceeds one second, each request reads the database instead of the identity cache.
    #[must_use]
    pub fn heartbeat_age(&self) -> Option<Duration> {
        self.state.services.heartbeat_age()
    }

    /// Returns the number of cached identities that differed from the database. A background task compares one
    /// recently used identity per second. A number above 0 indicates a bug in Symbolon.
    #[must_use]
    pub fn stale_identities(&self) -> u64 {
        self.state.services.authenticator.stale_identities()
    }

    /// Returns the absolute path of the SQLite file, or the URL of the PostgreSQL database without the password.
    #[must_use]
    pub fn database(&self) -> String {
        self.state.services.database()
    }
}
