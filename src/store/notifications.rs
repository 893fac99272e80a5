//! Notifications of PostgreSQL, by which instances announce changes to each other.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::Error;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::time::{sleep, timeout};

use crate::store::affected_users::AffectedUsers;
use crate::store::heartbeat::{CHANNEL, Heartbeat, INTERVAL};

/// The longest time until an instance on PostgreSQL knows a change of another instance, even if notifications
/// no longer arrive.
pub(crate) const MAX_NOTIFICATION_DELAY: Duration = Duration::from_millis(1250);

/// A connection that has received nothing for this time, although heartbeats are sent, is replaced.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest pause between two attempts to listen to a server that delivers no notifications.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Receives notifications until it is dropped. `on_change` is called with the users that have changed.
pub(super) async fn listen(
    heartbeat: Arc<Heartbeat>,
    options: PgConnectOptions,
    on_change: impl Fn(&AffectedUsers) + Send + Sync,
) {
    let (mut pause, mut failures) = (INTERVAL, 0_u32);
    loop {
        let has_received_heartbeat = receive(&heartbeat, &options, &on_change).await;
        // Changes until the next connection listens are missed.
        heartbeat.reset_received();
        on_change(&AffectedUsers::All);
        if has_received_heartbeat {
            (pause, failures) = (INTERVAL, 0);
        } else if heartbeat.is_available() {
            failures = failures.saturating_add(1);
            pause = (pause * 2).min(MAX_PAUSE);
            if failures == 2 {
                tracing::warn!(
                    "this database does not deliver notifications, as behind a connection pooler: \
                     every request reads the identity of its token from the database"
                );
            }
        }
        sleep(pause).await;
    }
}

/// Receives notifications through one connection until it is lost or silent. Returns whether it has received a
/// heartbeat of this instance.
async fn receive(
    heartbeat: &Heartbeat,
    options: &PgConnectOptions,
    on_change: &(impl Fn(&AffectedUsers) + Send + Sync),
) -> bool {
    // A listener returns its connection to the pool, which takes long if the connection is lost. So it has a pool
    // of its own.
    let connect = async {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone());
        let mut listener = PgListener::connect_with(&pool.await?).await?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok::<_, Error>(listener)
    };
    let Ok(Ok(mut listener)) = timeout(heartbeat.timeout(), connect).await else {
        return false;
    };
    // Later changes are received. Earlier ones may have been missed.
    on_change(&AffectedUsers::All);
    let mut has_received_heartbeat = false;
    while let Ok(Ok(Some(notification))) = timeout(SILENCE_TIMEOUT, listener.try_recv()).await {
        let payload = notification.payload();
        if Heartbeat::is_heartbeat(payload) {
            has_received_heartbeat |= heartbeat.record_received(payload);
        } else {
            on_change(&AffectedUsers::from_payload(payload));
        }
    }
    has_received_heartbeat
}
