//! Limits the rate of attempts, and admits allowed attempts to the hash queue.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::clock::Clock;
use crate::error::Error;
use crate::model::actor::Actor;
use crate::model::client::Client;
use crate::model::rate_limit::Rate;
use crate::model::user::{User, UserId};
use crate::model::username::Username;
use crate::service::passwords::{Passwords, Slot};
use crate::service::refused_attempts::RefusedAttempts;
use crate::service::throttle_metrics::ThrottleMetrics;
use crate::service::throttle_subject::Subject;
use crate::store::{Bucket, Store, Transaction};

/// The time for which the address of a sign-in remains a known address of the user.
const ADDRESS_KNOWN_FOR: TimeDelta = TimeDelta::days(30);

/// The configured rate limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// The limit on passwords tried for one user.
    pub(crate) account: Rate,
    /// The limit on passwords tried from one address.
    pub(crate) address: Rate,
    /// The limit on registrations, profile changes and uses of one-time tokens from one address. Also the limit on
    /// registrations, invitations, profile changes and new passwords for other users by one user.
    pub(crate) registration: Rate,
}

/// An allowed attempt, and the buckets that count it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt(Vec<Bucket>);

/// An allowed attempt with its slot in the hash queue.
pub(super) struct Admission {
    pub(super) attempt: Attempt,
    pub(super) slot: Slot,
}

impl Attempt {
    /// Removes the attempt from its buckets.
    pub(super) async fn give_back(&self, transaction: &Transaction) -> Result<(), Error> {
        for bucket in &self.0 {
            transaction.undo_attempt(bucket).await?;
        }
        Ok(())
    }
}

/// The rate limits. The counts are stored in the database, so that they survive a restart and apply to all
/// instances together.
///
/// A request that needs a hash gets a slot in the hash queue here, after its attempt was allowed. An attempt
/// that exceeds a rate limit gets no slot. An attempt is not counted if the hash queue has no free slot.
#[derive(Debug)]
pub(crate) struct Throttle {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) refused_attempts: Arc<RefusedAttempts>,
    pub(crate) passwords: Arc<Passwords>,
    /// `None` allows every attempt.
    pub(crate) rates: Option<Rates>,
    pub(crate) metrics: ThrottleMetrics,
}

impl Throttle {
    /// Admits an attempt to sign in as `username`. `user` is the user with this name, if there is one.
    ///
    /// An attempt from a known address of the user is counted only in the bucket for this user and this
    /// address. Therefore, sign-in attempts for this user from other addresses and for other users from this
    /// address do not prevent the user from signing in.
    pub(super) async fn admit_sign_in(
        &self,
        username: &str,
        user: Option<UserId>,
        client: &Client,
    ) -> Result<Admission, Error> {
        let Some(rates) = self.rates else {
            return self.admit(Vec::new(), user, client).await;
        };
        let name = bucket_name(username);
        let Some(address) = client.network() else {
            let buckets = vec![rates.bucket(Subject::Name(&name))];
            return self.admit(buckets, user, client).await;
        };
        // For an unknown name, the query uses the id 0, which no user has, and takes as long as for an existing
        // user.
        let id = user.unwrap_or(UserId(0));
        let since = self.clock.now() - ADDRESS_KNOWN_FOR;
        let buckets = if self.store.is_known_address(id, address, since).await? {
            vec![rates.bucket(Subject::Known(id, address))]
        } else {
            let subjects = [Subject::Name(&name), Subject::Address(address)];
            subjects.map(|subject| rates.bucket(subject)).to_vec()
        };
        self.admit(buckets, user, client).await
    }

    /// Admits an attempt by a signed-in user to confirm the password. Sign-in attempts are counted in other
    /// buckets.
    pub(super) async fn admit_confirmation(
        &self,
        user: UserId,
        actor: &Actor,
    ) -> Result<Admission, Error> {
        let bucket = (self.rates).map(|rates| rates.bucket(Subject::Session(user)));
        let buckets = bucket.into_iter().collect();
        self.admit(buckets, Some(user), &client(actor)).await
    }

    /// Admits a registration.
    pub(super) async fn admit_registration(&self, actor: &Actor) -> Result<Admission, Error> {
        let (user, client) = (actor.user_id(), client(actor));
        let buckets = self.change_buckets(user, client.network());
        self.admit(buckets, user, &client).await
    }

    /// Admits the use of a one-time token for `user` by an unauthenticated client.
    pub(super) async fn admit_password_reset(
        &self,
        user: UserId,
        client: &Client,
    ) -> Result<Admission, Error> {
        let buckets = self.change_buckets(None, client.network());
        self.admit(buckets, Some(user), client).await
    }

    /// Admits an attempt to set a new password for another user.
    pub(super) async fn admit_new_password(&self, actor: &Actor) -> Result<Admission, Error> {
        let user = actor.user_id();
        let buckets = self.change_buckets(user, None);
        self.admit(buckets, user, &client(actor)).await
    }

    /// Counts a profile change or an invitation. No slot is needed, because these changes compute no hash.
    pub(super) async fn count_change_without_hash(&self, actor: &Actor) -> Result<Attempt, Error> {
        let (user, client) = (actor.user_id(), client(actor));
        let buckets = self.change_buckets(user, client.network());
        self.refuse_full(&buckets, user, &client).await?;
        self.count(buckets, user, &client).await
    }

    /// Removes an attempt from its buckets if `result` is an error, which means that no hash was computed, or that an
    /// operation was refused although the password was right. Returns `result`.
    pub(super) async fn give_back_if_failed<T, E: From<Error>>(
        &self,
        attempt: &Attempt,
        result: Result<T, E>,
    ) -> Result<T, E> {
        if result.is_err() && !attempt.0.is_empty() {
            let transaction = self.store.begin().await?;
            attempt.give_back(&transaction).await?;
            transaction.commit().await?;
        }
        result
    }

    /// Deletes the buckets that count passwords for a user. Call this method when `transaction` changes the
    /// password, because attempts with the old password must not count for the new password.
    pub(super) async fn clear(&self, transaction: &Transaction, user: &User) -> Result<(), Error> {
        let known = transaction.known_addresses(user.id).await?.into_iter();
        let known = known.map(|address| Subject::Known(user.id, address));
        let name = bucket_name(&user.username);
        let own = [Subject::Name(&name), Subject::Session(user.id)];
        let keys = own.into_iter().chain(known).map(Subject::key).collect();
        transaction.delete_buckets(keys).await
    }

    /// Moves the count of a username to a new username, so that a new name does not allow additional attempts.
    pub(super) async fn rename(
        &self,
        transaction: &Transaction,
        old: &str,
        new: &Username,
    ) -> Result<(), Error> {
        let old = bucket_name(old);
        if old == new.canonical {
            return Ok(());
        }
        let [from, to] = [&old, &new.canonical].map(|name| Subject::Name(name).key());
        transaction.move_bucket(from, to).await
    }

    /// Deletes empty buckets and outdated known addresses.
    pub(super) async fn purge(
        &self,
        transaction: &Transaction,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        transaction.delete_empty_buckets(now).await?;
        let since = now - ADDRESS_KNOWN_FOR;
        transaction.delete_known_addresses_before(since).await
    }

    /// Returns the buckets that count the registrations and profile changes by `user` and from `address`.
    fn change_buckets(&self, user: Option<UserId>, address: Option<IpAddr>) -> Vec<Bucket> {
        let Some(rates) = self.rates else {
            return Vec::new();
        };
        let address = address.map(Subject::Registration);
        let subjects = address.into_iter().chain(user.map(Subject::Changes));
        subjects.map(|subject| rates.bucket(subject)).collect()
    }

    /// Counts an attempt, and then reserves a slot in the hash queue. In this order, a refused attempt occupies
    /// no slot, not even while the attempt is being counted.
    async fn admit(
        &self,
        buckets: Vec<Bucket>,
        user: Option<UserId>,
        client: &Client,
    ) -> Result<Admission, Error> {
        self.refuse_full(&buckets, user, client).await?;
        // `share` already refuses most of the attempts that `reserve` would refuse, so they cause no write to the
        // database.
        let share = self.passwords.share(client.network())?;
        let attempt = self.count(buckets, user, client).await?;
        let slot = self.passwords.reserve(share);
        let slot = self.give_back_if_failed(&attempt, slot).await?;
        Ok(Admission { attempt, slot })
    }

    /// Fails with [`Error::RateLimited`] if one of the buckets is full. Only reads the database, so that a
    /// flood of refused attempts does not occupy the connections for writing.
    async fn refuse_full(
        &self,
        buckets: &[Bucket],
        user: Option<UserId>,
        client: &Client,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        for bucket in buckets {
            let drained_at = self.store.bucket_drained_at(bucket).await?;
            let wait = drained_at.and_then(|drained_at| bucket.rate.retry_after(drained_at, now));
            if let Some(wait) = wait {
                return Err(self.refuse(bucket, wait, user, client, now));
            }
        }
        Ok(())
    }

    /// Counts an attempt in all buckets. If one of the buckets is full, counts the attempt in none.
    async fn count(
        &self,
        buckets: Vec<Bucket>,
        user: Option<UserId>,
        client: &Client,
    ) -> Result<Attempt, Error> {
        if buckets.is_empty() {
            return Ok(Attempt(buckets));
        }
        let now = self.clock.now();
        let transaction = self.store.begin().await?;
        for bucket in &buckets {
            if !transaction.count_attempt(bucket, now).await? {
                // Concurrent attempts filled the bucket after it was read.
                return Err(self.refuse(bucket, bucket.rate.interval(), user, client, now));
            }
        }
        transaction.commit().await?;
        Ok(Attempt(buckets))
    }

    /// Records that a full bucket refuses an attempt, and returns the error.
    fn refuse(
        &self,
        bucket: &Bucket,
        wait: TimeDelta,
        user: Option<UserId>,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Error {
        self.metrics.count(bucket.limit);
        self.refused_attempts.record_throttled(user, client, now);
        let retry_after = seconds(wait);
        Error::RateLimited { retry_after }
    }
}

impl Rates {
    fn bucket(&self, subject: Subject) -> Bucket {
        let rate = match subject {
            Subject::Name(_) | Subject::Known(..) | Subject::Session(_) => self.account,
            Subject::Address(_) => self.address,
            Subject::Registration(_) | Subject::Changes(_) => self.registration,
        };
        let key = subject.key();
        let limit = subject.limit();
        Bucket { limit, key, rate }
    }
}

/// Returns the client of an actor, or an unknown client for the operator.
fn client(actor: &Actor) -> Client {
    actor.client().cloned().unwrap_or_default()
}

/// Returns the canonical form of a username, so that all spellings of the name share a bucket. An invalid name
/// is returned unchanged.
fn bucket_name(username: &str) -> String {
    Username::parse(username).map_or_else(|_| username.to_owned(), |name| name.canonical)
}

/// Converts a duration to seconds, rounded up.
fn seconds(time: TimeDelta) -> u32 {
    let seconds = (time.num_milliseconds() + 999) / 1000;
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
