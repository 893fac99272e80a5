//! Instances on one PostgreSQL database: one that caches identities, and one that revokes the token.
//!
//! | step of the model | code |
//! |---|---|
//! | revoke: COMMIT | `Transaction::commit` in `src/store/transaction.rs`: `pg_notify` is part of the transaction |
//! | heartbeat: note the time, commit | `src/store/heartbeat.rs`: the sending task |
//! | listener: deliver, fail, LISTEN, invalidate | `src/store/notifications.rs`: the listening task |
//! | request: check | `src/store/invalidation.rs`: whether the last heartbeat is recent enough |
//! | request: look up, read the database, insert | `src/service/authenticator.rs`: `cached_identity` and `verify` |
//!
//! Time is discrete. Every step takes no time, and any time may pass between two steps.
//!
//! A listener that receives nothing, as during a partition or behind a pooler, is a run without the delivery step. With a
//! clock that continues during suspension, a suspended machine is a run without steps of the instance.

use stateright::{Model, Property};

use super::{Cache, Epoch, Step, finds, holds};

/// The time for which the cache is trusted after a heartbeat was sent.
const TRUSTED_FOR: u8 = 1;

/// An age greater than `TRUSTED_FOR`. The exact value is irrelevant, so the time is not bounded.
const OLD: u8 = TRUSTED_FOR + 1;

/// The most notifications under way. More heartbeats are sent once these are received.
const QUEUED: usize = 2;

const BOUND: &str = "no request that began later than the bound after a revocation is accepted";
const DELIVERED: &str = "no request that began after a revocation was delivered is accepted";

/// A part of the protocol that can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The cache is trusted only for a while after a heartbeat. Without this part, it is always trusted.
    Heartbeat,
    /// All entries become invalid once a new connection listens.
    InvalidateOnReconnect,
    /// Entries become invalid after LISTEN, not before it.
    InvalidateAfterListen,
    /// A heartbeat counts from when it was sent, not from when it was received.
    SendingTime,
    /// The clock goes on while the machine is suspended.
    BootTimeClock,
}

#[derive(Clone, Debug, Default)]
struct Protocol {
    without: Option<Part>,
    /// The number of concurrent requests.
    requests: usize,
}

/// A notification, in the order of the commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Notification {
    Revoked,
    Heartbeat { age: u8 },
}

/// The connection that notifications are received through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Listener {
    /// The connection listens, and everything committed since then is delivered or will be.
    #[default]
    Listening,
    /// The connection failed. What is committed now will not be delivered.
    Failed,
    /// A new connection is about to listen, after an invalidation that came too early.
    InvalidatedEarly,
    /// The connection listens, and the earlier entries are not yet invalidated.
    Listened,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Progress {
    #[default]
    Idle,
    Began,
    Checked {
        since: Epoch,
    },
    Missed {
        since: Epoch,
    },
    /// The token was live in the database.
    Found {
        since: Epoch,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Request {
    progress: Progress,
    /// Whether the request began later than the bound after the revocation.
    is_late: bool,
    /// Whether the request began after the revocation was delivered.
    is_after_delivery: bool,
}

#[expect(clippy::struct_excessive_bools, reason = "the facts are independent")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    is_suspended: bool,
    /// The time since the revocation of the token, if it was revoked.
    revoked: Option<u8>,
    queue: Vec<Notification>,
    listener: Listener,
    /// The time, by the clock of the instance, since the instance noted the time of the next heartbeat.
    sending: Option<u8>,
    /// The time, by the clock of the instance, since the last received heartbeat was sent.
    heard: Option<u8>,
    cache: Cache,
    requests: [Request; 2],
    is_delivered: bool,
    accepted_late: bool,
    accepted_after_delivery: bool,
}

impl State {
    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        change(&mut next);
        next
    }

    /// Requests are interchangeable.
    fn sorted(&self) -> Self {
        self.with(|state| state.requests.sort_unstable())
    }

    fn is_hit_possible(&self) -> bool {
        let is_checked = |r: &Request| matches!(r.progress, Progress::Checked { .. });
        self.cache.has_valid_entry() && self.requests.iter().any(is_checked)
    }
}

impl Protocol {
    fn has(&self, part: Part) -> bool {
        self.without != Some(part)
    }

    fn is_trusted(&self, state: &State) -> bool {
        !self.has(Part::Heartbeat) || state.heard.is_some_and(|age| age <= TRUSTED_FOR)
    }

    /// The steps that happen whether or not the machine of the caching instance is suspended.
    fn surroundings(&self, state: &State, add: &mut dyn FnMut(&'static str, &'static str, State)) {
        let passed = state.with(|next| {
            let later = |age: &mut u8| *age = OLD.min(*age + 1);
            next.revoked.as_mut().map(later);
            if next.is_suspended && !self.has(Part::BootTimeClock) {
                return;
            }
            next.sending
                .iter_mut()
                .chain(&mut next.heard)
                .for_each(later);
            for notification in &mut next.queue {
                if let Notification::Heartbeat { age } = notification {
                    later(age);
                }
            }
        });
        add("time", "passes", passed);
        if !self.has(Part::BootTimeClock) {
            let label = if state.is_suspended {
                "resumes"
            } else {
                "is suspended"
            };
            add(
                "machine",
                label,
                state.with(|next| next.is_suspended ^= true),
            );
        }
        if state.revoked.is_none() {
            let revoked = state.with(|next| {
                next.revoked = Some(0);
                next.notify(Notification::Revoked);
            });
            add("other instance", "revoke: COMMIT and NOTIFY", revoked);
        }
    }

    fn heartbeat(state: &State, add: &mut dyn FnMut(&'static str, State)) {
        if let Some(age) = state.sending {
            let committed = state.with(|next| {
                next.sending = None;
                next.notify(Notification::Heartbeat { age });
            });
            add("commit", committed);
        } else if state.queue.len() < QUEUED {
            add("note the time", state.with(|next| next.sending = Some(0)));
        }
    }

    fn listener(&self, state: &State, add: &mut dyn FnMut(&'static str, State)) {
        let failed = state.with(|next| {
            next.queue.clear();
            next.heard = None;
            next.cache.invalidate_all();
            next.listener = Listener::Failed;
        });
        match state.listener {
            Listener::Listening => add("fail, invalidate all", failed),
            Listener::InvalidatedEarly | Listener::Listened => {}
            Listener::Failed if self.has(Part::InvalidateAfterListen) => {
                add(
                    "LISTEN",
                    state.with(|next| next.listener = Listener::Listened),
                );
            }
            Listener::Failed => {
                let early = state.with(|next| {
                    next.cache.invalidate_all();
                    next.listener = Listener::InvalidatedEarly;
                });
                add("invalidate all", early);
            }
        }
        match (state.listener, state.queue.first()) {
            (Listener::InvalidatedEarly, _) => {
                add(
                    "LISTEN",
                    state.with(|next| next.listener = Listener::Listening),
                );
            }
            (Listener::Listened, _) => {
                let listening = state.with(|next| {
                    if self.has(Part::InvalidateOnReconnect) {
                        next.cache.invalidate_all();
                    }
                    next.listener = Listener::Listening;
                });
                add("invalidate all", listening);
            }
            (Listener::Listening, Some(Notification::Revoked)) => {
                let delivered = state.with(|next| {
                    next.queue.remove(0);
                    next.cache.invalidate_account();
                    next.is_delivered = true;
                });
                add("receive the revocation", delivered);
            }
            (Listener::Listening, Some(&Notification::Heartbeat { age })) => {
                let age = if self.has(Part::SendingTime) { age } else { 0 };
                let heard = state.with(|next| {
                    next.queue.remove(0);
                    next.heard = Some(next.heard.map_or(age, |heard| heard.min(age)));
                });
                add("receive a heartbeat", heard);
            }
            (Listener::Listening | Listener::Failed, _) => {}
        }
    }

    fn request(&self, state: &State, i: usize, add: &mut dyn FnMut(&'static str, State)) {
        let to = |progress: Progress| state.with(|next| next.requests[i].progress = progress);
        let done = || state.with(|next| next.requests[i] = Request::default());
        let request = state.requests[i];
        let accepted = |mut next: State| {
            next.accepted_late |= request.is_late;
            next.accepted_after_delivery |= request.is_after_delivery;
            next
        };
        match request.progress {
            Progress::Idle => {
                let mut next = to(Progress::Began);
                next.requests[i].is_late = state.revoked == Some(OLD);
                next.requests[i].is_after_delivery = state.is_delivered;
                add("begin", next);
            }
            Progress::Began if self.is_trusted(state) => {
                let since = state.cache.last_epoch;
                add("check: trusted", to(Progress::Checked { since }));
            }
            Progress::Began => {
                let mut next = to(Progress::Idle);
                next.cache.invalidate_all();
                let since = next.cache.last_epoch;
                next.requests[i].progress = Progress::Checked { since };
                add("check: invalidate all", next);
            }
            Progress::Checked { .. } if state.cache.has_valid_entry() => {
                add("hit: ACCEPTED", accepted(done()));
            }
            Progress::Checked { since } => add("miss", to(Progress::Missed { since })),
            Progress::Missed { .. } if state.revoked.is_some() => {
                add("read the database: REFUSED", done());
            }
            Progress::Missed { since } => {
                add("read the database: live", to(Progress::Found { since }));
            }
            Progress::Found { since } => {
                let mut next = done();
                next.cache.entry = Some(since);
                add("insert: ACCEPTED", accepted(next));
            }
        }
    }
}

impl State {
    /// A notification that is committed while nothing listens is not delivered.
    fn notify(&mut self, notification: Notification) {
        if matches!(self.listener, Listener::Listening | Listener::Listened) {
            self.queue.push(notification);
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step<State>;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step<State>>) {
        if state.accepted_late || state.accepted_after_delivery {
            return;
        }
        let mut add = |actor, action, mut next: State| {
            let since = next
                .requests
                .each_mut()
                .map(|request| match &mut request.progress {
                    Progress::Checked { since }
                    | Progress::Missed { since }
                    | Progress::Found { since } => Some(since),
                    Progress::Idle | Progress::Began => None,
                });
            next.cache.renumber(since);
            next.heard = next.heard.filter(|age| *age <= TRUSTED_FOR);
            steps.push(Step {
                actor,
                action,
                next,
            });
        };
        self.surroundings(state, &mut add);
        if state.is_suspended {
            return;
        }
        Self::heartbeat(state, &mut |action, next| add("heartbeat", action, next));
        self.listener(state, &mut |action, next| add("listener", action, next));
        for (i, actor) in ["request 1", "request 2"]
            .into_iter()
            .take(self.requests)
            .enumerate()
        {
            self.request(state, i, &mut |action, next| add(actor, action, next));
        }
    }

    fn next_state(&self, _: &State, step: Step<State>) -> Option<State> {
        Some(step.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(BOUND, |_, state: &State| !state.accepted_late),
            Property::always(DELIVERED, |_, state: &State| !state.accepted_after_delivery),
            Property::sometimes(
                "a request may be answered from the cache",
                |protocol: &Self, state: &State| {
                    state.is_hit_possible() && protocol.is_trusted(state)
                },
            ),
        ]
    }
}

/// One request at a time is enough to find a violation.
fn without(part: Part) -> Protocol {
    Protocol {
        without: Some(part),
        requests: 1,
    }
}

#[test]
fn no_request_is_accepted_later_than_the_bound_or_after_delivery() {
    holds(
        Protocol {
            without: None,
            requests: 2,
        },
        State::sorted,
    );
}

#[test]
fn without_heartbeats_the_bound_is_violated() {
    finds(&without(Part::Heartbeat), BOUND);
}

#[test]
fn without_an_invalidation_on_reconnect_the_bound_is_violated() {
    finds(&without(Part::InvalidateOnReconnect), BOUND);
}

#[test]
fn with_an_invalidation_before_listen_the_bound_is_violated() {
    finds(&without(Part::InvalidateAfterListen), BOUND);
}

#[test]
fn with_the_time_of_receipt_the_bound_is_violated() {
    finds(&without(Part::SendingTime), BOUND);
}

#[test]
fn with_a_clock_that_stands_still_during_suspension_the_bound_is_violated() {
    finds(&without(Part::BootTimeClock), BOUND);
}
