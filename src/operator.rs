//! The state for programs of whoever runs the server: no credentials, no throttle, no limits.

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::error::Error;
use crate::model::audit_event::{AuditEvent, EventFilter};
#[cfg(feature = "server")]
use crate::model::imported_user::{ImportResult, ImportedUser};
use crate::model::live_token::LiveToken;
use crate::model::pagination::PageRequest;
use crate::model::user::{Role, User, UserId};
use crate::model::validation::MutationError;
use crate::service::Services;
use crate::service::authorization::Caller;
use crate::service::similar_usernames::SimilarUsernames;
use crate::service::users::{Registration, UserKey};
use crate::service::visible_user::VisibleUser;

/// How many entries of a list come at once.
const PAGE: u64 = 1000;

/// What the operator may do, without credentials; from [`Symbolon::operator`](crate::Symbolon::operator)
/// or [`Symbolon::open_operator`](crate::Symbolon::open_operator).
///
/// Each method returns a future in a box, so that its code is compiled with the library and not again
/// with each program that calls it.
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

    /// The absolute path of the SQLite file, or the URL of the PostgreSQL database without the password.
    #[must_use]
    pub fn database(&self) -> String {
        self.services.store.location().full_name()
    }

    /// Closes the database. The [`Symbolon`](crate::Symbolon) that the operator comes from is closed, too.
    pub fn close(&self) -> impl Future<Output = Result<(), Error>> + Send {
        async move { self.services.close().await }.boxed()
    }

    /// Adds an account, even where registration is closed.
    pub fn add_user<'a>(
        &'a self,
        new: &'a Registration,
        role: Role,
    ) -> impl Future<Output = Result<User, MutationError>> + Send {
        async move { self.services.users.add(new, role).await }.boxed()
    }

    /// Whoever has this name, however it is spelt.
    pub fn user<'a>(
        &'a self,
        username: &'a str,
    ) -> impl Future<Output = Result<Option<User>, Error>> + Send {
        async move {
            let found = self
                .services
                .users
                .find(Caller::Operator, UserKey::Name(username));
            Ok(found.await?.map(VisibleUser::into_user))
        }
        .boxed()
    }

    /// Whoever has this number; nobody, once the account is deleted.
    pub fn user_by_id(
        &self,
        id: UserId,
    ) -> impl Future<Output = Result<Option<User>, Error>> + Send {
        async move {
            let found = self.services.users.find(Caller::Operator, UserKey::Id(id));
            Ok(found.await?.map(VisibleUser::into_user))
        }
        .boxed()
    }

    /// The accounts that come after this one, in the order of their ids; 1,000 at most.
    pub fn users(
        &self,
        after: Option<UserId>,
    ) -> impl Future<Output = Result<Vec<User>, Error>> + Send {
        async move {
            let stretch = PageRequest {
                after: after.map(|id| id.0),
                limit: PAGE,
                ..PageRequest::default()
            };
            let page = self.services.users.page(Caller::Operator, stretch).await?;
            let users = page.items.into_iter().map(VisibleUser::into_user);
            Ok(users.collect())
        }
        .boxed()
    }

    /// Takes over accounts of another system, in one step; what became of each. Those that exist
    /// are left as they are, so it can simply be done again. A dry run only says what would become
    /// of them.
    #[cfg(feature = "server")]
    pub fn import(
        &self,
        accounts: Vec<ImportedUser>,
        dry_run: bool,
    ) -> impl Future<Output = Result<Vec<ImportResult>, Error>> + Send {
        async move { self.services.import.run(accounts, dry_run).await }.boxed()
    }

    /// Gives an account another password, and ends its tokens.
    pub fn set_password<'a>(
        &'a self,
        id: UserId,
        new: &'a str,
    ) -> impl Future<Output = Result<User, MutationError>> + Send {
        async move {
            let accounts = &self.services.accounts;
            let done = accounts.set_password(Caller::Operator, id, new).await;
            done.map(VisibleUser::into_user)
        }
        .boxed()
    }

    /// Gives an account another role. The last admin keeps theirs.
    pub fn set_role(
        &self,
        id: UserId,
        role: Role,
    ) -> impl Future<Output = Result<User, MutationError>> + Send {
        async move {
            let accounts = &self.services.accounts;
            let done = accounts.set_role(Caller::Operator, id, role).await;
            done.map(VisibleUser::into_user)
        }
        .boxed()
    }

    /// Lets nobody sign in to an account any more, and ends its tokens. Not that of the last admin.
    pub fn disable(&self, id: UserId) -> impl Future<Output = Result<User, MutationError>> + Send {
        async move {
            let accounts = &self.services.accounts;
            let done = accounts.disable(Caller::Operator, id).await;
            done.map(VisibleUser::into_user)
        }
        .boxed()
    }

    /// Lets people sign in to an account again.
    pub fn enable(&self, id: UserId) -> impl Future<Output = Result<User, MutationError>> + Send {
        async move {
            let accounts = &self.services.accounts;
            let done = accounts.enable(Caller::Operator, id).await;
            done.map(VisibleUser::into_user)
        }
        .boxed()
    }

    /// Deletes an account. Not that of the last admin.
    pub fn delete(&self, id: UserId) -> impl Future<Output = Result<(), MutationError>> + Send {
        async move {
            let accounts = &self.services.accounts;
            let done = accounts.delete(Caller::Operator, Some(id), "").await;
            done.map(drop)
        }
        .boxed()
    }

    /// Ends every token of an account; how many were live.
    pub fn revoke_tokens(
        &self,
        id: UserId,
    ) -> impl Future<Output = Result<u32, MutationError>> + Send {
        async move {
            let accounts = &self.services.accounts;
            accounts.revoke_tokens(Caller::Operator, id).await
        }
        .boxed()
    }

    /// Ends every token of all accounts, in several transactions; how many were live. For use after a leak, and
    /// after a backup was restored. Sign-ins with a password go on meanwhile, and their tokens stay.
    pub fn revoke_all_tokens(&self) -> impl Future<Output = Result<u64, Error>> + Send {
        async move {
            let accounts = &self.services.accounts;
            accounts.revoke_all_tokens(Caller::Operator).await
        }
        .boxed()
    }

    /// The usernames that look alike by Unicode Technical Standard #39, such as two that differ in a Latin and
    /// a Cyrillic letter. Nothing is changed.
    pub fn similar_usernames(
        &self,
    ) -> impl Future<Output = Result<SimilarUsernames, Error>> + Send {
        async move { self.services.users.similar_usernames().await }.boxed()
    }

    /// The live session tokens of the accounts that come after this one, in the order of the
    /// accounts' ids; 1,000 at most. The tokens themselves nobody knows but their bearers.
    pub fn sessions(
        &self,
        after: Option<UserId>,
    ) -> impl Future<Output = Result<Vec<LiveToken>, Error>> + Send {
        async move { self.services.tokens.live(after, PAGE).await }.boxed()
    }

    /// The live access tokens that come after the one of this number, in the order of their numbers;
    /// 1,000 at most.
    pub fn access_tokens(
        &self,
        after: Option<i64>,
    ) -> impl Future<Output = Result<Vec<LiveToken>, Error>> + Send {
        async move { self.services.access_tokens.live(after, PAGE).await }.boxed()
    }

    /// Forgets the tokens that are dead, which then are unknown instead of expired; how many. And
    /// whatever else says nothing any more.
    pub fn purge(&self) -> impl Future<Output = Result<u64, Error>> + Send {
        async move {
            self.services.purge().await?;
            self.services.tokens.purge().await
        }
        .boxed()
    }

    /// Copies the SQLite database, as it is at one moment, into a new file, and checks that; how many
    /// accounts are in it. The server key is not.
    pub fn back_up<'a>(
        &'a self,
        file: &'a Path,
    ) -> impl Future<Output = std::io::Result<u64>> + Send {
        async move {
            let store = &self.services.store;
            store.back_up(file).await.map_err(std::io::Error::other)
        }
        .boxed()
    }

    /// The audit trail, the newest events first, from the one before `before` on; 1,000 at most.
    pub fn audit_events(
        &self,
        filter: EventFilter,
        before: Option<i64>,
    ) -> impl Future<Output = Result<Vec<AuditEvent>, Error>> + Send {
        async move {
            let stretch = PageRequest {
                after: before.map(i64::saturating_neg),
                limit: PAGE,
                ..PageRequest::default()
            };
            Ok(self
                .services
                .audit
                .page(Caller::Operator, filter, stretch)
                .await?
                .items)
        }
        .boxed()
    }
}
