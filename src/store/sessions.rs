//! The session token of an account: three columns of the user entity.

use chrono::{DateTime, Utc};
use entity::{access_token, user};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
};

use crate::error::Error;
use crate::model::CLOCK_TOLERANCE;
use crate::model::password::PasswordHash;
use crate::model::session::Session;
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;
use crate::model::user_record::UserRecord;
use crate::store::liveness::session_is_live;
use crate::store::users::account;
use crate::store::{Store, Transaction};

impl Store {
    /// The accounts after this one whose session token is live at `now`, in the order of their
    /// ids.
    pub(crate) async fn users_with_session(
        &self,
        after: Option<UserId>,
        now: DateTime<Utc>,
        limit: u64,
    ) -> Result<Vec<UserRecord>, Error> {
        let rows = user::Entity::find()
            .filter(session_is_live(now))
            .filter(user::Column::Id.gt(after.map_or(0, |id| id.0)))
            .order_by_asc(user::Column::Id)
            .limit(limit)
            .all(&self.readers)
            .await?;
        rows.into_iter().map(account).collect()
    }
}

impl Transaction {
    /// The accounts after this one that have a session that was not revoked, or an access token, in the order of their
    /// ids. Nothing else changes them before the end of this transaction.
    pub(crate) async fn users_with_tokens(
        &self,
        after: Option<UserId>,
        limit: u64,
    ) -> Result<Vec<UserRecord>, Error> {
        let with_access_token = access_token::Entity::find()
            .select_only()
            .column(access_token::Column::UserId)
            .into_query();
        let has_tokens = Condition::any()
            .add(user::Column::TokenNonce.is_not_null())
            .add(user::Column::Id.in_subquery(with_access_token));
        let rows = user::Entity::find()
            .filter(has_tokens)
            .filter(user::Column::Id.gt(after.map_or(0, |id| id.0)))
            .order_by_asc(user::Column::Id)
            .limit(limit)
            .lock_exclusive()
            .all(&self.transaction)
            .await?;
        rows.into_iter().map(account).collect()
    }

    /// Forgets the sessions that have ended by `now`; how many.
    pub(crate) async fn delete_ended_sessions(&self, now: DateTime<Utc>) -> Result<u64, Error> {
        let forgotten = user::ActiveModel {
            token_digest: Set(None),
            token_nonce: Set(None),
            token_expiration: Set(None),
            ..Default::default()
        };
        let have_ended = user::Entity::find()
            .select_only()
            .column(user::Column::Id)
            .filter(user::Column::TokenExpiration.lte(now.timestamp_millis()))
            // Whoever has several rows locked may be waiting for one of these.
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .into_query();
        let done = user::Entity::update_many()
            .set(forgotten)
            .filter(user::Column::Id.in_subquery(have_ended))
            .exec(&self.transaction)
            .await?;
        // To a process with another clock they may be live.
        if done.rows_affected > 0 {
            self.affects_any();
        }
        Ok(done.rows_affected)
    }

    /// Notes that the password was accepted, and keeps the `rehashed` one if there is one. The account
    /// as it is then, which nobody else changes before the end of this transaction; `None`, and nothing
    /// is changed, if the password is no longer the one that was verified, or the account was disabled.
    pub(crate) async fn record_sign_in(
        &self,
        verified: &UserRecord,
        rehashed: Option<PasswordHash>,
        at: DateTime<Utc>,
    ) -> Result<Option<UserRecord>, Error> {
        let rows = user::Entity::update_many()
            .set(user::ActiveModel {
                last_sign_in_at: Set(Some(at.timestamp_millis())),
                password_hash: rehashed.map_or(NotSet, |hash| Set(hash.0)),
                ..Default::default()
            })
            .filter(as_verified(verified))
            .exec_with_returning(&self.transaction)
            .await?;
        let Some(account) = rows.into_iter().next().map(account).transpose()? else {
            return Ok(None);
        };
        // Who has no token is nobody whom anybody remembers.
        if has_session(&account, at) || self.has_access_tokens(account.user.id).await? {
            self.affects(account.user.id);
        }
        Ok(Some(account))
    }

    async fn has_access_tokens(&self, id: UserId) -> Result<bool, Error> {
        let found = access_token::Entity::find()
            .filter(access_token::Column::UserId.eq(id.0))
            .count(&self.transaction)
            .await?;
        Ok(found > 0)
    }

    /// Gives an account another session, as it was read in this transaction.
    pub(crate) async fn set_session(
        &self,
        account: &UserRecord,
        new: &Session,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        // A first session, or one after another that is dead, is nobody's loss. To tell others of it
        // would cost more than to issue it.
        if has_session(account, now) {
            self.affects(account.user.id);
        }
        let update = user::Entity::update_many()
            .set(with_session(new))
            .filter(user::Column::Id.eq(account.user.id.0));
        self.changes_a_row(update).await.map(drop)
    }

    /// Gives the session of `user` another expiration. False, and nothing is changed, if it is not as it
    /// was read.
    pub(crate) async fn extend_session(
        &self,
        user: UserId,
        session: &Session,
        expires_at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let update = user::Entity::update_many()
            .set(user::ActiveModel {
                token_expiration: Set(Some(expires_at.timestamp_millis())),
                ..Default::default()
            })
            .filter(user::Column::TokenDigest.eq(session.digest.0.to_vec()))
            .filter(user::Column::TokenNonce.is_not_null())
            .filter(user::Column::TokenExpiration.eq(session.expires_at.timestamp_millis()))
            .filter(user::Column::DisabledAt.is_null());
        self.affects(user);
        self.changes_a_row(update).await
    }

    /// Drops the nonce of the session of `user` with this digest, and sets its expiration to
    /// `expired_at`. False if it had no nonce any more.
    pub(crate) async fn end_session(
        &self,
        user: UserId,
        digest: &TokenDigest,
        expired_at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let update = user::Entity::update_many()
            .set(ended(expired_at))
            .filter(user::Column::TokenDigest.eq(digest.0.to_vec()))
            .filter(user::Column::TokenNonce.is_not_null());
        self.affects(user);
        self.changes_a_row(update).await
    }
}

/// Whether the session of the account may be live to an instance, whose clock may be late.
fn has_session(account: &UserRecord, now: DateTime<Utc>) -> bool {
    let latest = now - CLOCK_TOLERANCE;
    let session = account.session.as_ref();
    session.is_some_and(|session| session.nonce.is_some() && session.expires_at > latest)
}

/// The columns of a new session.
pub(super) fn with_session(session: &Session) -> user::ActiveModel {
    user::ActiveModel {
        token_digest: Set(Some(session.digest.0.to_vec())),
        token_nonce: Set(session.nonce.map(|nonce| nonce.0.to_vec())),
        token_expiration: Set(Some(session.expires_at.timestamp_millis())),
        ..Default::default()
    }
}

/// The columns of a session that has ended.
pub(super) fn ended(expired_at: DateTime<Utc>) -> user::ActiveModel {
    user::ActiveModel {
        token_nonce: Set(None),
        token_expiration: Set(Some(expired_at.timestamp_millis())),
        ..Default::default()
    }
}

pub(super) fn as_verified(account: &UserRecord) -> Condition {
    Condition::all()
        .add(user::Column::Id.eq(account.user.id.0))
        .add(user::Column::PasswordVersion.eq(account.password_version))
        .add(user::Column::DisabledAt.is_null())
}
