//! Change accounts: password, profile, role, disabling, deletion.

use std::sync::Arc;

use crate::clock::Clock;
use crate::error::{Error, Forbidden, Unauthenticated};
use crate::model::audit::{Actor, AuditEventKind, NewEvent};
use crate::model::form::{Change, FieldError, Problem, Refused};
use crate::model::password::PasswordRules;
use crate::model::user::{Account, Email, Role, User, UserId, Username};
use crate::service::access_tokens;
use crate::service::authentication::Authentication;
use crate::service::passwords::Passwords;
use crate::service::sign_in::Confirmed;
use crate::service::tokens::{IssuedToken, Tokens, ended_at, issued};
use crate::service::users::refuse_taken;
use crate::store::{ProfileChange, Store, Writing};

/// The accounts whose tokens one transaction ends, of all of them. Each has at most one session and 50 live
/// access tokens.
const REVOKED_AT_ONCE: u64 = 100;

/// What somebody typed to change a profile.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    pub(crate) username: Change<String>,
    /// `None` removes it.
    pub(crate) email: Change<Option<String>>,
}

/// What becomes of accounts that are there.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) passwords: Arc<Passwords>,
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
        let account = asking.account().await?;
        let new = (self.rules).choose(new, &account.user.username, "newPassword")?;
        asking.claim_verification()?;
        asking.claim_new_hash()?;
        let sign_in = &asking.services().sign_in;
        let confirmed = sign_in.confirm(&account, current, "currentPassword", asking.origin());
        let Confirmed { counted, mut slot } = confirmed.await?;
        let new = slot.hash(new).await?;
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
        counted.give_back(&writing).await?;
        let actor = asking.actor().await?;
        access_tokens::end_all(&mut writing, id, &actor, now).await?;
        let changed = NewEvent::new(AuditEventKind::PasswordChanged, id, actor.clone(), now);
        writing.record(changed);
        let issued_to = NewEvent::new(AuditEventKind::TokenIssued, id, actor, now);
        writing.record(issued_to.of_token(session.digest));
        writing.commit().await?;
        asking.look_again();
        Ok(issued(token, session.expires_at, account.user, now))
    }

    /// Deletes the account of whoever is asking, who has to know the password.
    pub(crate) async fn delete_own(
        &self,
        asking: &Authentication,
        password: &str,
    ) -> Result<UserId, Refused> {
        let account = asking.account().await?;
        asking.claim_verification()?;
        let sign_in = &asking.services().sign_in;
        let confirmed = sign_in.confirm(&account, password, "password", asking.origin());
        let Confirmed { counted, .. } = confirmed.await?;
        let (id, actor) = (account.user.id, asking.actor().await?);
        let confirmed = account.password_version;
        let (writing, account) = self.begin_own(id).await?;
        if account.password_version != confirmed {
            // Somebody else changed it, which ended the token.
            return Err(Unauthenticated::TokenExpired.into());
        }
        counted.give_back(&writing).await?;
        self.finish_deletion(writing, &account, &actor).await?;
        asking.look_again();
        Ok(id)
    }

    /// Changes name or e-mail address.
    pub(crate) async fn update(
        &self,
        actor: &Actor,
        id: UserId,
        profile: Profile,
    ) -> Result<User, Refused> {
        let username = match &profile.username {
            Change::Keep => Ok(Change::Keep),
            Change::To(name) => Username::parse(name).map(Change::To),
        };
        let email = match &profile.email {
            Change::Keep => Ok(Change::Keep),
            Change::To(None) => Ok(Change::To(None)),
            Change::To(Some(email)) => Email::parse(email).map(Some).map(Change::To),
        };
        let (username, email) = match (username, email) {
            (Ok(username), Ok(email)) => (username, email),
            (username, email) => {
                let errors = [username.err(), email.err()];
                return Err(Refused::Form(errors.into_iter().flatten().collect()));
            }
        };
        let change = ProfileChange { username, email };
        self.refuse_taken(&change, id).await?;
        let (writing, account) = if actor.user == Some(id) {
            self.begin_own(id).await?
        } else {
            self.begin(actor, id).await?
        };
        if let Change::To(new) = &change.username {
            refuse_mixed_scripts(new, &account)?;
        }
        if !writing.set_profile(id, &change).await? {
            drop(writing);
            self.refuse_taken(&change, id).await?;
            return Err(Error::internal("a value was taken, and is not any more").into());
        }
        self.finish(writing, AuditEventKind::ProfileChanged, id, actor)
            .await
    }

    /// Gives an account another role.
    pub(crate) async fn set_role(
        &self,
        actor: &Actor,
        id: UserId,
        role: Role,
    ) -> Result<User, Refused> {
        let (writing, account) = self.begin(actor, id).await?;
        if account.user.role == role {
            return Ok(account.user);
        }
        if role < Role::Admin {
            leave_an_admin(&writing, &account).await?;
        }
        writing.set_role(id, role).await?;
        self.finish(writing, AuditEventKind::RoleChanged, id, actor)
            .await
    }

    /// Gives an account another password, and ends every credential.
    pub(crate) async fn set_password(
        &self,
        actor: &Actor,
        id: UserId,
        new: &str,
    ) -> Result<User, Refused> {
        if actor.user == Some(id) {
            // With a stolen token nobody gets further than the token does.
            let why = "Your own password is changed with changePassword.".to_owned();
            return Err(Error::BadUserInput(why).into());
        }
        // Before the costly hash.
        let account = self.store.account_by_id(id).await?.ok_or_else(nobody)?;
        let new = (self.rules).choose(new, &account.user.username, "newPassword")?;
        let new = self.passwords.reserve()?.hash(new).await?;
        let (mut writing, account) = self.begin(actor, id).await?;
        self.end_tokens(&mut writing, &account, actor).await?;
        writing.set_password(id, &new).await?;
        self.finish(writing, AuditEventKind::PasswordChanged, id, actor)
            .await
    }

    /// Lets nobody sign in to an account any more, and ends every credential.
    pub(crate) async fn disable(&self, actor: &Actor, id: UserId) -> Result<User, Refused> {
        let (mut writing, account) = self.begin(actor, id).await?;
        if account.user.disabled_at.is_some() {
            return Ok(account.user);
        }
        leave_an_admin(&writing, &account).await?;
        self.end_tokens(&mut writing, &account, actor).await?;
        writing.set_disabled(id, Some(self.clock.now())).await?;
        self.finish(writing, AuditEventKind::Disabled, id, actor)
            .await
    }

    /// Lets people sign in again. What the account had of tokens stays dead.
    pub(crate) async fn enable(&self, actor: &Actor, id: UserId) -> Result<User, Refused> {
        let (writing, account) = self.begin(actor, id).await?;
        if account.user.disabled_at.is_none() {
            return Ok(account.user);
        }
        writing.set_disabled(id, None).await?;
        self.finish(writing, AuditEventKind::Enabled, id, actor)
            .await
    }

    /// Deletes an account.
    pub(crate) async fn delete(&self, actor: &Actor, id: UserId) -> Result<(), Refused> {
        let (writing, account) = self.begin(actor, id).await?;
        self.finish_deletion(writing, &account, actor).await
    }

    /// Ends every token of an account; how many were live.
    pub(crate) async fn revoke_tokens(&self, actor: &Actor, id: UserId) -> Result<u32, Refused> {
        let (mut writing, account) = self.begin(actor, id).await?;
        let ended = self.end_tokens(&mut writing, &account, actor).await?;
        writing.commit().await?;
        Ok(ended)
    }

    /// Ends every token of whoever is asking; how many were live.
    pub(crate) async fn revoke_own_tokens(&self, asking: &Authentication) -> Result<u32, Refused> {
        let account = asking.account().await?;
        let actor = Actor::new(account.user.id, asking.origin());
        let (mut writing, account) = self.begin_own(account.user.id).await?;
        let ended = self.end_tokens(&mut writing, &account, &actor).await?;
        writing.commit().await?;
        asking.look_again();
        Ok(ended)
    }

    /// Ends every token of all accounts, in transactions of a bounded number of accounts; how many were live. If
    /// it fails half-way, it can be repeated.
    pub(crate) async fn revoke_all_tokens(&self, actor: &Actor) -> Result<u64, Error> {
        let (mut after, mut live) = (None, 0);
        loop {
            let mut writing = self.store.write().await?;
            let accounts = writing.accounts_with_tokens(after, REVOKED_AT_ONCE).await?;
            let Some(last) = accounts.last() else {
                return Ok(live);
            };
            after = Some(last.user.id);
            for account in &accounts {
                live += u64::from(self.end_tokens(&mut writing, account, actor).await?);
            }
            writing.commit().await?;
        }
    }

    async fn refuse_taken(&self, change: &ProfileChange, own: UserId) -> Result<(), Refused> {
        let username = match &change.username {
            Change::To(username) => Some(username),
            Change::Keep => None,
        };
        let email = match &change.email {
            Change::To(email) => email.as_ref(),
            Change::Keep => None,
        };
        refuse_taken(self.store.taken(username, email, Some(own)).await?)
    }

    /// Begins a change of an account, by the operator or by whoever still is an admin.
    async fn begin(&self, actor: &Actor, id: UserId) -> Result<(Writing, Account), Refused> {
        let Some(user) = actor.user else {
            return self.begin_own(id).await;
        };
        let writing = self.store.write().await?;
        let (account, actor) = if id < user {
            let account = writing.account(id).await?;
            (account, writing.account(user).await?)
        } else {
            let actor = writing.account(user).await?;
            (writing.account(id).await?, actor)
        };
        let account = account.ok_or_else(|| self.not_found(id))?;
        let is_admin = |user: User| user.role == Role::Admin && user.disabled_at.is_none();
        if !actor.is_some_and(|actor| is_admin(actor.user)) {
            return Err(Forbidden::RoleRequired.into());
        }
        Ok((writing, account))
    }

    /// Begins a change of an account by its owner.
    async fn begin_own(&self, id: UserId) -> Result<(Writing, Account), Refused> {
        let writing = self.store.write().await?;
        let account = writing.account(id).await?;
        let account = account.ok_or_else(|| self.not_found(id))?;
        Ok((writing, account))
    }

    /// The account may have been deleted by another process.
    fn not_found(&self, id: UserId) -> Refused {
        self.store.invalidate(id);
        nobody()
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
        writing.record(deleted);
        Ok(writing.commit().await?)
    }

    async fn finish(
        &self,
        mut writing: Writing,
        kind: AuditEventKind,
        id: UserId,
        actor: &Actor,
    ) -> Result<User, Refused> {
        let event = NewEvent::new(kind, id, actor.clone(), self.clock.now());
        writing.record(event);
        let account = writing.account(id).await?.ok_or_else(nobody)?;
        writing.commit().await?;
        Ok(account.user)
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

/// Refuses a new name that mixes scripts. Another spelling of the present name is not new.
fn refuse_mixed_scripts(new: &Username, account: &Account) -> Result<(), FieldError> {
    let present = Username::parse(&account.user.username);
    if present.is_ok_and(|present| present.canonical == new.canonical) {
        return Ok(());
    }
    Username::choose(&new.display).map(drop)
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
