//! Serves requests on a listener.

use futures_util::FutureExt;
use poem::endpoint::BoxEndpoint;
use poem::{EndpointExt, IntoEndpoint, Route};
use tokio::net::TcpListener;

use crate::app::Symbolon;
use crate::http;
use crate::http::connection_metrics::ConnectionMetrics;

impl Symbolon {
    /// Serves `app` on `listener` until `shutdown` completes. The server then stops accepting connections,
    /// waits up to 10 s for pending requests, and closes the database.
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
    /// let shutdown = async {
    ///     let _ = tokio::signal::ctrl_c().await;
    /// };
    /// symbolon.serve(symbolon.own_routes(), listener, shutdown).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the listener fails or if the database cannot be closed.
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
        let connections = &self.state.metrics.connections;
        let serving = self.serve_boxed(app, listener, connections, shutdown);
        async move {
            serving.await?;
            self.close().await.map_err(std::io::Error::other)
        }
    }

    fn serve_boxed<'a>(
        &'a self,
        app: BoxEndpoint<'static>,
        listener: TcpListener,
        connections: &'a ConnectionMetrics,
        shutdown: impl Future<Output = ()> + Send + 'a,
    ) -> impl Future<Output = std::io::Result<()>> + Send {
        let config = &self.state.http;
        http::serve(app, listener, config, connections, shutdown.boxed()).boxed()
    }

    /// Serves [`Symbolon::metrics`] at `/metrics` on a separate listener until `shutdown` completes.
    ///
    /// ```no_run
    /// use std::future::pending;
    ///
    /// use tokio::net::TcpListener;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// let public = TcpListener::bind("0.0.0.0:8000").await?;
    /// let internal = TcpListener::bind("127.0.0.1:9000").await?;
    /// tokio::try_join!(
    ///     symbolon.serve(symbolon.own_routes(), public, pending()),
    ///     symbolon.serve_metrics(internal, pending()),
    /// )?;
    /// # Ok(())
    /// # }
    /// ```
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
        // These connections are not those of clients.
        let connections = ConnectionMetrics::default();
        self.serve_boxed(app, listener, &connections, shutdown)
            .await
    }
}
