//! PostgreSQL notifications, through which instances announce changes to each other.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::Error;
use sea_orm::sqlx::postgres::PgListener;
use tokio::time::{sleep, timeout};

use crate::store::affected_users::AffectedUsers;
use crate::store::heartbeat::{CHANNEL, Heartbeat, INTERVAL};
use crate::store::postgres_connection::SessionOptions;

/// The maximum time until an instance on PostgreSQL learns of a change by another instance, even if notifications no
/// longer arrive.
pub(crate) const MAX_NOTIFICATION_DELAY: Duration = Duration::from_millis(1250);

/// The time without a notification after which the connection is replaced. Heartbeats arrive more often than this.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum pause between two attempts to listen to a server that delivers no notifications.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Receives notifications until the future is dropped. Calls `on_change` with the users that have changed.
pub(super) async fn listen(
    heartbeat: Arc<Heartbeat>,
    options: SessionOptions,
    on_change: impl Fn(&AffectedUsers) + Send + Sync,
) {
    let (mut pause, mut failures) = (INTERVAL, 0_u32);
    loop {
        let has_received_heartbeat = receive(&heartbeat, &options, &on_change).await;
        // Changes that are made before the next connection listens are missed.
        heartbeat.reset_received();
        on_change(&AffectedUsers::All);
        if has_received_heartbeat {
            (pause, failures) = (INTERVAL, 0);
        } else if heartbeat.is_available() {
            failures = failures.saturating_add(1);
            pause = (pause * 2).min(MAX_PAUSE);
            if failures == 2 {
                tracing::warn!(
                    "the database does not deliver notifications, for example because of a connection \
                     pooler: every request reads the identity of its token from the database"
                );
            }
        }
        sleep(pause).await;
    }
}

/// Receives notifications through one connection until the connection is lost or silent. Returns whether a heartbeat
/// from this instance was received.
async fn receive(
    heartbeat: &Heartbeat,
    options: &SessionOptions,
    on_change: &(impl Fn(&AffectedUsers) + Send + Sync),
) -> bool {
    // The listener has its own pool, because returning a lost connection to its pool takes a long time. In a shared
    // pool, the lost connection would occupy a slot during this time.
    let connect = async {
        let mut listener = PgListener::connect_with(&options.connect_pool().await?).await?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok::<_, Error>(listener)
    };
    let Ok(Ok(mut listener)) = timeout(heartbeat.timeout(), connect).await else {
        return false;
    };
    // From now on, changes are received. Earlier changes may have been missed, so all cached identities are
    // invalidated.
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
