//! Verifies passwords: checks the rate limits, verifies the hash, and records the result.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::error::{Error, Unauthenticated};
use crate::model::actor::{Actor, Credential};
use crate::model::audit_event::NewAuditEvent;
use crate::model::audit_event_enums::AuditEventKind;
use crate::model::client::Client;
use crate::model::field_errors::{FieldError, FieldErrorCode, MutationError};
use crate::model::password::SubmittedPassword;
use crate::model::password_hash::PasswordHash;
use crate::model::request_credentials::UserPass;
use crate::model::user::{User, UserId};
use crate::model::user_record::UserRecord;
use crate::model::username::Username;
use crate::service::hook_runner::HookRunner;
use crate::service::issued_token::IssuedToken;
use crate::service::named_input::NamedInput;
use crate::service::passwords::Verdict;
use crate::service::refused_attempts::RefusedAttempts;
use crate::service::sessions::Sessions;
use crate::service::sign_in_metrics::{CONFIRMATION, PASSWORD, SignInMetrics};
use crate::service::throttle::{Admission, Attempt, Throttle};
use crate::service::token_options::TokenRequest;
use crate::store::{Store, Transaction};

/// The use cases that verify a password: a sign-in, and the confirmation of an operation.
#[derive(Debug)]
pub(crate) struct SignIn {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) refused_attempts: Arc<RefusedAttempts>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) hooks: HookRunner,
    pub(crate) metrics: SignInMetrics,
}

impl SignIn {
    /// Signs a user in by name and password, and issues a session token if one is requested. For an unknown
    /// username, a wrong password and a disabled user, returns the same error after the same amount of work, so
    /// that a client cannot distinguish these cases.
    pub(super) async fn by_password(
        &self,
        credentials: &UserPass,
        requested: Option<TokenRequest>,
        client: &Client,
    ) -> Result<(UserRecord, Option<IssuedToken>), Error> {
        let endpoint = requested
            .as_ref()
            .map_or(PASSWORD, |requested| requested.endpoint);
        let signed_in = self.verify(credentials, requested, client).await;
        self.metrics.count(endpoint, signed_in.as_ref().err());
        signed_in
    }

    async fn verify(
        &self,
        credentials: &UserPass,
        requested: Option<TokenRequest>,
        client: &Client,
    ) -> Result<(UserRecord, Option<IssuedToken>), Error> {
        let username = Username::parse(&credentials.username);
        // An invalid name is replaced by the empty name, which no user has. Therefore, a sign-in with an
        // invalid name takes as long as a sign-in with an unknown name.
        let canonical = username.as_ref().map_or("", |name| &name.canonical);
        let record = self.store.find_user_by_name(canonical).await?;
        let id = record.as_ref().map(|record| record.user.id);
        let admission = self
            .throttle
            .admit_sign_in(&credentials.username, id, client);
        let Admission { attempt, mut slot } = admission.await?;
        let stored = record.as_ref().map(|record| record.password_hash.clone());
        let record = record.filter(|record| !record.user.is_disabled());
        let password = SubmittedPassword::new(&credentials.password);
        let verdict = slot.verify(password, stored, record.is_some()).await;
        drop(slot);
        let verdict = self.throttle.give_back_if_failed(&attempt, verdict).await?;
        let signed_in = match (record, verdict) {
            (None, _) | (_, Verdict::Wrong) => None,
            (Some(record), Verdict::Right) => {
                self.complete(&record, None, &attempt, requested, client)
                    .await?
            }
            (Some(record), Verdict::Outdated(hash)) => {
                self.complete(&record, Some(hash), &attempt, requested, client)
                    .await?
            }
        };
        if let Some(signed_in) = signed_in {
            return Ok(signed_in);
        }
        let actor = Actor::Anonymous(client.clone());
        self.refused_attempts
            .record_failed_sign_in(id, actor, self.clock.now())
            .await?;
        Err(Unauthenticated::InvalidCredentials.into())
    }

    /// Records a sign-in with the right password. Returns `None` if the password has changed since it was
    /// verified, or if the user has been disabled.
    async fn complete(
        &self,
        verified: &UserRecord,
        rehashed: Option<PasswordHash>,
        attempt: &Attempt,
        requested: Option<TokenRequest>,
        client: &Client,
    ) -> Result<Option<(UserRecord, Option<IssuedToken>)>, Error> {
        let user = verified.user.id;
        let mut transaction = self.store.begin().await?;
        let now = self.clock.now();
        let record = transaction.record_sign_in(verified, rehashed, now).await?;
        let Some(record) = record else {
            return Ok(None);
        };
        let last_sign_in_at = verified.user.last_sign_in_at;
        let signing_in = User {
            last_sign_in_at,
            ..record.user.clone()
        };
        if let Err(refusal) = self.hooks.before_sign_in(&transaction, &signing_in).await {
            // The password was right, so the attempt is not counted.
            drop(transaction);
            let refused = Err(refusal);
            return self.throttle.give_back_if_failed(attempt, refused).await;
        }
        attempt.give_back(&transaction).await?;
        let actor = Actor::user(user, Credential::Password, client);
        record_sign_in(&mut transaction, user, &actor, now).await?;
        let issued = match requested {
            Some(TokenRequest { options, .. }) => {
                let record = record.clone();
                let issued = self
                    .sessions
                    .issue(&mut transaction, record, &options, &actor, now);
                Some(issued.await?)
            }
            None => None,
        };
        match transaction.commit().await {
            Ok(()) => Ok(Some((record, issued))),
            // The commit may have given the attempt back.
            Err(error @ Error::OutcomeUnknown) => Err(error),
            Err(error) => self.throttle.give_back_if_failed(attempt, Err(error)).await,
        }
    }

    /// Verifies the password of a user who is already signed in. Returns the admission of the attempt, whose
    /// slot can be used to compute a new hash.
    pub(super) async fn confirm(
        &self,
        record: &UserRecord,
        password: NamedInput<&str>,
        actor: &Actor,
    ) -> Result<Admission, MutationError> {
        let confirmed = self.verify_current(record, password, actor).await;
        match &confirmed {
            Err(MutationError::Fields(_)) => self.metrics.count_wrong_confirmation(),
            Err(MutationError::Error(error)) => self.metrics.count(CONFIRMATION, Some(error)),
            Ok(_) => self.metrics.count(CONFIRMATION, None),
        }
        confirmed
    }

    async fn verify_current(
        &self,
        record: &UserRecord,
        password: NamedInput<&str>,
        actor: &Actor,
    ) -> Result<Admission, MutationError> {
        let id = record.user.id;
        let Admission { attempt, mut slot } = self.throttle.admit_confirmation(id, actor).await?;
        let stored = Some(record.password_hash.clone());
        let submitted = SubmittedPassword::new(password.value);
        let verdict = slot.verify(submitted, stored, false).await;
        let verdict = self.throttle.give_back_if_failed(&attempt, verdict).await?;
        if matches!(verdict, Verdict::Wrong) {
            let (actor, now) = (actor.clone(), self.clock.now());
            self.refused_attempts
                .record_failed_sign_in(Some(id), actor, now)
                .await?;
            let (code, message) = (
                FieldErrorCode::WrongPassword,
                "This is not the current password.",
            );
            return Err(FieldError::new(password.field, code, message).into());
        }
        Ok(Admission { attempt, slot })
    }
}

/// Records a sign-in in the audit trail, and the address of the client as an address of the user.
pub(super) async fn record_sign_in(
    transaction: &mut Transaction,
    user: UserId,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if let Some(network) = actor.client().and_then(Client::network) {
        transaction.remember_address(user, network, now).await?;
    }
    let event = NewAuditEvent::new(AuditEventKind::SignedIn, user, actor.clone(), now);
    transaction.record_event(event);
    Ok(())
}
