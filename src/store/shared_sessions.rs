//! SQL statements for shared sessions: the session that all clients of a user share, stored in three columns of the
//! table of users.

use chrono::{DateTime, Utc};
use entity::user::{self, Column};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QueryResult, QuerySelect,
    QueryTrait, Statement,
};

use crate::clock::at;
use crate::error::Error;
use crate::model::CLOCK_TOLERANCE;
use crate::model::password_hash::PasswordHash;
use crate::model::session_token::Nonce;
use crate::model::shared_session::SharedSession;
use crate::model::token_digest::TokenDigest;
use crate::model::user::{User, UserId};
use crate::model::user_record::UserRecord;
use crate::store::database::Store;
use crate::store::token_digests::{FoundTokens, is_one_of};
use crate::store::token_liveness::shared_session_is_live;
use crate::store::transaction::Transaction;
use crate::store::user_columns::{USER_COLUMNS, to_user};
use crate::store::users::{to_array, to_record};

/// Selects the columns of a user as [`to_user`] expects them, and the session. The statement is executed for tokens whose
/// identities are not cached. With a text that SeaORM creates, a request that is alone executed 29 % more instructions.
const FIND_BY_DIGEST: &str = "SELECT id, username, email, role, created_at, last_sign_in_at, disabled_at, \
     password_hash <> $2, token_nonce, token_expiration, token_digest FROM symbolon_user";

impl Store {
    /// Returns the users whose most recent session tokens have these digests, and the sessions, which may have ended.
    pub(crate) async fn find_shared_sessions(
        &self,
        digests: &[TokenDigest],
    ) -> Result<FoundTokens<SharedSession>, Error> {
        let backend = self.readers.get_database_backend();
        let (condition, value) = is_one_of("token_digest", "$1", digests, backend);
        let values = [value, PasswordHash::unusable().0.into()];
        let text = format!("{FIND_BY_DIGEST} WHERE {condition}");
        let find = Statement::from_sql_and_values(backend, text, values);
        self.find_tokens(digests, find, USER_COLUMNS + 2, to_session_of_user)
            .await
    }

    /// Returns up to `limit` users who have a live session token and an id greater than `after`, ordered by id.
    pub(crate) async fn users_with_live_session(
        &self,
        after: Option<UserId>,
        now: DateTime<Utc>,
        limit: u64,
    ) -> Result<Vec<UserRecord>, Error> {
        let rows = user::Entity::find()
            .filter(shared_session_is_live(now))
            .filter(Column::Id.gt(after.map_or(0, |id| id.0)))
            .order_by_asc(Column::Id)
            .limit(limit)
            .all(&self.readers)
            .await?;
        rows.into_iter().map(to_record).collect()
    }
}

impl Transaction {
    /// Deletes the sessions that have expired by `now`. Skips users whose row another transaction has locked. Returns
    /// the number of deleted sessions.
    pub(crate) async fn delete_expired_sessions(&self, now: DateTime<Utc>) -> Result<u64, Error> {
        let expired = user::Entity::find()
            .select_only()
            .column(Column::Id)
            .filter(Column::TokenExpiration.lte(now.timestamp_millis()))
            // Skipping locked rows prevents a deadlock with a transaction that has locked several users.
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .into_query();
        let update = user::Entity::update_many()
            .set(user::ActiveModel {
                token_digest: Set(None),
                token_nonce: Set(None),
                token_expiration: Set(None),
                ..Default::default()
            })
            .filter(Column::Id.in_subquery(expired));
        let deleted = self.execute(update).await?;
        // A process whose clock is slow may still consider the sessions live.
        if deleted > 0 {
            self.invalidate_all_at_end();
        }
        self.delete_details_of_ended_sessions().await?;
        Ok(deleted)
    }

    /// Sets the session of a user. Call this method only after the transaction has locked the row of the user.
    pub(crate) async fn set_session(
        &self,
        record: &UserRecord,
        new: &SharedSession,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        // Without a live session, there is no cached identity to invalidate. Announcing the change to other processes
        // would cost more than issuing the token.
        if may_have_live_session(record, now) {
            self.invalidate_at_end(record.user.id);
        }
        let update = user::Entity::update_many()
            .set(new_session(new))
            .filter(Column::Id.eq(record.user.id.0));
        self.execute(update).await.map(drop)
    }

    /// Sets the expiration of a session. If the session has changed since it was read, or if the user is disabled,
    /// changes nothing and returns `false`.
    pub(crate) async fn extend_session(
        &self,
        user: UserId,
        session: &SharedSession,
        expires_at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let update = user::Entity::update_many()
            .set(user::ActiveModel {
                token_expiration: Set(Some(expires_at.timestamp_millis())),
                ..Default::default()
            })
            .filter(Column::TokenDigest.eq(session.digest.0.to_vec()))
            .filter(Column::TokenNonce.is_not_null())
            .filter(Column::TokenExpiration.eq(session.expires_at.timestamp_millis()))
            .filter(Column::DisabledAt.is_null());
        Ok(self.update_user(user, update).await? > 0)
    }

    /// Revokes the session with this digest: deletes its nonce and sets its expiration to `expired_at`. Returns
    /// `false` if the session no longer exists or was already revoked.
    pub(crate) async fn revoke_session(
        &self,
        user: UserId,
        digest: &TokenDigest,
        expired_at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let updated = self.update_revoked(user, Some(digest), expired_at).await?;
        Ok(updated > 0)
    }

    /// Revokes the current session of a user.
    pub(crate) async fn revoke_session_of_user(
        &self,
        user: UserId,
        expired_at: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.update_revoked(user, None, expired_at).await.map(drop)
    }

    async fn update_revoked(
        &self,
        user: UserId,
        digest: Option<&TokenDigest>,
        expired_at: DateTime<Utc>,
    ) -> Result<u64, Error> {
        let update = user::Entity::update_many()
            .set(user::ActiveModel {
                token_nonce: Set(None),
                token_expiration: Set(Some(expired_at.timestamp_millis())),
                ..Default::default()
            })
            .filter(Column::TokenNonce.is_not_null())
            .apply_if(digest, |update, digest| {
                update.filter(Column::TokenDigest.eq(digest.0.to_vec()))
            });
        self.update_user(user, update).await
    }
}

/// Returns whether an instance whose clock is slow may still consider the session of a user live.
pub(super) fn may_have_live_session(record: &UserRecord, now: DateTime<Utc>) -> bool {
    let latest = now - CLOCK_TOLERANCE;
    let session = record.session.as_ref();
    session.is_some_and(|session| session.nonce.is_some() && session.expires_at > latest)
}

/// Converts a row of [`FIND_BY_DIGEST`]. Returns `None` if the user has no session.
fn to_session_of_user(row: &QueryResult) -> Result<Option<(User, SharedSession)>, Error> {
    let nonce: Option<Vec<u8>> = row.try_get_by_index(USER_COLUMNS)?;
    let expires_at: Option<i64> = row.try_get_by_index(USER_COLUMNS + 1)?;
    let Some(expires_at) = expires_at else {
        return Ok(None);
    };
    let session = SharedSession {
        digest: TokenDigest(to_array(row.try_get_by_index(USER_COLUMNS + 2)?)?),
        nonce: nonce.map(to_array).transpose()?.map(Nonce),
        expires_at: at(expires_at),
    };
    Ok(Some((to_user(row)?, session)))
}

fn new_session(session: &SharedSession) -> user::ActiveModel {
    user::ActiveModel {
        token_digest: Set(Some(session.digest.0.to_vec())),
        token_nonce: Set(session.nonce.map(|nonce| nonce.0.to_vec())),
        token_expiration: Set(Some(session.expires_at.timestamp_millis())),
        ..Default::default()
    }
}
