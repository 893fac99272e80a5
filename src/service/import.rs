//! Take over the accounts of another system.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::clock::Clock;
use crate::error::Error;
use crate::model::audit_event::{Actor, AuditEventKind, NewEvent};
use crate::model::email::Email;
use crate::model::imported_user::{ImportResult, ImportedPassword, ImportedUser};
use crate::model::password::{Password, PasswordHash};
use crate::model::user::Role;
use crate::model::username::Username;
use crate::model::validation::FieldError;
use crate::service::passwords::Passwords;
use crate::store::{NewUser, Store, Taken};

/// Brings accounts from elsewhere.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) passwords: Arc<Passwords>,
}

/// An account that could be added.
struct Candidate {
    /// Where it stands among those that came.
    number: usize,
    username: Username,
    email: Option<Email>,
    password: Prepared,
}

enum Prepared {
    Plain(Password),
    Hash(PasswordHash),
}

impl Import {
    /// Adds those accounts that are not there yet and can be, in one step; what became of each. A dry
    /// run only says what would.
    pub(crate) async fn run(
        &self,
        accounts: Vec<ImportedUser>,
        dry_run: bool,
    ) -> Result<Vec<ImportResult>, Error> {
        let mut became = vec![ImportResult::Added; accounts.len()];
        let mut candidates = Vec::with_capacity(accounts.len());
        for (number, account) in accounts.into_iter().enumerate() {
            match self.candidate(number, account) {
                Ok(candidate) => candidates.push(candidate),
                Err(why) => became[number] = ImportResult::MutationError(why),
            }
        }
        let taken = self.store.find_existing(&names(&candidates)).await?;
        let new = keep_free(candidates, taken, &mut became);
        if !dry_run {
            let new = self.hash(new).await?;
            self.insert(new, &mut became).await?;
        }
        Ok(became)
    }

    fn candidate(&self, number: usize, account: ImportedUser) -> Result<Candidate, String> {
        let told = |error: FieldError| error.message.into_owned();
        Ok(Candidate {
            number,
            username: Username::parse(&account.username).map_err(told)?,
            email: (account.email.as_deref().map(Email::parse))
                .transpose()
                .map_err(told)?,
            password: match account.password {
                ImportedPassword::Plain(text) => {
                    Prepared::Plain(Password::parse_imported(&text).map_err(told)?)
                }
                ImportedPassword::Hash(text) => Prepared::Hash(self.passwords.import(&text)?),
            },
        })
    }

    /// Hashes the passwords that came in the clear, on all threads.
    async fn hash(&self, candidates: Vec<Candidate>) -> Result<Vec<Candidate>, Error> {
        let hashed = candidates.into_iter().map(async |mut candidate| {
            if let Prepared::Plain(password) = candidate.password {
                let mut slot = self.passwords.reserve(self.passwords.share(None)?)?;
                let hash = slot.hash(password).await?;
                candidate.password = Prepared::Hash(hash);
            }
            Ok(candidate)
        });
        stream::iter(hashed)
            .buffered(self.passwords.threads())
            .try_collect()
            .await
    }

    /// Hashing takes time, in which others may have come: the names are looked at again.
    async fn insert(
        &self,
        candidates: Vec<Candidate>,
        became: &mut [ImportResult],
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let mut candidates = candidates;
        // Each round that is lost was won by somebody who registered in the meantime.
        loop {
            let mut transaction = self.store.begin().await?;
            let taken = transaction.find_existing(&names(&candidates)).await?;
            candidates = keep_free(candidates, taken, became);
            let new: Vec<_> = candidates
                .iter()
                .filter_map(|one| one.account(now))
                .collect();
            let Ok(added @ 1..) = i64::try_from(new.len()) else {
                return Ok(());
            };
            if transaction.insert_users(new).await? {
                // One row for all of them: each account says by itself when it was made.
                let event = NewEvent::new(AuditEventKind::Registered, None, Actor::Operator, now);
                transaction.tally(&event, added).await?;
                return transaction.commit().await;
            }
        }
    }
}

impl Candidate {
    fn account(&self, created_at: DateTime<Utc>) -> Option<NewUser> {
        let Prepared::Hash(password_hash) = &self.password else {
            return None;
        };
        Some(NewUser {
            username: self.username.clone(),
            email: self.email.clone(),
            password_hash: password_hash.clone(),
            role: Role::User,
            created_at,
        })
    }
}

fn names(candidates: &[Candidate]) -> Taken {
    let emails = candidates.iter().filter_map(|one| one.email.as_ref());
    Taken {
        usernames: candidates
            .iter()
            .map(|one| one.username.canonical.clone())
            .collect(),
        emails: emails.map(|email| email.canonical.clone()).collect(),
    }
}

/// Those whose name and address neither an account has nor one that stands before them.
fn keep_free(
    candidates: Vec<Candidate>,
    mut taken: Taken,
    became: &mut [ImportResult],
) -> Vec<Candidate> {
    let mut free = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let Candidate {
            number,
            username,
            email,
            ..
        } = &candidate;
        let email = email.as_ref().map(|email| &email.canonical);
        if taken.usernames.contains(&username.canonical) {
            became[*number] = ImportResult::Skipped;
        } else if email.is_some_and(|email| taken.emails.contains(email)) {
            became[*number] =
                ImportResult::MutationError("This e-mail address is taken.".to_owned());
        } else {
            taken.usernames.insert(username.canonical.clone());
            taken.emails.extend(email.cloned());
            free.push(candidate);
        }
    }
    free
}
