//! Verify passwords: count the attempt, compute the hash, and note how it went.

use std::sync::Arc;

use crate::clock::Clock;
use crate::error::{Error, Unauthenticated};
use crate::model::audit_event::{Actor, AuditEventKind, Client, Credential, NewEvent};
use crate::model::credentials::UserPass;
use crate::model::password::{PasswordHash, SubmittedPassword};
use crate::model::user_record::UserRecord;
use crate::model::username::Username;
use crate::model::validation::{FieldError, FieldErrorCode, MutationError};
use crate::service::audit_trail::Audit;
use crate::service::passwords::{Slot, Verdict};
use crate::service::sessions::{IssuedToken, Sessions, TokenOptions};
use crate::service::throttle::{Admitted, Counted, Throttle};
use crate::store::Store;

/// Guesses of passwords, right ones and wrong ones.
#[derive(Debug)]
pub(crate) struct SignIn {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) tokens: Arc<Sessions>,
}

/// A password that was confirmed.
pub(crate) struct Confirmed {
    /// The attempt, to be taken back with whatever is done next.
    pub(crate) counted: Counted,
    /// A place in the pool, for the hash of another password.
    pub(crate) slot: Slot,
}

impl SignIn {
    /// Verifies a name and a password, and hands out a token if one is wanted. Unknown user, wrong
    /// password and disabled user are the same error after the same work.
    pub(crate) async fn by_password(
        &self,
        given: &UserPass,
        wanted: Option<TokenOptions>,
        client: &Client,
    ) -> Result<(UserRecord, Option<IssuedToken>), Error> {
        let username = Username::parse(&given.username);
        // No account has the empty name; the question costs the same.
        let canonical = username.as_ref().map_or("", |name| &name.canonical);
        let account = self.store.find_user_by_name(canonical).await?;
        let id = account.as_ref().map(|account| account.user.id);
        let admitted = self.throttle.sign_in(&given.username, id, client);
        let Admitted { counted, slot } = admitted.await?;
        let stored = account.as_ref();
        let stored = stored.map(|account| account.password_hash.clone());
        let account = account.filter(|account| !account.user.is_disabled());
        let password = SubmittedPassword::new(&given.password);
        let (verdict, _) = self
            .verdict(password, stored, account.is_some(), slot, &counted)
            .await?;
        let rehashed = match verdict {
            Verdict::Wrong => None,
            Verdict::Right => Some(None),
            Verdict::Outdated(new) => Some(Some(new)),
        };
        if let (Some(account), Some(rehashed)) = (account, rehashed) {
            let user = account.user.id;
            let mut transaction = self.store.begin().await?;
            let now = self.clock.now();
            let signed_in = transaction.record_sign_in(&account, rehashed, now);
            if let Some(account) = signed_in.await? {
                counted.give_back(&transaction).await?;
                if let Some(network) = client.network() {
                    transaction.insert_known_address(user, network, now).await?;
                }
                let actor = Actor::user(user, Credential::Password, client);
                let event = NewEvent::new(AuditEventKind::SignedIn, user, actor, now);
                transaction.record_event(event);
                let mut issued = None;
                if let Some(wanted) = wanted {
                    let account = account.clone();
                    let issue = self
                        .tokens
                        .issue(&mut transaction, account, wanted, client, now);
                    issued = Some(issue.await?);
                }
                transaction.commit().await?;
                return Ok((account, issued));
            }
        }
        let now = self.clock.now();
        let actor = Actor::Anonymous(client.clone());
        self.audit.sign_in_failed(id, actor, now).await?;
        Err(Unauthenticated::InvalidCredentials.into())
    }

    /// Verifies the password of an account whose own session asks; the error is for `field`.
    pub(crate) async fn confirm(
        &self,
        account: &UserRecord,
        password: &str,
        field: &'static str,
        actor: &Actor,
    ) -> Result<Confirmed, MutationError> {
        let id = account.user.id;
        let client = actor.client().cloned().unwrap_or_default();
        let admitted = self.throttle.confirmation(id, &client).await?;
        let Admitted { counted, slot } = admitted;
        let stored = Some(account.password_hash.clone());
        let password = SubmittedPassword::new(password);
        let (verdict, slot) = self
            .verdict(password, stored, false, slot, &counted)
            .await?;
        if matches!(verdict, Verdict::Wrong) {
            let now = self.clock.now();
            let actor = actor.clone();
            self.audit.sign_in_failed(Some(id), actor, now).await?;
            let message = "This is not the present password.";
            return Err(FieldError::new(field, FieldErrorCode::WrongPassword, message).into());
        }
        Ok(Confirmed { counted, slot })
    }

    async fn verdict(
        &self,
        password: SubmittedPassword,
        stored: Option<PasswordHash>,
        rehash: bool,
        mut slot: Slot,
        counted: &Counted,
    ) -> Result<(Verdict, Slot), Error> {
        let verdict = slot.verify(password, stored, rehash).await;
        let verdict = self.throttle.give_back_if_failed(counted, verdict).await?;
        Ok((verdict, slot))
    }
}
