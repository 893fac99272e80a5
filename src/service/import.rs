//! Imports users from another system.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::clock::Clock;
use crate::error::Error;
use crate::model::actor::Actor;
use crate::model::audit_event::{AuditEventDetail, NewAuditEvent};
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::email::Email;
use crate::model::event::Event;
use crate::model::field_errors::{FieldError, MutationError};
use crate::model::imported_user::{ImportResult, ImportedPassword, ImportedUser};
use crate::model::password::Password;
use crate::model::password_hash::{ImportedHash, PasswordHash, WeakHash, looks_like_hash};
use crate::model::user::{Role, User, UserId};
use crate::model::username::Username;
use crate::service::hook_runner::HookRunner;
use crate::service::passwords::Passwords;
use crate::store::{ExistingFields, NewUser, Store, Transaction};

/// The use case that imports users.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) hooks: HookRunner,
}

/// A valid imported user who is not in the database yet.
struct Candidate {
    /// The index of the user in the import.
    index: usize,
    username: Username,
    email: Option<Email>,
    password: CandidatePassword,
    role: Role,
    is_disabled: bool,
    created_at: Option<DateTime<Utc>>,
}

enum CandidatePassword {
    Plain(Password),
    Weak(WeakHash),
    Hash(PasswordHash),
}

impl Import {
    /// Imports the valid users who do not exist yet, in one transaction. Returns the result for each user.
    /// A dry run returns the same results, but changes nothing.
    pub(crate) async fn run(
        &self,
        users: Vec<ImportedUser>,
        dry_run: bool,
    ) -> Result<Vec<ImportResult>, Error> {
        let now = self.clock.now();
        let mut results = vec![ImportResult::Added { is_wrapped: false }; users.len()];
        let mut candidates = Vec::with_capacity(users.len());
        for (index, user) in users.into_iter().enumerate() {
            match self.candidate(index, user, now) {
                Ok(candidate) => {
                    let is_wrapped = matches!(candidate.password, CandidatePassword::Weak(_));
                    results[index] = ImportResult::Added { is_wrapped };
                    candidates.push(candidate);
                }
                Err(reason) => results[index] = ImportResult::Refused(reason),
            }
        }
        let taken = self.store.find_existing_fields(&names(&candidates)).await?;
        let candidates = remove_taken(candidates, taken, &mut results);
        if !dry_run {
            let candidates = self.hash(candidates).await?;
            self.insert(candidates, &mut results).await?;
        }
        Ok(results)
    }

    fn candidate(
        &self,
        index: usize,
        user: ImportedUser,
        now: DateTime<Utc>,
    ) -> Result<Candidate, String> {
        let message = |error: FieldError| error.message.into_owned();
        let email = Email::parse_optional(user.email.as_deref());
        let range = DateTime::UNIX_EPOCH..=now;
        if user.created_at.is_some_and(|at| !range.contains(&at)) {
            return Err("The time of registration is before 1970 or in the future.".to_owned());
        }
        Ok(Candidate {
            index,
            username: Username::parse(&user.username).map_err(message)?,
            email: email.map_err(message)?,
            password: self.password(user.password)?,
            role: user.role,
            is_disabled: user.is_disabled,
            created_at: user.created_at,
        })
    }

    fn password(&self, password: ImportedPassword) -> Result<CandidatePassword, String> {
        let message = |error: FieldError| error.message.into_owned();
        Ok(match password {
            ImportedPassword::Plain(text) if looks_like_hash(&text) => {
                return Err("The password looks like a hash. Import it as a hash.".to_owned());
            }
            ImportedPassword::Plain(text) => {
                CandidatePassword::Plain(Password::parse_imported(&text).map_err(message)?)
            }
            ImportedPassword::Hash(text) => {
                let hash = self.passwords.import(&text);
                let refuse = |reason| format!("The password hash cannot be imported: {reason}.");
                match hash.map_err(refuse)? {
                    ImportedHash::Strong(hash) => CandidatePassword::Hash(hash),
                    ImportedHash::Weak(weak) => CandidatePassword::Weak(weak),
                }
            }
            ImportedPassword::Unset => CandidatePassword::Hash(PasswordHash::unusable()),
        })
    }

    /// Hashes the plain-text passwords and wraps the weak hashes, on all hashing threads.
    async fn hash(&self, candidates: Vec<Candidate>) -> Result<Vec<Candidate>, Error> {
        let slot = || self.passwords.reserve(self.passwords.share(None)?);
        let hashed = candidates.into_iter().map(async |mut candidate| {
            let hash = match candidate.password {
                CandidatePassword::Plain(password) => slot()?.hash(password).await?,
                CandidatePassword::Weak(weak) => slot()?.wrap(weak).await?,
                CandidatePassword::Hash(hash) => hash,
            };
            candidate.password = CandidatePassword::Hash(hash);
            Ok(candidate)
        });
        stream::iter(hashed)
            .buffered(self.passwords.threads())
            .try_collect()
            .await
    }

    /// Inserts the candidates whose names and e-mail addresses are still free. Registrations may have taken
    /// some of these names and addresses while the passwords were hashed.
    async fn insert(
        &self,
        mut candidates: Vec<Candidate>,
        results: &mut [ImportResult],
    ) -> Result<(), Error> {
        let now = self.clock.now();
        // The loop repeats after a conflict with a concurrent registration.
        loop {
            let mut transaction = self.store.begin().await?;
            let taken = transaction
                .find_existing_fields(&names(&candidates))
                .await?;
            candidates = remove_taken(candidates, taken, results);
            let rows = candidates.iter().filter_map(|candidate| candidate.row(now));
            let rows: Vec<_> = rows.collect();
            if rows.is_empty() {
                return Ok(());
            }
            for row in &rows {
                let permitted = self.hooks.before_register(&transaction, row).await;
                permitted.map_err(|error| refusal(&row.username.display, error))?;
            }
            if let Some(users) = transaction.insert_users(&rows).await? {
                for user in &users {
                    let permitted = self.hooks.after_register(&transaction, user).await;
                    permitted.map_err(|error| refusal(&user.username, error))?;
                }
                record_events(&mut transaction, &users, now).await?;
                return transaction.commit().await;
            }
        }
    }
}

impl Candidate {
    fn row(&self, now: DateTime<Utc>) -> Option<NewUser> {
        let CandidatePassword::Hash(password_hash) = &self.password else {
            return None;
        };
        Some(NewUser {
            username: self.username.clone(),
            email: self.email.clone(),
            password_hash: password_hash.clone(),
            role: self.role,
            created_at: self.created_at.unwrap_or(now),
            disabled_at: self.is_disabled.then_some(now),
        })
    }
}

/// Records the registrations, the users who are disabled, and the users who are admins.
///
/// One audit row for all registrations, and one for all disabled users, is sufficient, because the row of each user
/// contains the times. Each admin has an audit row, because the role grants authority.
async fn record_events(
    transaction: &mut Transaction,
    users: &[User],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let event = |kind, user: Option<UserId>| NewAuditEvent::new(kind, user, Actor::Operator, now);
    let all: Vec<_> = users.iter().map(|user| user.id).collect();
    let disabled = users.iter().filter(|user| user.is_disabled());
    let disabled: Vec<_> = disabled.map(|user| user.id).collect();
    for (kind, ids) in [
        (AuditEventKind::Registered, all),
        (AuditEventKind::Disabled, disabled),
    ] {
        let count = i64::try_from(ids.len()).map_err(Error::internal)?;
        if count > 0 {
            let total = Event::from(event(kind, None));
            transaction.count_events(&total, count).await?;
        }
        for id in ids {
            transaction.record_counted_event(event(kind, Some(id)).into());
        }
    }
    for admin in users.iter().filter(|user| user.role == Role::Admin) {
        let detail = AuditEventDetail::Role {
            old: Role::User,
            new: Role::Admin,
        };
        let event = event(AuditEventKind::RoleChanged, Some(admin.id)).with_detail(detail);
        transaction.record_event(event);
    }
    Ok(())
}

/// Converts the error of a hook. The message of a refusal names the user.
fn refusal(username: &str, error: MutationError) -> Error {
    match error {
        MutationError::Fields(_) => Error::BadUserInput(format!("{username}: {error}")),
        MutationError::Error(error) => error,
    }
}

fn names(candidates: &[Candidate]) -> ExistingFields {
    let usernames = candidates.iter().map(|one| one.username.canonical.clone());
    let emails = candidates.iter().filter_map(|one| one.email.as_ref());
    ExistingFields {
        usernames: usernames.collect(),
        emails: emails.map(|email| email.canonical.clone()).collect(),
    }
}

/// Returns the candidates whose name and e-mail address are neither taken nor used by an earlier candidate.
/// Marks the other candidates in `results`: `Skipped` for a taken username, `Refused` for a taken e-mail
/// address.
fn remove_taken(
    candidates: Vec<Candidate>,
    mut taken: ExistingFields,
    results: &mut [ImportResult],
) -> Vec<Candidate> {
    let mut free = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let username = &candidate.username.canonical;
        let email = candidate.email.as_ref().map(|email| &email.canonical);
        if taken.usernames.contains(username) {
            results[candidate.index] = ImportResult::Skipped;
        } else if email.is_some_and(|email| taken.emails.contains(email)) {
            let reason = "This e-mail address is taken.".to_owned();
            results[candidate.index] = ImportResult::Refused(reason);
        } else {
            taken.usernames.insert(username.clone());
            taken.emails.extend(email.cloned());
            free.push(candidate);
        }
    }
    free
}
