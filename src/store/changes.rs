//! Notice when somebody's credentials end, or their rights change: by this process at once, and by
//! another one, such as the command line, soon after.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sea_orm::sqlx::{self, ConnectOptions};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::store::Store;

/// How often the file is asked whether another process changed it.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Tells whoever listens that something changed, and not what: they look for themselves.
#[derive(Debug)]
pub(super) struct Changes {
    told: watch::Sender<()>,
    /// Whether a task asks the file.
    asking: Mutex<bool>,
}

impl Changes {
    pub(super) fn new() -> Arc<Self> {
        let told = watch::Sender::new(());
        let asking = Mutex::new(false);
        Arc::new(Self { told, asking })
    }

    pub(super) fn tell(&self) {
        self.told.send_replace(());
    }
}

/// News of changes. Several that come at once are one.
pub(crate) struct Listener(watch::Receiver<()>);

impl Listener {
    /// Waits for the next change since the listener was made, or since the last one.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The database is closed: nothing will change any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Store {
    /// Listens from now on. What is read afterwards is as new as the last change, or the listener will
    /// hear of one.
    pub(crate) fn listen(&self) -> Listener {
        let changes = &self.changes;
        let mut asking = (changes.asking.lock()).unwrap_or_else(PoisonError::into_inner);
        let listener = Listener(changes.told.subscribe());
        if !*asking {
            *asking = true;
            tokio::spawn(ask(Arc::clone(changes), self.path.clone()));
        }
        listener
    }
}

/// Asks the file while anybody listens.
///
/// `PRAGMA data_version` changes when another connection commits, so it takes one that lives on and
/// changes nothing itself: each of a pool's has a count of its own. This process's own commits are
/// among those it sees.
async fn ask(changes: Arc<Changes>, path: PathBuf) {
    let mut connection = None;
    let mut last = None;
    let mut failing = false;
    let mut ticks = interval(ASK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        {
            let mut asking = (changes.asking.lock()).unwrap_or_else(PoisonError::into_inner);
            if changes.told.receiver_count() == 0 {
                *asking = false;
                return;
            }
        }
        let version = match data_version(&mut connection, &path).await {
            Ok(version) => {
                failing = false;
                Some(version)
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "the database cannot be watched");
                }
                connection = None;
                None
            }
        };
        // Who does not know whether something changed says so.
        if version.is_none() || version != last {
            changes.tell();
        }
        last = version;
    }
}

async fn data_version(
    connection: &mut Option<SqliteConnection>,
    path: &Path,
) -> Result<i64, sqlx::Error> {
    let connection = if let Some(connection) = connection {
        connection
    } else {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .pragma("query_only", "on")
            .disable_statement_logging();
        connection.insert(options.connect().await?)
    };
    sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(connection)
        .await
}
