//! The door for programs of whoever runs the server: no credentials, no throttle, no limits.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, StartError};
use crate::model::audit::{Actor, AuditEvent, EventFilter};
use crate::model::form::Refused;
use crate::model::import::{Imported, ImportedAccount};
use crate::model::page::PageRequest;
use crate::model::token::LiveToken;
use crate::model::user::{Role, User, UserId};
use crate::service::Services;
use crate::service::users::Registration;

/// How many entries of a list come at once.
const PAGE: u64 = 1000;

/// What the operator may do, without credentials; from [`Symbolon::operator`](crate::Symbolon::operator).
///
/// It may work on the database of a server that runs: what it ends is refused there at the very next
/// request, or on PostgreSQL a moment later (1.25 s at the most).
#[derive(Clone, Debug)]
pub struct Operator {
    services: Arc<Services>,
}

impl Operator {
    pub(crate) fn new(services: Arc<Services>) -> Self {
        Self { services }
    }

    /// Adds an account, even where registration is closed.
    pub async fn add_user(&self, new: &Registration, role: Role) -> Result<User, Refused> {
        self.services.users.add(new, role).await
    }

    /// Whoever has this name, however it is spelt.
    pub async fn user(&self, username: &str) -> Result<Option<User>, Error> {
        self.services.users.by_username(username).await
    }

    /// Whoever has this number; nobody, once the account is deleted.
    pub async fn user_by_id(&self, id: UserId) -> Result<Option<User>, Error> {
        self.services.users.by_id(id).await
    }

    /// The accounts that come after this one, in the order of their ids; 1,000 at most.
    pub async fn users(&self, after: Option<UserId>) -> Result<Vec<User>, Error> {
        let stretch = PageRequest {
            after: after.map(|id| id.0),
            limit: PAGE,
            ..PageRequest::default()
        };
        Ok(self.services.users.page(stretch).await?.items)
    }

    /// Takes over accounts of another system, in one step; what became of each. Those that exist
    /// are left as they are, so it can simply be done again. A dry run only says what would become
    /// of them.
    pub async fn import(
        &self,
        accounts: Vec<ImportedAccount>,
        dry_run: bool,
    ) -> Result<Vec<Imported>, Error> {
        self.services.import.run(accounts, dry_run).await
    }

    /// Gives an account another password, and ends its tokens.
    pub async fn set_password(&self, id: UserId, new: &str) -> Result<User, Refused> {
        let accounts = &self.services.accounts;
        accounts.set_password(&Actor::default(), id, new).await
    }

    /// Gives an account another role. The last admin keeps theirs.
    pub async fn set_role(&self, id: UserId, role: Role) -> Result<User, Refused> {
        let accounts = &self.services.accounts;
        accounts.set_role(&Actor::default(), id, role).await
    }

    /// Lets nobody sign in to an account any more, and ends its tokens. Not that of the last admin.
    pub async fn disable(&self, id: UserId) -> Result<User, Refused> {
        self.services.accounts.disable(&Actor::default(), id).await
    }

    /// Lets people sign in to an account again.
    pub async fn enable(&self, id: UserId) -> Result<User, Refused> {
        self.services.accounts.enable(&Actor::default(), id).await
    }

    /// Deletes an account. Not that of the last admin.
    pub async fn delete(&self, id: UserId) -> Result<(), Refused> {
        self.services.accounts.delete(&Actor::default(), id).await
    }

    /// Ends every token of an account; how many were live.
    pub async fn revoke_tokens(&self, id: UserId) -> Result<u32, Refused> {
        let accounts = &self.services.accounts;
        accounts.revoke_tokens(&Actor::default(), id).await
    }

    /// The live session tokens of the accounts that come after this one, in the order of the
    /// accounts' ids; 1,000 at most. The tokens themselves nobody knows but their bearers.
    pub async fn sessions(&self, after: Option<UserId>) -> Result<Vec<LiveToken>, Error> {
        self.services.tokens.live(after, PAGE).await
    }

    /// The live access tokens that come after the one of this number, in the order of their numbers;
    /// 1,000 at most.
    pub async fn access_tokens(&self, after: Option<i64>) -> Result<Vec<LiveToken>, Error> {
        self.services.access_tokens.live(after, PAGE).await
    }

    /// Forgets the tokens that are dead, which then are unknown instead of expired; how many. And
    /// whatever else says nothing any more.
    pub async fn purge(&self) -> Result<u64, Error> {
        self.services.purge().await?;
        self.services.tokens.purge().await
    }

    /// Copies the SQLite database, as it is at one moment, into a new file, and checks that; how many
    /// accounts are in it. The server key is not.
    pub async fn back_up(&self, file: &Path) -> Result<u64, StartError> {
        let store = &self.services.store;
        store.back_up(file).await.map_err(StartError::new)
    }

    /// The audit trail, the newest events first, from the one before `before` on; 1,000 at most.
    pub async fn audit_events(
        &self,
        filter: EventFilter,
        before: Option<i64>,
    ) -> Result<Vec<AuditEvent>, Error> {
        let stretch = PageRequest {
            after: before.map(i64::saturating_neg),
            limit: PAGE,
            ..PageRequest::default()
        };
        Ok(self.services.audit.page(filter, stretch).await?.items)
    }
}
