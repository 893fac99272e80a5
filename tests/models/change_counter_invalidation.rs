//! Processes on one SQLite file: a server that caches identities, and a writer without a cache, such as the command
//! line. Both revoke the token of user A, or change user B.
//!
//! | step | code |
//! |---|---|
//! | BEGIN, delete, increase the counter, COMMIT | `src/store/transaction.rs`: the change counter is part of the transaction |
//! | compare, set `known` and `own`, `committing`, invalidate | `src/store/invalidation.rs` |
//! | request: read the counter, compare, mark, set `known` | `src/store/invalidation.rs`: the check |
//! | request: look up, read the token, insert | `src/service/authenticator.rs`: `cached_identity` and `verify` |
//!
//! Any number of requests arrive, at most two at a time. A check that several requests share is a run in which their
//! checks take equal steps at once. A check that is repeated, because `known` changed meanwhile, is a run in which the
//! check began later. A process that reads the token in the database or receives an acknowledgement does so after the
//! revocation is visible.

use stateright::{Model, Property};

use super::{Cache, Epoch, Step, finds, holds};

const NOT_ACCEPTED: &str = "no request that began after the event is accepted";

/// The transactions: two of the server, one of the writer.
const SERVER: [usize; 2] = [0, 1];
const WRITER: usize = 2;

/// An event after which no request may be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// The revocation is visible in the database.
    Visible,
    /// A client saw a refusal.
    MutationError,
    /// The process that revoked the token crashed after COMMIT, before it completed the other steps.
    Crashed,
}

/// A part of the protocol that can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The counter is increased in the transaction. Without this part, it is increased in a step after
    /// COMMIT.
    CounterInTransaction,
    /// No cached identity of a user is trusted while a transaction that changes the user commits.
    CommittingMarker,
    /// The marker is read before the epochs. Without this part, it is read after them.
    MarkerReadFirst,
    /// A transaction of the server that reads an unknown count invalidates all entries.
    CompareInTransaction,
    /// A request that reads the count `own` before it is `known` reads the token in the database.
    /// Without this part, `own` is treated as known.
    OwnIsUnconfirmed,
    /// An unknown outcome of COMMIT invalidates the user and clears `own`.
    UnknownInvalidates,
    /// An unknown outcome of COMMIT clears `own`.
    UnknownClearsOwn,
}

#[derive(Clone, Debug)]
struct Protocol {
    without: Vec<Part>,
    event: Event,
    transactions: Vec<usize>,
    revocations: u8,
    /// The number of concurrent requests.
    requests: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum At {
    #[default]
    Idle,
    Locked,
    Changed,
    Counted,
    Prepared,
    // The lock is released from this step on.
    Uncounted,
    Committed,
    Known,
    Unknown,
    UnknownInvalidated,
    Invalidated,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Transaction {
    at: At,
    is_of_a: bool,
    count: u8,
}

/// The memory of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Memory {
    cache: Cache,
    known: u8,
    own: Option<u8>,
    /// The number of transactions that change user A and are committing.
    committing: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Progress {
    #[default]
    Idle,
    Began,
    Read(u8),
    Differs(u8),
    Marked(u8),
    Checked,
    /// The first half of the look-up accepted the entry: the marker, or the epochs.
    HalfLookedUp,
    Missed(Epoch),
    /// The token was live in the database.
    Found(Epoch),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Request {
    progress: Progress,
    began_after: bool,
}

#[expect(clippy::struct_excessive_bools, reason = "the facts are independent")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    is_dead: bool,
    counter: u8,
    is_locked: bool,
    server: Option<Memory>,
    transactions: [Transaction; 3],
    requests: [Request; 2],
    revocations: u8,
    crashes: u8,
    has_happened: bool,
    is_violated: bool,
}

impl State {
    /// The two requests are interchangeable, and so are the transactions of the server.
    fn sorted(&self) -> Self {
        let mut state = *self;
        state.requests.sort_unstable();
        state.transactions[..WRITER].sort_unstable();
        state
    }

    fn commit(&mut self, transaction: Transaction, event: Event) {
        self.is_dead |= transaction.is_of_a;
        self.has_happened |= transaction.is_of_a && event == Event::Visible;
        self.counter = self.counter.max(transaction.count);
        self.is_locked = false;
    }
}

impl Protocol {
    fn has(&self, part: Part) -> bool {
        !self.without.contains(&part)
    }

    fn transaction(&self, state: &State, i: usize, add: &mut dyn FnMut(&'static str, State)) {
        // The writer has no memory; its steps there have no effect.
        let memory = if i == WRITER {
            Some(Memory::default())
        } else {
            state.server
        };
        let (Some(memory), is_server) = (memory, i != WRITER) else {
            return;
        };
        let transaction = state.transactions[i];
        let Transaction { at, is_of_a, count } = transaction;
        let to = |at: At, change: &dyn Fn(&mut State, &mut Memory)| {
            let (mut next, mut memory) = (*state, memory);
            next.transactions[i].at = at;
            change(&mut next, &mut memory);
            if at == At::Idle {
                next.transactions[i] = Transaction::default();
            }
            if is_server {
                next.server = Some(memory);
            }
            next
        };
        let invalidate = |memory: &mut Memory| {
            if is_of_a {
                memory.cache.invalidate_account();
            }
        };
        match at {
            At::Idle if state.is_locked || state.revocations == 0 => {}
            At::Idle => {
                for (action, is_of_a) in [("BEGIN for A", true), ("BEGIN for B", false)] {
                    add(
                        action,
                        to(At::Locked, &|next, _| {
                            next.is_locked = true;
                            next.revocations -= 1;
                            next.transactions[i].is_of_a = is_of_a;
                        }),
                    );
                }
            }
            At::Locked if is_of_a && state.is_dead => {
                add(
                    "find the token dead, invalidate, end",
                    to(At::Idle, &|next, memory| {
                        next.is_locked = false;
                        invalidate(memory);
                    }),
                );
            }
            At::Locked => add("change the account", to(At::Changed, &|_, _| {})),
            At::Changed if self.has(Part::CounterInTransaction) => {
                add(
                    "increase the counter",
                    to(At::Counted, &|next, _| {
                        next.transactions[i].count = state.counter + 1;
                    }),
                );
            }
            At::Changed | At::Counted if is_server => {
                add(
                    "compare, set own, raise committing",
                    to(At::Prepared, &|_, memory| {
                        let counts = self.has(Part::CounterInTransaction);
                        if counts
                            && self.has(Part::CompareInTransaction)
                            && count - 1 != memory.known
                        {
                            memory.cache.invalidate_all();
                        }
                        memory.own = if counts { Some(count) } else { memory.own };
                        memory.committing += u8::from(is_of_a);
                    }),
                );
            }
            At::Changed | At::Counted | At::Prepared => {
                let counts = self.has(Part::CounterInTransaction);
                let done = if counts { At::Committed } else { At::Uncounted };
                let unknown = if is_server { At::Unknown } else { At::Idle };
                let commit =
                    |next: &mut State, _: &mut Memory| next.commit(transaction, self.event);
                add("COMMIT", to(done, &commit));
                add("COMMIT is applied, and fails", to(unknown, &commit));
                add(
                    "COMMIT is not applied, and fails",
                    to(unknown, &|next, _| next.is_locked = false),
                );
            }
            At::Uncounted => {
                let done = if is_server { At::Known } else { At::Idle };
                add(
                    "increase the counter after COMMIT",
                    to(done, &|next, memory| {
                        if memory.known != next.counter {
                            memory.cache.invalidate_all();
                        }
                        next.counter += 1;
                        memory.known = next.counter;
                    }),
                );
            }
            At::Committed if !is_server => add("acknowledge", to(At::Idle, &|_, _| {})),
            At::Committed => add(
                "set known",
                to(At::Known, &|_, memory| memory.known = count),
            ),
            At::Known => add(
                "invalidate",
                to(At::Invalidated, &|_, memory| invalidate(memory)),
            ),
            At::Unknown if !self.has(Part::UnknownInvalidates) => {
                add("ignore the failure", to(At::Invalidated, &|_, _| {}));
            }
            At::Unknown => {
                add(
                    "invalidate",
                    to(At::UnknownInvalidated, &|_, memory| invalidate(memory)),
                );
            }
            At::UnknownInvalidated => add(
                "clear own",
                to(At::Invalidated, &|_, memory| {
                    let clears = self.has(Part::UnknownClearsOwn);
                    memory.own = memory.own.filter(|_| !clears);
                }),
            ),
            At::Invalidated => add(
                "lower committing, answer",
                to(At::Idle, &|_, memory| {
                    memory.committing -= u8::from(is_of_a);
                }),
            ),
        }
    }

    fn request(&self, state: &State, i: usize, add: &mut dyn FnMut(&'static str, State)) {
        let (Some(memory), request) = (state.server, state.requests[i]) else {
            return;
        };
        let to = |progress: Progress, change: &dyn Fn(&mut Memory)| {
            let (mut next, mut memory) = (*state, memory);
            change(&mut memory);
            next.server = Some(memory);
            next.requests[i].progress = progress;
            next
        };
        let answer = |is_accepted: bool, change: &dyn Fn(&mut Memory)| {
            let mut next = to(Progress::Idle, change);
            next.requests[i] = Request::default();
            next.is_violated = is_accepted && request.began_after;
            next.has_happened |= !is_accepted && self.event == Event::MutationError;
            next
        };
        let miss = Progress::Missed(memory.cache.last_epoch);
        let is_committing = self.has(Part::CommittingMarker) && memory.committing > 0;
        let is_valid = memory.cache.has_valid_entry();
        let (first, second) = if self.has(Part::MarkerReadFirst) {
            (!is_committing, is_valid)
        } else {
            (is_valid, !is_committing)
        };
        match request.progress {
            Progress::Idle => {
                let mut next = to(Progress::Began, &|_| {});
                next.requests[i].began_after = state.has_happened;
                add("begin", next);
            }
            Progress::Began => add(
                "read the counter",
                to(Progress::Read(state.counter), &|_| {}),
            ),
            Progress::Read(count) if count == memory.known => {
                add("compare: known", to(Progress::Checked, &|_| {}));
            }
            Progress::Read(count) if Some(count) == memory.own => {
                let is_known = !self.has(Part::OwnIsUnconfirmed);
                let next = if is_known { Progress::Checked } else { miss };
                add("compare: own", to(next, &|_| {}));
            }
            Progress::Read(count) => add("compare: differs", to(Progress::Differs(count), &|_| {})),
            Progress::Differs(count) => add(
                "invalidate all",
                to(Progress::Marked(count), &|memory| {
                    memory.cache.invalidate_all();
                }),
            ),
            Progress::Marked(count) => {
                add(
                    "set known",
                    to(Progress::Checked, &|memory| memory.known = count),
                );
            }
            Progress::Checked if first => add("look up", to(Progress::HalfLookedUp, &|_| {})),
            Progress::HalfLookedUp if second => add("hit: ACCEPTED", answer(true, &|_| {})),
            Progress::Checked | Progress::HalfLookedUp => add("miss", to(miss, &|_| {})),
            Progress::Missed(_) if state.is_dead => add("read: REFUSED", answer(false, &|_| {})),
            Progress::Missed(since) => add("read: live", to(Progress::Found(since), &|_| {})),
            Progress::Found(since) => add(
                "insert: ACCEPTED",
                answer(true, &|memory| {
                    memory.cache.entry = Some(since);
                }),
            ),
        }
    }

    /// A crash rolls back what is not committed. The writer may begin again at once.
    fn crash(&self, state: &State, slots: &[usize]) -> State {
        let mut next = *state;
        next.crashes -= 1;
        for &i in slots {
            let Transaction { at, is_of_a, .. } = state.transactions[i];
            next.is_locked &= !(At::Locked..=At::Prepared).contains(&at);
            next.has_happened |= self.event == Event::Crashed
                && is_of_a
                && (At::Uncounted..=At::Known).contains(&at);
            next.transactions[i] = Transaction::default();
        }
        next
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step<State>;

    fn init_states(&self) -> Vec<State> {
        let revocations = self.revocations;
        vec![State {
            server: Some(Memory::default()),
            revocations,
            crashes: 1,
            ..State::default()
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step<State>>) {
        if state.is_violated {
            return;
        }
        let mut add = |actor, action, mut next: State| {
            let since = next
                .requests
                .each_mut()
                .map(|request| match &mut request.progress {
                    Progress::Missed(since) | Progress::Found(since) => Some(since),
                    _ => None,
                });
            if let Some(memory) = &mut next.server {
                memory.cache.renumber(since);
            }
            steps.push(Step {
                actor,
                action,
                next,
            });
        };
        for &i in &self.transactions {
            let actor = ["server 1", "server 2", "writer"][i];
            self.transaction(state, i, &mut |action, next| add(actor, action, next));
        }
        for (i, actor) in ["request 1", "request 2"]
            .into_iter()
            .take(self.requests)
            .enumerate()
        {
            self.request(state, i, &mut |action, next| add(actor, action, next));
        }
        if state.crashes > 0 && state.transactions[WRITER].at != At::Idle {
            add("writer", "crash", self.crash(state, &[WRITER]));
        }
        if state.crashes > 0 && state.server.is_some() {
            let next = self.crash(state, &SERVER);
            add(
                "server",
                "crash",
                State {
                    server: None,
                    requests: <_>::default(),
                    ..next
                },
            );
        }
        if state.server.is_none() {
            let memory = Memory {
                known: state.counter,
                ..Memory::default()
            };
            add(
                "server",
                "start",
                State {
                    server: Some(memory),
                    ..*state
                },
            );
        }
    }

    fn next_state(&self, _: &State, step: Step<State>) -> Option<State> {
        Some(step.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NOT_ACCEPTED, |_, state: &State| !state.is_violated),
            Property::sometimes(
                "an entry is valid after its look-up began",
                |_, state: &State| {
                    state
                        .requests
                        .iter()
                        .any(|r| r.progress == Progress::HalfLookedUp)
                        && state
                            .server
                            .is_some_and(|memory| memory.cache.has_valid_entry())
                },
            ),
            Property::sometimes("a request is refused after a crash", |_, state: &State| {
                let is_refused = |r: &Request| matches!(r.progress, Progress::Missed(_));
                state.crashes == 0 && state.is_dead && state.requests.iter().any(is_refused)
            }),
        ]
    }
}

fn whole(event: Event) -> Protocol {
    Protocol {
        requests: 2,
        ..without(&[], event)
    }
}

/// One request at a time is enough to find a violation.
fn without(parts: &[Part], event: Event) -> Protocol {
    Protocol {
        without: parts.to_vec(),
        event,
        transactions: vec![0, WRITER],
        revocations: 2,
        requests: 1,
    }
}

#[test]
fn no_request_is_accepted_after_a_revocation_is_visible() {
    holds(whole(Event::Visible), State::sorted);
}

#[test]
fn no_request_is_accepted_after_a_revocation_by_one_of_two_transactions_of_the_server() {
    holds(
        Protocol {
            transactions: SERVER.to_vec(),
            ..without(&[], Event::Visible)
        },
        State::sorted,
    );
}

#[test]
fn no_request_is_accepted_after_a_refusal() {
    // This follows from the property above: a process that refuses has read the revocation.
    holds(without(&[], Event::MutationError), State::sorted);
}

#[test]
fn a_counter_outside_the_transaction_loses_the_revocation_of_a_process_that_crashes() {
    finds(
        &without(&[Part::CounterInTransaction], Event::Crashed),
        NOT_ACCEPTED,
    );
}

#[test]
fn without_the_committing_marker_the_cache_accepts_right_after_commit() {
    finds(
        &without(&[Part::CommittingMarker], Event::Visible),
        NOT_ACCEPTED,
    );
}

#[test]
fn a_marker_read_after_the_epochs_does_not_prevent_acceptance_after_commit() {
    finds(
        &without(&[Part::MarkerReadFirst], Event::Visible),
        NOT_ACCEPTED,
    );
}

#[test]
fn a_count_that_is_not_compared_in_the_transaction_hides_another_process() {
    finds(
        &without(&[Part::CompareInTransaction], Event::Visible),
        NOT_ACCEPTED,
    );
}

#[test]
fn an_unconfirmed_count_that_is_treated_as_known_hides_another_process() {
    finds(
        &without(&[Part::OwnIsUnconfirmed], Event::Visible),
        NOT_ACCEPTED,
    );
}

#[test]
fn an_unknown_outcome_that_is_ignored_loses_the_revocation() {
    let parts = [Part::OwnIsUnconfirmed, Part::UnknownInvalidates];
    finds(&without(&parts, Event::Visible), NOT_ACCEPTED);
}
