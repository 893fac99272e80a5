//! Count attempts, and refuse those that are too many.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use crate::clock::Clock;
use crate::error::Error;
use crate::model::CLOCK_TOLERANCE;
use crate::model::audit::Origin;
use crate::model::rate::Rate;
use crate::model::user::UserId;
use crate::service::audit::Audit;
use crate::store::{Bucket, Store, Writing};

/// For so long an address that an account was signed in to from has a bucket of its own there.
pub(crate) const ADDRESS_KNOWN_FOR: TimeDelta = TimeDelta::days(30);

/// How often what may be tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// Passwords of one account.
    pub(crate) account: Rate,
    /// Passwords from one address.
    pub(crate) address: Rate,
    /// Registrations from one address.
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
    /// An address that registers accounts.
    Registration(IpAddr),
}

/// An attempt that was counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted(Vec<Bucket>);

impl Counted {
    /// Takes the attempt back: it was none.
    pub(crate) async fn give_back(&self, writing: &Writing) -> Result<(), Error> {
        for bucket in &self.0 {
            writing.give_back(bucket).await?;
        }
        Ok(())
    }
}

/// The counts, in the database: they survive a restart, and several processes share them.
#[derive(Debug)]
pub(crate) struct Throttle {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) audit: Arc<Audit>,
    /// Without them nothing is counted.
    pub(crate) rates: Option<Rates>,
}

impl Throttle {
    /// Counts an attempt to sign in as `name`, which is the account's if there is one. An address
    /// that signed in to it lately has a bucket of its own, so that strangers who guess do not lock
    /// its owner out.
    pub(crate) async fn sign_in(
        &self,
        name: &str,
        account: Option<UserId>,
        origin: &Origin,
    ) -> Result<Counted, Error> {
        let Some(rates) = self.rates else {
            return Ok(Counted::default());
        };
        let Some(address) = origin.network() else {
            let bucket = rates.bucket(Subject::Name(name));
            return self.count(&[bucket], account, origin).await;
        };
        // No account has this id; the question costs the same.
        let user = account.unwrap_or(UserId(0));
        let since = self.clock.now() - ADDRESS_KNOWN_FOR;
        let subject = if self.store.knows_address(user, address, since).await? {
            Subject::Known(user, address)
        } else {
            Subject::Name(name)
        };
        let buckets = [subject, Subject::Address(address)].map(|subject| rates.bucket(subject));
        self.count(&buckets, account, origin).await
    }

    /// Counts an attempt to confirm the password of an account from one of its own sessions, which
    /// no stranger can use up.
    pub(crate) async fn confirmation(
        &self,
        account: UserId,
        origin: &Origin,
    ) -> Result<Counted, Error> {
        let Some(rates) = self.rates else {
            return Ok(Counted::default());
        };
        let bucket = rates.bucket(Subject::Session(account));
        self.count(&[bucket], Some(account), origin).await
    }

    /// Counts a registration.
    pub(crate) async fn registration(&self, origin: &Origin) -> Result<(), Error> {
        let (Some(rates), Some(address)) = (self.rates, origin.network()) else {
            return Ok(());
        };
        let bucket = rates.bucket(Subject::Registration(address));
        self.count(&[bucket], None, origin).await.map(drop)
    }

    /// Counts in all of the buckets, or in none if one is full: a refusal writes nothing.
    async fn count(
        &self,
        buckets: &[Bucket],
        account: Option<UserId>,
        origin: &Origin,
    ) -> Result<Counted, Error> {
        let now = self.clock.now();
        let refuse = |retry_after| {
            self.audit.throttled(account, origin, now);
            Err(Error::RateLimited { retry_after })
        };
        // A flood is refused here, beside the one connection that writes.
        for bucket in buckets {
            let drained_at = self.store.drained_at(bucket).await?;
            if let Some(retry_after) = wait(bucket, drained_at, now) {
                return refuse(retry_after);
            }
        }
        let writing = self.store.write().await?;
        for bucket in buckets {
            if !writing.count(bucket, now).await? {
                // Others were faster by a moment, and have filled it.
                return refuse(seconds(bucket.rate.interval()));
            }
        }
        writing.commit().await?;
        Ok(Counted(buckets.to_vec()))
    }
}

impl Rates {
    fn bucket(&self, subject: Subject) -> Bucket {
        let (rate, counted) = match subject {
            Subject::Name(name) => (self.account, format!("name {name}")),
            Subject::Known(account, address) => {
                (self.account, format!("known {account} {address}"))
            }
            Subject::Session(account) => (self.account, format!("session {account}")),
            Subject::Address(address) => (self.address, format!("address {address}")),
            Subject::Registration(address) => {
                (self.registration, format!("registration {address}"))
            }
        };
        Bucket {
            key: Sha256::digest(counted).into(),
            rate,
        }
    }
}

/// In how many seconds a full bucket takes the next attempt; `None` while it is not full.
fn wait(bucket: &Bucket, drained_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<u32> {
    let ahead = drained_at? - now;
    let full = bucket.rate.capacity();
    let room = full - bucket.rate.interval();
    if ahead <= room || ahead > full + CLOCK_TOLERANCE {
        return None;
    }
    Some(seconds(ahead - room))
}

/// Rounded up.
fn seconds(time: TimeDelta) -> u32 {
    let seconds = (time.num_milliseconds() + 999) / 1000;
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
