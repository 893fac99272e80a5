//! Count attempts, refuse those that are too many, and admit the others to the hash queue.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::TimeDelta;
use sha2::{Digest, Sha256};

use crate::clock::Clock;
use crate::error::Error;
use crate::model::audit_event::{Actor, Client};
use crate::model::rate_limit::Rate;
use crate::model::user::{User, UserId};
use crate::model::username::Username;
use crate::service::audit_trail::Audit;
use crate::service::passwords::{Passwords, Slot};
use crate::store::{Bucket, Store, Transaction};

/// For so long an address that an account was signed in to from has a bucket of its own there.
pub(crate) const ADDRESS_KNOWN_FOR: TimeDelta = TimeDelta::days(30);

/// How often what may be tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// Passwords of one account.
    pub(crate) account: Rate,
    /// Passwords from one address.
    pub(crate) address: Rate,
    /// Registrations and changes of profiles from one address; and those of one account, with the
    /// passwords that it sets for others.
    pub(crate) registration: Rate,
}

/// What attempts are counted by.
#[derive(Clone, Copy, Debug)]
enum Subject<'a> {
    /// A name, whether or not an account has it.
    Name(&'a str),
    /// An account, from an address that it was signed in to from.
    Known(UserId, IpAddr),
    /// An account whose own session asks.
    Session(UserId),
    /// An address.
    Address(IpAddr),
    /// An address that registers accounts or changes profiles.
    Registration(IpAddr),
    /// An account that registers accounts, changes profiles or sets the passwords of others.
    Changes(UserId),
}

/// An attempt that the throttle allowed, and counted in these buckets.
#[derive(Clone, Debug)]
pub(crate) struct Counted(Vec<Bucket>);

/// An attempt that the throttle allowed, with its place in the hash queue.
pub(crate) struct Admitted {
    pub(crate) counted: Counted,
    pub(crate) slot: Slot,
}

impl Counted {
    /// Takes the attempt back: it was none.
    pub(crate) async fn give_back(&self, transaction: &Transaction) -> Result<(), Error> {
        for bucket in &self.0 {
            transaction.give_back(bucket).await?;
        }
        Ok(())
    }
}

/// The counts, in the database: they survive a restart, and several processes share them.
///
/// Each hash that a request asks for gets its place in the hash queue here, after the attempt was
/// allowed. A refused attempt takes no place, and one that the queue refuses is not counted.
#[derive(Debug)]
pub(crate) struct Throttle {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) audit: Arc<Audit>,
    pub(crate) passwords: Arc<Passwords>,
    /// Without them nothing is counted.
    pub(crate) rates: Option<Rates>,
}

impl Throttle {
    /// Admits an attempt to sign in as `username`, which `account` has if there is one.
    ///
    /// From an address that the account signed in from lately, only a bucket of this account and this
    /// address counts. So neither guesses at the account from elsewhere nor guesses at other accounts
    /// from there refuse its owner.
    pub(crate) async fn sign_in(
        &self,
        username: &str,
        account: Option<UserId>,
        client: &Client,
    ) -> Result<Admitted, Error> {
        let Some(rates) = self.rates else {
            return self.admit(Vec::new(), account, client).await;
        };
        let name = counted_name(username);
        let Some(address) = client.network() else {
            let buckets = vec![rates.bucket(Subject::Name(&name))];
            return self.admit(buckets, account, client).await;
        };
        // No account has this id; the question costs the same.
        let user = account.unwrap_or(UserId(0));
        let since = self.clock.now() - ADDRESS_KNOWN_FOR;
        let buckets = if self.store.is_known_address(user, address, since).await? {
            vec![rates.bucket(Subject::Known(user, address))]
        } else {
            let subjects = [Subject::Name(&name), Subject::Address(address)];
            subjects.map(|subject| rates.bucket(subject)).to_vec()
        };
        self.admit(buckets, account, client).await
    }

    /// Admits an attempt to confirm the password of an account from one of its own sessions, which
    /// strangers cannot use up.
    pub(crate) async fn confirmation(
        &self,
        account: UserId,
        client: &Client,
    ) -> Result<Admitted, Error> {
        let bucket = self
            .rates
            .map(|rates| rates.bucket(Subject::Session(account)));
        let buckets = bucket.into_iter().collect();
        self.admit(buckets, Some(account), client).await
    }

    /// Admits a registration.
    pub(crate) async fn registration(&self, actor: &Actor) -> Result<Admitted, Error> {
        let (user, client) = (actor.user_id(), client(actor));
        let buckets = self.changes(user, client.network());
        self.admit(buckets, user, &client).await
    }

    /// Admits the new password that an actor sets for another account.
    pub(crate) async fn new_password(&self, actor: &Actor) -> Result<Admitted, Error> {
        let user = actor.user_id();
        let buckets = self.changes(user, None);
        self.admit(buckets, user, &client(actor)).await
    }

    /// Counts a change of a profile, which computes no hash.
    pub(crate) async fn profile_change(&self, actor: &Actor) -> Result<Counted, Error> {
        let (user, client) = (actor.user_id(), client(actor));
        let buckets = self.changes(user, client.network());
        self.refuse_full(&buckets, user, &client).await?;
        self.count(buckets, user, &client).await
    }

    /// Takes a counted attempt back where it failed with an error: its password was not looked at.
    pub(crate) async fn give_back_if_failed<T>(
        &self,
        counted: &Counted,
        done: Result<T, Error>,
    ) -> Result<T, Error> {
        if done.is_err() && !counted.0.is_empty() {
            let transaction = self.store.begin().await?;
            counted.give_back(&transaction).await?;
            transaction.commit().await?;
        }
        done
    }

    /// Deletes the buckets of an account that gets another password with `transaction`: guesses at the old
    /// one do not count for the new one.
    pub(crate) async fn clear(&self, transaction: &Transaction, user: &User) -> Result<(), Error> {
        let known = transaction.known_addresses(user.id).await?;
        let known = known
            .into_iter()
            .map(|address| Subject::Known(user.id, address));
        let name = counted_name(&user.username);
        let own = [Subject::Name(&name), Subject::Session(user.id)];
        let keys = own.into_iter().chain(known).map(Subject::key).collect();
        transaction.delete_buckets(keys).await
    }

    /// Moves the count of an account to its new name: a new name brings no new attempts.
    pub(crate) async fn rename(
        &self,
        transaction: &Transaction,
        old: &str,
        new: &Username,
    ) -> Result<(), Error> {
        let old = counted_name(old);
        if old == new.canonical {
            return Ok(());
        }
        let [from, to] = [&old, &new.canonical].map(|name| Subject::Name(name).key());
        transaction.move_bucket(from, to).await
    }

    /// The buckets of what registers an account or changes a profile.
    fn changes(&self, user: Option<UserId>, address: Option<IpAddr>) -> Vec<Bucket> {
        let Some(rates) = self.rates else {
            return Vec::new();
        };
        let address = address.map(Subject::Registration);
        let subjects = address.into_iter().chain(user.map(Subject::Changes));
        subjects.map(|subject| rates.bucket(subject)).collect()
    }

    /// Counts an attempt and takes its place in the hash queue, in this order: an attempt that is
    /// refused has no place, not even while it is counted.
    async fn admit(
        &self,
        buckets: Vec<Bucket>,
        account: Option<UserId>,
        client: &Client,
    ) -> Result<Admitted, Error> {
        self.refuse_full(&buckets, account, client).await?;
        // Refuses most of what the queue would refuse before it costs a write.
        let share = self.passwords.share(client.network())?;
        let counted = self.count(buckets, account, client).await?;
        let slot = self.passwords.reserve(share);
        let slot = self.give_back_if_failed(&counted, slot).await?;
        Ok(Admitted { counted, slot })
    }

    /// Refuses an attempt while one of its buckets is full. It only reads: a flood is refused beside
    /// the one connection that writes.
    async fn refuse_full(
        &self,
        buckets: &[Bucket],
        account: Option<UserId>,
        client: &Client,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        for bucket in buckets {
            let drained_at = self.store.bucket_drained_at(bucket).await?;
            let wait = drained_at.and_then(|drained_at| bucket.rate.retry_after(drained_at, now));
            if let Some(wait) = wait {
                self.audit.throttled(account, client, now);
                let retry_after = seconds(wait);
                return Err(Error::RateLimited { retry_after });
            }
        }
        Ok(())
    }

    /// Counts in all of the buckets, or in none if one is full: a refusal writes nothing.
    async fn count(
        &self,
        buckets: Vec<Bucket>,
        account: Option<UserId>,
        client: &Client,
    ) -> Result<Counted, Error> {
        if buckets.is_empty() {
            return Ok(Counted(buckets));
        }
        let now = self.clock.now();
        let transaction = self.store.begin().await?;
        for bucket in &buckets {
            if !transaction.count(bucket, now).await? {
                // Other attempts have filled it since it was read.
                self.audit.throttled(account, client, now);
                let retry_after = seconds(bucket.rate.interval());
                return Err(Error::RateLimited { retry_after });
            }
        }
        transaction.commit().await?;
        Ok(Counted(buckets))
    }
}

impl Subject<'_> {
    /// The key of its bucket.
    fn key(self) -> [u8; 32] {
        let counted = match self {
            Self::Name(name) => format!("name {name}"),
            Self::Known(account, address) => format!("known {account} {address}"),
            Self::Session(account) => format!("session {account}"),
            Self::Address(address) => format!("address {address}"),
            Self::Registration(address) => format!("registration {address}"),
            Self::Changes(account) => format!("changes {account}"),
        };
        Sha256::digest(counted).into()
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
        Bucket { key, rate }
    }
}

/// The client of an actor. The operator has none.
fn client(actor: &Actor) -> Client {
    actor.client().cloned().unwrap_or_default()
}

/// A name as it is counted, whether or not an account can have it: one bucket for all its spellings.
fn counted_name(username: &str) -> String {
    Username::parse(username).map_or_else(|_| username.to_owned(), |name| name.canonical)
}

/// Rounded up.
fn seconds(time: TimeDelta) -> u32 {
    let seconds = (time.num_milliseconds() + 999) / 1000;
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
