//! The stream of events for embedders.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::model::event::Event;
use crate::store::event_metrics::EventMetrics;

/// The number of events that a stream can be behind before it misses events.
const CAPACITY: usize = 1024;

/// The reader of a stream of events was too slow, and the oldest events were discarded.
///
/// ```
/// use futures_util::StreamExt;
/// use symbolon::{MissedEvents, Symbolon};
///
/// async fn watch(symbolon: Symbolon) {
///     let mut events = symbolon.events();
///     while let Some(event) = events.next().await {
///         match event {
///             Ok(event) => println!("{:?}", event.kind),
///             Err(MissedEvents { count, .. }) => println!("{count} events were missed"),
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
/// # let symbolon = symbolon::Symbolon::open(config).await?;
/// let watching = tokio::spawn(watch(symbolon.clone()));
/// symbolon.close().await?;
/// watching.await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} events were missed, because the reader of the stream was too slow")]
#[non_exhaustive]
pub struct MissedEvents {
    /// The number of discarded events.
    pub count: u64,
}

/// The publisher of events. Every event is logged and published here.
#[derive(Debug)]
pub(super) struct EventPublisher {
    /// `None` after the database was closed.
    sender: Mutex<Option<broadcast::Sender<Arc<Event>>>>,
    pub(super) metrics: EventMetrics,
}

impl EventPublisher {
    pub(super) fn new() -> Arc<Self> {
        let sender = broadcast::Sender::new(CAPACITY);
        Arc::new(Self {
            sender: Mutex::new(Some(sender)),
            metrics: EventMetrics::new(),
        })
    }

    /// Logs and counts events, and sends them to all streams. No other event is sent between them.
    pub(super) fn publish(&self, events: Vec<Event>) {
        for event in &events {
            event.log();
            self.metrics.count(event);
        }
        let sender = self.lock();
        if let Some(sender) = sender.as_ref()
            && sender.receiver_count() > 0
        {
            for event in events {
                // Sending fails only if the last stream has just been dropped.
                let _ = sender.send(Arc::new(event));
            }
        }
    }

    /// Ends all streams after the events that were already published.
    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    /// See [`Store::events`](crate::store::Store::events).
    pub(super) fn subscribe(&self) -> BoxStream<'static, Result<Event, MissedEvents>> {
        let Some(receiver) = self.lock().as_ref().map(broadcast::Sender::subscribe) else {
            return stream::empty().boxed();
        };
        let events = stream::unfold(receiver, async |mut receiver| {
            let event = match receiver.recv().await {
                Ok(event) => Ok(Event::clone(&event)),
                Err(RecvError::Lagged(count)) => Err(MissedEvents { count }),
                Err(RecvError::Closed) => return None,
            };
            Some((event, receiver))
        });
        events.boxed()
    }

    fn lock(&self) -> MutexGuard<'_, Option<broadcast::Sender<Arc<Event>>>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
