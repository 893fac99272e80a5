//! An app in this process, with a real database, real HTTP, a mock clock and cheap Argon2 parameters.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::BoxStream;
use poem::Route;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, EntityTrait};
use symbolon::{Clock, Config, Event, Hooks, MissedEvents, MockClock, Operator, Symbolon};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Client, common_key, database_url, eventually, on_postgres};

/// The file of the SQLite database in the folder of an app.
pub const DATABASE_FILE: &str = "test.db";

/// The initial time of the clock of an app.
pub fn start_of_time() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// Checks when it is dropped that the identity cache never differed from the database.
struct Checked(Symbolon);

impl Drop for Checked {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.0.stale_identities(), 0);
        }
    }
}

/// Symbolon on a free port with a database of its own.
pub struct TestApp {
    pub client: Client,
    pub clock: MockClock,
    symbolon: Checked,
    folder: Arc<TempDir>,
    stop: oneshot::Sender<()>,
    stopped: JoinHandle<()>,
}

impl Deref for TestApp {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl TestApp {
    pub async fn start() -> Self {
        Self::configured(|_| {}).await
    }

    /// Starts an app without a throttle, for tests with many requests.
    pub async fn unthrottled() -> Self {
        Self::configured(|config| config.throttle.enabled = false).await
    }

    pub async fn configured(configure: impl FnOnce(&mut Config)) -> Self {
        Self::with_routes(configure, Symbolon::own_routes).await
    }

    /// Starts an app with its own routes.
    pub async fn with_routes(
        configure: impl FnOnce(&mut Config),
        routes: impl FnOnce(&Symbolon) -> Route,
    ) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let clock = MockClock::new(start_of_time());
        Self::open(folder, clock, (), configure, routes).await
    }

    /// Starts an app with hooks.
    pub async fn with_hooks(hooks: impl Hooks + 'static) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let clock = MockClock::new(start_of_time());
        Self::open(folder, clock, hooks, |_| {}, Symbolon::own_routes).await
    }

    /// Starts an app with hooks and its own routes.
    pub async fn with_hooks_and_routes(
        hooks: impl Hooks + 'static,
        configure: impl FnOnce(&mut Config),
        routes: impl FnOnce(&Symbolon) -> Route,
    ) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let clock = MockClock::new(start_of_time());
        Self::open(folder, clock, hooks, configure, routes).await
    }

    /// Starts an app at the time `now` on the existing database of `folder`.
    pub async fn on_existing_database(
        folder: TempDir,
        now: DateTime<Utc>,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let clock = MockClock::new(now);
        Self::open(Arc::new(folder), clock, (), configure, Symbolon::own_routes).await
    }

    async fn open(
        folder: Arc<TempDir>,
        clock: MockClock,
        hooks: impl Hooks + 'static,
        configure: impl FnOnce(&mut Config),
        routes: impl FnOnce(&Symbolon) -> Route,
    ) -> Self {
        let mut config = Config::default();
        config.database_url = database_url(folder.path(), DATABASE_FILE).into();
        if on_postgres() {
            config.secret_key_file = Some(common_key().to_owned());
            // Other tests keep the machine busy.
            config.postgres.acquire_timeout = 20_000;
        }
        config.public_url = Some("https://login.example.org".to_owned());
        config.argon2_memory = 8;
        config.argon2_iterations = 1;
        // All clients of a test share one address, which gets a quarter of these places.
        config.hash_queue = 512;
        configure(&mut config);
        let builder = Symbolon::builder(config).clock(Clock::Mock(clock.clone()));
        let symbolon = builder.hooks(hooks).open().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let app = routes(&symbolon);
        let served = symbolon.clone();
        let (stop, stopping) = oneshot::channel();
        let stopped = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopping.await;
            };
            served.serve(app, listener, shutdown).await.unwrap();
        });
        Self {
            client: Client::new(base),
            clock,
            symbolon: Checked(symbolon),
            folder,
            stop,
            stopped,
        }
    }

    /// Stops the app and closes the database.
    pub async fn stop(self) -> (Arc<TempDir>, MockClock) {
        let Self {
            folder,
            clock,
            client,
            stop,
            stopped,
            ..
        } = self;
        drop(client);
        let _ = stop.send(());
        stopped.await.unwrap();
        (folder, clock)
    }

    /// Stops the app and starts it again on its database.
    pub async fn restart(self, configure: impl FnOnce(&mut Config)) -> Self {
        let (folder, clock) = self.stop().await;
        Self::open(folder, clock, (), configure, Symbolon::own_routes).await
    }

    pub fn advance(&self, by: TimeDelta) {
        self.clock.advance(by);
    }

    /// Returns the instance.
    pub fn symbolon(&self) -> Symbolon {
        self.symbolon.0.clone()
    }

    pub fn operator(&self) -> Operator {
        self.symbolon.0.operator()
    }

    pub fn events(&self) -> BoxStream<'static, Result<Event, MissedEvents>> {
        self.symbolon.0.events()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn database_url(&self) -> String {
        database_url(self.folder.path(), DATABASE_FILE)
    }

    /// Opens a connection to the database.
    pub async fn database(&self) -> DatabaseConnection {
        Database::connect(self.database_url()).await.unwrap()
    }

    /// Runs SQL as another process would, and announces the change as Symbolon does.
    pub async fn sql(&self, sql: &str) {
        let database = self.database().await;
        let announce = if on_postgres() {
            "NOTIFY symbolon, 'any'"
        } else {
            "UPDATE symbolon_change_counter SET value = value + 1"
        };
        let both = format!("BEGIN; {sql}; {announce}; COMMIT");
        database.execute_unprepared(&both).await.unwrap();
        database.close().await.unwrap();
        self.receive_changes().await;
    }

    /// Waits until the app has received the notifications of all changes that were committed before this call.
    pub async fn receive_changes(&self) {
        if on_postgres() {
            let announced = Instant::now();
            eventually("the app has received the change", async || {
                let age = self.symbolon.0.heartbeat_age();
                age.filter(|age| *age < announced.elapsed()).map(drop)
            })
            .await;
        }
    }

    /// Gives a user the role admin.
    pub async fn make_admin(&self, id: i64) {
        let change = format!("UPDATE symbolon_user SET role = 'admin' WHERE id = {id}");
        self.sql(&change).await;
    }

    /// Returns the row of a user.
    pub async fn row(&self, id: i64) -> entity::user::Model {
        let database = self.database().await;
        let row = entity::user::Entity::find_by_id(id).one(&database).await;
        database.close().await.unwrap();
        row.unwrap().unwrap()
    }
}
