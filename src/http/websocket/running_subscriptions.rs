//! The running subscriptions of one WebSocket.

use std::future::poll_fn;
use std::task::{Context, Poll};

use async_graphql::{Response, Value};
use futures_util::future::FutureExt;
use futures_util::stream::{BoxStream, StreamExt};

/// The subscriptions, in the order of their next turn.
#[derive(Default)]
pub(super) struct RunningSubscriptions(Vec<Subscription>);

struct Subscription {
    id: String,
    events: BoxStream<'static, Response>,
    has_sent_event: bool,
    /// The event that was received together with the first event.
    second: Option<Response>,
}

/// An output of a subscription, with the id of the subscription.
pub(super) enum Output {
    Event(String, Response),
    /// The subscription has ended without an event. The response contains the errors.
    Refused(String, Response),
    /// The subscription has ended.
    Complete(String),
}

impl RunningSubscriptions {
    pub(super) fn contains(&self, id: &str) -> bool {
        self.0.iter().any(|subscription| subscription.id == id)
    }

    pub(super) fn insert(&mut self, id: String, events: BoxStream<'static, Response>) {
        self.0.push(Subscription {
            id,
            events,
            has_sent_event: false,
            second: None,
        });
    }

    /// Ends a subscription.
    pub(super) fn remove(&mut self, id: &str) {
        self.0.retain(|subscription| subscription.id != id);
    }

    /// Waits for the next output. The future may be dropped at any time without losing an output.
    pub(super) async fn next(&mut self) -> Output {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Output> {
        for index in 0..self.0.len() {
            let Poll::Ready(event) = self.0[index].poll_event(cx) else {
                continue;
            };
            // The subscription has its next turn after all others.
            let mut subscription = self.0.remove(index);
            let id = subscription.id.clone();
            return Poll::Ready(match event {
                None => Output::Complete(id),
                Some(event) if subscription.is_refusal(&event) => Output::Refused(id, event),
                Some(event) => {
                    subscription.has_sent_event = true;
                    self.0.push(subscription);
                    Output::Event(id, event)
                }
            });
        }
        Poll::Pending
    }
}

impl Subscription {
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Response>> {
        match self.second.take() {
            Some(event) => Poll::Ready(Some(event)),
            None => self.events.poll_next_unpin(cx),
        }
    }

    /// Returns whether `event` contains the errors for which the operation was refused. The library returns these errors
    /// as the only event of the subscription. If the first event of a subscription consists of errors, the function
    /// receives the second event, if it is available.
    fn is_refusal(&mut self, event: &Response) -> bool {
        if self.has_sent_event || event.errors.is_empty() || event.data != Value::Null {
            return false;
        }
        match self.events.next().now_or_never() {
            Some(None) => true,
            Some(second) => {
                self.second = second;
                false
            }
            None => false,
        }
    }
}
