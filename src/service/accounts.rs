//! Change accounts: password, profile, role, disabling, deletion.

use std::sync::Arc;

use crate::clock::Clock;
use crate::error::{Error, Unauthenticated};
use crate::model::audit::{Actor, AuditEventKind, Detail, NewEvent};
use crate::model::form::{FieldError, Problem, Refused};
use crate::model::password::PasswordRules;
use crate::model::requirement::Requirement;
use crate::model::user::{Account, Role, User, UserId};
use crate::service::access_tokens;
use crate::service::authentication::Authentication;
use crate::service::authorization::{Authorized, Caller};
use crate::service::sign_in::Confirmed;
use crate::service::throttle::{Admitted, Throttle};
use crate::service::tokens::{IssuedToken, Tokens, ended_at, issued};
use crate::service::visible_user::VisibleUser;
use crate::store::{Store, Writing};

/// The accounts whose tokens one transaction ends, of all of them. Each has at most one session and 50 live
/// access tokens.
const REVOKED_AT_ONCE: u64 = 100;

/// What becomes of accounts that are there.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) rules: PasswordRules,
}

impl Accounts {
    /// Changes the password of whoever is asking, who has to know the present one. It ends every
    /// credential, since others may have a copy of the token, and gives a new token.
    pub(crate) async fn change_password(
        &self,
        asking: &Authentication,
        tokens: &Tokens,
        current: &str,
        new: &str,
    ) -> Result<IssuedToken, Refused> {
        let by = Caller::from(asking)
            .authorize(&Requirement::SESSION)
            .await?;
        let account = self.own(&by).await?;
        let new = (self.rules).choose(new, &account.user.username, "newPassword")?;
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
        let mut writing = self.store.write().await?;
        if !writing
            .change_password(&account, &new, &session, now)
            .await?
        {
            // Somebody else changed it, or disabled the account; both ended the token.
            return Err(Unauthenticated::TokenExpired.into());
        }
        self.throttle.clear(&writing, &account.user).await?;
        let actor = by.actor();
        access_tokens::end_all(&mut writing, id, actor, now).await?;
        let changed = NewEvent::new(AuditEventKind::PasswordChanged, id, actor.clone(), now);
        writing.record(changed);
        let issued_to = NewEvent::new(AuditEventKind::TokenIssued, id, actor.clone(), now);
        writing.record(issued_to.of_token(session.digest));
        writing.commit().await?;
        by.look_again();
        Ok(issued(token, session.expires_at, account.user, now))
    }

    /// Deletes an account: the caller's own, with its password, or, for admins, another one.
    pub(crate) async fn delete(
        &self,
        caller: Caller<'_>,
        id: Option<UserId>,
        password: &str,
    ) -> Result<UserId, Refused> {
        let (id, is_own) = target(caller, id).await?;
        if !is_own {
            let by = caller
                .authorize(&Requirement::WRITE.by(Role::Admin))
                .await?;
            let (writing, account) = self.begin(&by, id).await?;
            self.finish_deletion(writing, &account, by.actor()).await?;
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
        let (writing, account) = self.begin(&by, id).await?;
        if let Some((version, counted)) = confirmed {
            if account.password_version != version {
                // A change of the password ended the token.
                return Err(Unauthenticated::TokenExpired.into());
            }
            counted.give_back(&writing).await?;
        }
        self.finish_deletion(writing, &account, by.actor()).await?;
        Ok(id)
    }

    /// Gives an account another role.
    pub(crate) async fn set_role(
        &self,
        caller: Caller<'_>,
        id: UserId,
        role: Role,
    ) -> Result<VisibleUser, Refused> {
        let needed = Requirement::PASSWORD.by(Role::Admin);
        let by = caller.authorize(&needed).await?;
        let (writing, account) = self.begin(&by, id).await?;
        if account.user.role == role {
            return Ok(by.viewer().sees(account.user));
        }
        if role < Role::Admin {
            leave_an_admin(&writing, &account).await?;
        }
        writing.set_role(id, role).await?;
        let (old, new) = (account.user.role, role);
        let detail = Detail::Role { old, new };
        self.finish_with(writing, AuditEventKind::RoleChanged, id, &by, detail)
            .await
    }

    /// Gives an account another password, and ends every credential.
    pub(crate) async fn set_password(
        &self,
        caller: Caller<'_>,
        id: UserId,
        new: &str,
    ) -> Result<VisibleUser, Refused> {
        let needed = Requirement::PASSWORD.by(Role::Admin);
        let by = caller.authorize(&needed).await?;
        by.claim_new_hash()?;
        if by.user_id() == Some(id) {
            let why = "Your own password is changed with changePassword.".to_owned();
            return Err(Error::BadUserInput(why).into());
        }
        // Before the costly hash.
        let account = self.store.account_by_id(id).await?.ok_or_else(nobody)?;
        let new = (self.rules).choose(new, &account.user.username, "newPassword")?;
        let admitted = self.throttle.new_password(by.actor());
        let Admitted { counted, mut slot } = admitted.await?;
        let new = slot.hash(new).await;
        drop(slot);
        let new = self.throttle.give_back_if_failed(&counted, new).await?;
        let (mut writing, account) = self.begin(&by, id).await?;
        self.end_tokens(&mut writing, &account, by.actor()).await?;
        writing.set_password(id, &new).await?;
        self.throttle.clear(&writing, &account.user).await?;
        self.finish(writing, AuditEventKind::PasswordChanged, id, &by)
            .await
    }

    /// Lets nobody sign in to an account any more, and ends every credential.
    pub(crate) async fn disable(
        &self,
        caller: Caller<'_>,
        id: UserId,
    ) -> Result<VisibleUser, Refused> {
        let by = caller
            .authorize(&Requirement::WRITE.by(Role::Admin))
            .await?;
        let (mut writing, account) = self.begin(&by, id).await?;
        if account.user.disabled_at.is_some() {
            return Ok(by.viewer().sees(account.user));
        }
        leave_an_admin(&writing, &account).await?;
        self.end_tokens(&mut writing, &account, by.actor()).await?;
        writing.set_disabled(id, Some(self.clock.now())).await?;
        self.finish(writing, AuditEventKind::Disabled, id, &by)
            .await
    }

    /// Lets people sign in again. What the account had of tokens stays dead.
    pub(crate) async fn enable(
        &self,
        caller: Caller<'_>,
        id: UserId,
    ) -> Result<VisibleUser, Refused> {
        let needed = Requirement::PASSWORD.by(Role::Admin);
        let by = caller.authorize(&needed).await?;
        let (writing, account) = self.begin(&by, id).await?;
        if account.user.disabled_at.is_none() {
            return Ok(by.viewer().sees(account.user));
        }
        writing.set_disabled(id, None).await?;
        self.finish(writing, AuditEventKind::Enabled, id, &by).await
    }

    /// Ends every token of an account; how many were live.
    pub(crate) async fn revoke_tokens(
        &self,
        caller: Caller<'_>,
        id: UserId,
    ) -> Result<u32, Refused> {
        let by = caller
            .authorize(&Requirement::WRITE.by(Role::Admin))
            .await?;
        self.revoke(&by, id).await
    }

    /// Ends every token of the caller; how many were live.
    pub(crate) async fn revoke_own_tokens(&self, caller: Caller<'_>) -> Result<u32, Refused> {
        let by = caller.authorize(&Requirement::WRITE).await?;
        let own = by.user_id().ok_or(Unauthenticated::Missing)?;
        self.revoke(&by, own).await
    }

    async fn revoke(&self, by: &Authorized, id: UserId) -> Result<u32, Refused> {
        let (mut writing, account) = self.begin(by, id).await?;
        let ended = self.end_tokens(&mut writing, &account, by.actor());
        let ended = ended.await?;
        writing.commit().await?;
        Ok(ended)
    }

    /// The account of the caller, with the password.
    async fn own(&self, by: &Authorized) -> Result<Account, Error> {
        let own = by.user_id().ok_or(Unauthenticated::Missing)?;
        let account = self.store.account_by_id(own).await?;
        account.ok_or_else(|| Unauthenticated::TokenInvalid.into())
    }

    /// Ends every token of all accounts, in transactions of a bounded number of accounts; how many were live. If
    /// it fails half-way, it can be repeated.
    pub(crate) async fn revoke_all_tokens(&self, caller: Caller<'_>) -> Result<u64, Error> {
        let needed = Requirement::PASSWORD.by(Role::Admin);
        let by = caller.authorize(&needed).await?;
        let (mut after, mut live) = (None, 0);
        loop {
            let mut writing = self.store.write().await?;
            let accounts = writing.accounts_with_tokens(after, REVOKED_AT_ONCE).await?;
            let Some(last) = accounts.last() else {
                return Ok(live);
            };
            after = Some(last.user.id);
            for account in &accounts {
                let ended = self.end_tokens(&mut writing, account, by.actor());
                live += u64::from(ended.await?);
            }
            writing.commit().await?;
        }
    }

    /// Begins a change of an account. The account of the caller is locked with it, and what authorizes
    /// the caller is checked again.
    pub(super) async fn begin(
        &self,
        by: &Authorized,
        id: UserId,
    ) -> Result<(Writing, Account), Refused> {
        by.look_again();
        let writing = self.store.write().await?;
        let (account, acting) = match by.user_id() {
            Some(acting) if acting < id => {
                let acting = writing.account(acting).await?;
                (writing.account(id).await?, acting)
            }
            Some(acting) if acting > id => {
                let account = writing.account(id).await?;
                (account, writing.account(acting).await?)
            }
            Some(_) | None => {
                let account = writing.account(id).await?;
                (account.clone(), account)
            }
        };
        let account = account.ok_or_else(nobody)?;
        by.check_again(acting.as_ref())?;
        Ok((writing, account))
    }

    async fn finish_deletion(
        &self,
        mut writing: Writing,
        account: &Account,
        actor: &Actor,
    ) -> Result<(), Refused> {
        leave_an_admin(&writing, account).await?;
        let id = account.user.id;
        self.end_tokens(&mut writing, account, actor).await?;
        writing.delete_user(id).await?;
        let now = self.clock.now();
        let deleted = NewEvent::new(AuditEventKind::Deleted, id, actor.clone(), now);
        let username = account.user.username.clone();
        writing.record(deleted.with(Detail::Deleted { username }));
        Ok(writing.commit().await?)
    }

    pub(super) async fn finish(
        &self,
        writing: Writing,
        kind: AuditEventKind,
        id: UserId,
        by: &Authorized,
    ) -> Result<VisibleUser, Refused> {
        self.finish_with(writing, kind, id, by, Detail::None).await
    }

    pub(super) async fn finish_with(
        &self,
        mut writing: Writing,
        kind: AuditEventKind,
        id: UserId,
        by: &Authorized,
        detail: Detail,
    ) -> Result<VisibleUser, Refused> {
        let event = NewEvent::new(kind, id, by.actor().clone(), self.clock.now());
        writing.record(event.with(detail));
        let account = writing.account(id).await?.ok_or_else(nobody)?;
        writing.commit().await?;
        Ok(by.viewer().sees(account.user))
    }

    /// Ends every token of an account; how many were live.
    async fn end_tokens(
        &self,
        writing: &mut Writing,
        account: &Account,
        actor: &Actor,
    ) -> Result<u32, Error> {
        let now = self.clock.now();
        let id = account.user.id;
        writing.end_session_of(id, ended_at(now)).await?;
        let mut live = access_tokens::end_all(writing, id, actor, now).await?;
        if let Some(session) = account.session.filter(|session| session.is_live(now)) {
            let event = NewEvent::new(AuditEventKind::TokenRevoked, id, actor.clone(), now);
            writing.record(event.of_token(session.digest));
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
async fn leave_an_admin(writing: &Writing, account: &Account) -> Result<(), Refused> {
    let User {
        id,
        role,
        disabled_at,
        ..
    } = account.user;
    let is_one = role == Role::Admin && disabled_at.is_none();
    if is_one && !writing.has_admin_beside(id).await? {
        let message = "There would be no admin left.";
        return Err(FieldError::new("id", Problem::LastAdmin, message).into());
    }
    Ok(())
}

fn nobody() -> Refused {
    FieldError::new("id", Problem::Invalid, "There is no such account.").into()
}
