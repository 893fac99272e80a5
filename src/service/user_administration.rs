//! Change accounts: password, profile, role, disabling, deletion.

use std::sync::Arc;

use crate::clock::Clock;
use crate::error::{Error, Unauthenticated};
use crate::model::audit_event::{Actor, AuditEventKind, EventDetail, NewEvent};
use crate::model::password::PasswordRules;
use crate::model::requirement::Requirement;
use crate::model::user::{Role, User, UserId};
use crate::model::user_record::UserRecord;
use crate::model::validation::{FieldError, FieldErrorCode, MutationError};
use crate::service::access_tokens;
use crate::service::authentication::Authentication;
use crate::service::authorization::{Authorized, Caller};
use crate::service::sessions::{IssuedToken, Sessions, ended_at, issued};
use crate::service::sign_in::Confirmed;
use crate::service::throttle::{Admitted, Throttle};
use crate::service::visible_user::VisibleUser;
use crate::store::{Store, Transaction};

/// The accounts whose tokens one transaction ends, of all of them. Each has at most one session and 50 live
/// access tokens.
const REVOKED_AT_ONCE: u64 = 100;

/// What becomes of accounts that are there.
#[derive(Debug)]
pub(crate) struct UserAdministration {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) rules: PasswordRules,
}

impl UserAdministration {
    /// Changes the password of whoever is asking, who has to know the present one. It ends every
    /// credential, since others may have a copy of the token, and gives a new token.
    pub(crate) async fn change_password(
        &self,
        asking: &Authentication,
        tokens: &Sessions,
        current: &str,
        new: &str,
    ) -> Result<IssuedToken, MutationError> {
        let by = Caller::from(asking)
            .authorize(&Requirement::SESSION)
            .await?;
        let account = self.own(&by).await?;
        let new = (self.rules).parse_new(new, &account.user.username, "newPassword")?;
        asking.claim_verification()?;
        asking.claim_new_hash()?;
        let sign_in = &asking.services().sign_in;
        let confirmed = sign_in.confirm(&account, current, "currentPassword", by.actor());
        let Confirmed { counted, mut slot } = confirmed.await?;
        let new = slot.hash(new).await;
        drop(slot);
        let new = self.throttle.give_back_if_failed(&counted, new).await?;
        let (id, now) = (account.user.id, self.clock.now());
        let (token, session) = tokens.new_session(id, None, now)?;
        let mut transaction = self.store.begin().await?;
        if !transaction
            .change_password(&account, &new, &session, now)
            .await?
        {
            // Somebody else changed it, or disabled the account; both ended the token.
            return Err(Unauthenticated::TokenExpired.into());
        }
        self.throttle.clear(&transaction, &account.user).await?;
        let actor = by.actor();
        access_tokens::end_all(&mut transaction, id, actor, now).await?;
        let changed = NewEvent::new(AuditEventKind::PasswordChanged, id, actor.clone(), now);
        transaction.record_event(changed);
        let issued_to = NewEvent::new(AuditEventKind::TokenIssued, id, actor.clone(), now);
        transaction.record_event(issued_to.with_token(session.digest));
        transaction.commit().await?;
        by.discard_identity();
        Ok(issued(token, session.expires_at, account.user, now))
    }

    /// Deletes an account: the caller's own, with its password, or, for admins, another one.
    pub(crate) async fn delete(
        &self,
        caller: Caller<'_>,
        id: Option<UserId>,
        password: &str,
    ) -> Result<UserId, MutationError> {
        let (id, is_own) = target(caller, id).await?;
        if !is_own {
            let by = caller
                .authorize(&Requirement::WRITE.with_role(Role::Admin))
                .await?;
            let (transaction, account) = self.begin(&by, id).await?;
            self.finish_deletion(transaction, &account, by.actor())
                .await?;
            return Ok(id);
        }
        let by = caller.authorize(&Requirement::WRITE).await?;
        let confirmed = match caller {
            // Basic credentials are the password.
            Caller::Request(asking) if !by.is_by_password() => {
                let account = self.own(&by).await?;
                asking.claim_verification()?;
                let sign_in = &asking.services().sign_in;
                let confirmed = sign_in.confirm(&account, password, "password", by.actor());
                Some((account.password_version, confirmed.await?.counted))
            }
            Caller::Request(_) | Caller::Operator => None,
        };
        let (transaction, account) = self.begin(&by, id).await?;
        if let Some((version, counted)) = confirmed {
            if account.password_version != version {
                // A change of the password ended the token.
                return Err(Unauthenticated::TokenExpired.into());
            }
            counted.give_back(&transaction).await?;
        }
        self.finish_deletion(transaction, &account, by.actor())
            .await?;
        Ok(id)
    }

    /// Gives an account another role.
    pub(crate) async fn set_role(
        &self,
        caller: Caller<'_>,
        id: UserId,
        role: Role,
    ) -> Result<VisibleUser, MutationError> {
        let needed = Requirement::PASSWORD.with_role(Role::Admin);
        let by = caller.authorize(&needed).await?;
        let (transaction, account) = self.begin(&by, id).await?;
        if account.user.role == role {
            return Ok(by.viewer().sees(account.user));
        }
        if role < Role::Admin {
            leave_an_admin(&transaction, &account).await?;
        }
        transaction.set_role(id, role).await?;
        let (old, new) = (account.user.role, role);
        let detail = EventDetail::Role { old, new };
        self.finish_with(transaction, AuditEventKind::RoleChanged, id, &by, detail)
            .await
    }

    /// Gives an account another password, and ends every credential.
    pub(crate) async fn set_password(
        &self,
        caller: Caller<'_>,
        id: UserId,
        new: &str,
    ) -> Result<VisibleUser, MutationError> {
        let needed = Requirement::PASSWORD.with_role(Role::Admin);
        let by = caller.authorize(&needed).await?;
        by.claim_new_hash()?;
        if by.user_id() == Some(id) {
            let why = "Your own password is changed with changePassword.".to_owned();
            return Err(Error::BadUserInput(why).into());
        }
        // Before the costly hash.
        let account = self
            .store
            .find_user_by_id(id)
            .await?
            .ok_or_else(no_such_user)?;
        let new = (self.rules).parse_new(new, &account.user.username, "newPassword")?;
        let admitted = self.throttle.new_password(by.actor());
        let Admitted { counted, mut slot } = admitted.await?;
        let new = slot.hash(new).await;
        drop(slot);
        let new = self.throttle.give_back_if_failed(&counted, new).await?;
        let (mut transaction, account) = self.begin(&by, id).await?;
        self.end_tokens(&mut transaction, &account, by.actor())
            .await?;
        transaction.set_password(id, &new).await?;
        self.throttle.clear(&transaction, &account.user).await?;
        self.finish(transaction, AuditEventKind::PasswordChanged, id, &by)
            .await
    }

    /// Lets nobody sign in to an account any more, and ends every credential.
    pub(crate) async fn disable(
        &self,
        caller: Caller<'_>,
        id: UserId,
    ) -> Result<VisibleUser, MutationError> {
        let by = caller
            .authorize(&Requirement::WRITE.with_role(Role::Admin))
            .await?;
        let (mut transaction, account) = self.begin(&by, id).await?;
        if account.user.is_disabled() {
            return Ok(by.viewer().sees(account.user));
        }
        leave_an_admin(&transaction, &account).await?;
        self.end_tokens(&mut transaction, &account, by.actor())
            .await?;
        transaction.set_disabled(id, Some(self.clock.now())).await?;
        self.finish(transaction, AuditEventKind::Disabled, id, &by)
            .await
    }

    /// Lets people sign in again. What the account had of tokens stays dead.
    pub(crate) async fn enable(
        &self,
        caller: Caller<'_>,
        id: UserId,
    ) -> Result<VisibleUser, MutationError> {
        let needed = Requirement::PASSWORD.with_role(Role::Admin);
        let by = caller.authorize(&needed).await?;
        let (transaction, account) = self.begin(&by, id).await?;
        if !account.user.is_disabled() {
            return Ok(by.viewer().sees(account.user));
        }
        transaction.set_disabled(id, None).await?;
        self.finish(transaction, AuditEventKind::Enabled, id, &by)
            .await
    }

    /// Ends every token of an account; how many were live.
    pub(crate) async fn revoke_tokens(
        &self,
        caller: Caller<'_>,
        id: UserId,
    ) -> Result<u32, MutationError> {
        let by = caller
            .authorize(&Requirement::WRITE.with_role(Role::Admin))
            .await?;
        self.revoke(&by, id).await
    }

    /// Ends every token of the caller; how many were live.
    pub(crate) async fn revoke_own_tokens(&self, caller: Caller<'_>) -> Result<u32, MutationError> {
        let by = caller.authorize(&Requirement::WRITE).await?;
        let own = by.user_id().ok_or(Unauthenticated::Missing)?;
        self.revoke(&by, own).await
    }

    async fn revoke(&self, by: &Authorized, id: UserId) -> Result<u32, MutationError> {
        let (mut transaction, account) = self.begin(by, id).await?;
        let ended = self.end_tokens(&mut transaction, &account, by.actor());
        let ended = ended.await?;
        transaction.commit().await?;
        Ok(ended)
    }

    /// The account of the caller, with the password.
    async fn own(&self, by: &Authorized) -> Result<UserRecord, Error> {
        let own = by.user_id().ok_or(Unauthenticated::Missing)?;
        let account = self.store.find_user_by_id(own).await?;
        account.ok_or_else(|| Unauthenticated::TokenInvalid.into())
    }

    /// Ends every token of all accounts, in transactions of a bounded number of accounts; how many were live. If
    /// it fails half-way, it can be repeated.
    pub(crate) async fn revoke_all_tokens(&self, caller: Caller<'_>) -> Result<u64, Error> {
        let needed = Requirement::PASSWORD.with_role(Role::Admin);
        let by = caller.authorize(&needed).await?;
        let (mut after, mut live) = (None, 0);
        loop {
            let mut transaction = self.store.begin().await?;
            let accounts = transaction
                .users_with_tokens(after, REVOKED_AT_ONCE)
                .await?;
            let Some(last) = accounts.last() else {
                return Ok(live);
            };
            after = Some(last.user.id);
            for account in &accounts {
                let ended = self.end_tokens(&mut transaction, account, by.actor());
                live += u64::from(ended.await?);
            }
            transaction.commit().await?;
        }
    }

    /// Begins a change of an account. The account of the caller is locked with it, and what authorizes
    /// the caller is checked again.
    pub(super) async fn begin(
        &self,
        by: &Authorized,
        id: UserId,
    ) -> Result<(Transaction, UserRecord), MutationError> {
        by.discard_identity();
        let transaction = self.store.begin().await?;
        let (account, acting) = match by.user_id() {
            Some(acting) if acting < id => {
                let acting = transaction.lock_user(acting).await?;
                (transaction.lock_user(id).await?, acting)
            }
            Some(acting) if acting > id => {
                let account = transaction.lock_user(id).await?;
                (account, transaction.lock_user(acting).await?)
            }
            Some(_) | None => {
                let account = transaction.lock_user(id).await?;
                (account.clone(), account)
            }
        };
        let account = account.ok_or_else(no_such_user)?;
        by.check_again(acting.as_ref())?;
        Ok((transaction, account))
    }

    async fn finish_deletion(
        &self,
        mut transaction: Transaction,
        account: &UserRecord,
        actor: &Actor,
    ) -> Result<(), MutationError> {
        leave_an_admin(&transaction, account).await?;
        let id = account.user.id;
        self.end_tokens(&mut transaction, account, actor).await?;
        transaction.delete_user(id).await?;
        let now = self.clock.now();
        let deleted = NewEvent::new(AuditEventKind::Deleted, id, actor.clone(), now);
        let username = account.user.username.clone();
        transaction.record_event(deleted.with(EventDetail::Deleted { username }));
        Ok(transaction.commit().await?)
    }

    pub(super) async fn finish(
        &self,
        transaction: Transaction,
        kind: AuditEventKind,
        id: UserId,
        by: &Authorized,
    ) -> Result<VisibleUser, MutationError> {
        self.finish_with(transaction, kind, id, by, EventDetail::None)
            .await
    }

    pub(super) async fn finish_with(
        &self,
        mut transaction: Transaction,
        kind: AuditEventKind,
        id: UserId,
        by: &Authorized,
        detail: EventDetail,
    ) -> Result<VisibleUser, MutationError> {
        let event = NewEvent::new(kind, id, by.actor().clone(), self.clock.now());
        transaction.record_event(event.with(detail));
        let account = transaction.lock_user(id).await?.ok_or_else(no_such_user)?;
        transaction.commit().await?;
        Ok(by.viewer().sees(account.user))
    }

    /// Ends every token of an account; how many were live.
    async fn end_tokens(
        &self,
        transaction: &mut Transaction,
        account: &UserRecord,
        actor: &Actor,
    ) -> Result<u32, Error> {
        let now = self.clock.now();
        let id = account.user.id;
        transaction.end_session_of_user(id, ended_at(now)).await?;
        let mut live = access_tokens::end_all(transaction, id, actor, now).await?;
        if let Some(session) = account.session.filter(|session| session.is_live(now)) {
            let event = NewEvent::new(AuditEventKind::TokenRevoked, id, actor.clone(), now);
            transaction.record_event(event.with_token(session.digest));
            live += 1;
        }
        Ok(live)
    }
}

/// The account that an operation is about, which is the caller's own without an id, and whether it is the
/// caller's own.
pub(super) async fn target(
    caller: Caller<'_>,
    id: Option<UserId>,
) -> Result<(UserId, bool), Error> {
    let viewer = caller.require(&Requirement::ANY).await?;
    let own = viewer.user().map(|user| user.id);
    let id = id.or(own).ok_or(Unauthenticated::Missing)?;
    Ok((id, own == Some(id)))
}

/// Refuses to take the last admin away who may sign in.
async fn leave_an_admin(
    transaction: &Transaction,
    account: &UserRecord,
) -> Result<(), MutationError> {
    let User {
        id,
        role,
        disabled_at,
        ..
    } = account.user;
    let is_one = role == Role::Admin && disabled_at.is_none();
    if is_one && !transaction.has_other_active_admin(id).await? {
        let message = "There would be no admin left.";
        return Err(FieldError::new("id", FieldErrorCode::LastAdmin, message).into());
    }
    Ok(())
}

fn no_such_user() -> MutationError {
    FieldError::new("id", FieldErrorCode::Invalid, "There is no such account.").into()
}
