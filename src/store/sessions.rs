//! SQL statements for device sessions, and for the details of shared sessions.

use chrono::{DateTime, TimeDelta, Utc};
use entity::session::{self, Column};
use entity::user;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::{Expr, LockBehavior, LockType};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, JoinType, QueryFilter,
    QueryOrder, QueryResult, QuerySelect, QueryTrait, Select,
};

use crate::clock::at;
use crate::error::Error;
use crate::model::client::Client;
use crate::model::device_session::DeviceSession;
use crate::model::label::Label;
use crate::model::session_summary::SessionSummary;
use crate::model::token_digest::TokenDigest;
use crate::model::user::{User, UserId};
use crate::store::database::Store;
use crate::store::token_digests::FoundTokens;
use crate::store::token_liveness::{device_session_is_live, shared_session_is_live};
use crate::store::transaction::Transaction;
use crate::store::user_columns::{USER_COLUMNS, select_user, to_user, user_of};
use crate::store::users::{to_array, to_record};

/// A session to be inserted.
#[derive(Debug)]
pub(crate) struct NewSession<'a> {
    pub(crate) user: UserId,
    /// The name of the device, and the expiration. `None` for a shared session.
    pub(crate) device: Option<(&'a Label, DateTime<Utc>)>,
    pub(crate) digest: TokenDigest,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) client: &'a Client,
}

impl Store {
    /// Returns the device sessions with these digests, and their users.
    pub(crate) async fn find_device_sessions(
        &self,
        digests: &[TokenDigest],
    ) -> Result<FoundTokens<DeviceSession>, Error> {
        let find = self.with_digests(select_with_user(), "symbolon_session.digest", digests);
        self.find_tokens(digests, find, USER_COLUMNS + 1, to_session_of_user)
            .await
    }

    /// Returns up to `limit` live device sessions with an id greater than `after`, ordered by id, and their users.
    pub(crate) async fn live_device_sessions(
        &self,
        after: Option<i64>,
        now: DateTime<Utc>,
        limit: u64,
    ) -> Result<Vec<(User, DeviceSession)>, Error> {
        let sessions = select_with_user()
            .filter(device_session_is_live(now))
            .filter(Column::Id.gt(after.unwrap_or(0)))
            .order_by_asc(Column::Id)
            .limit(limit);
        let rows = self.readers.query_all(&sessions.into_query()).await?;
        rows.iter()
            .filter_map(|row| to_session_of_user(row).transpose())
            .collect()
    }

    /// Returns the live sessions of several users: the shared session of each user, then the device sessions in the
    /// order of their creation.
    pub(crate) async fn live_sessions(
        &self,
        users: &[UserId],
        now: DateTime<Utc>,
    ) -> Result<Vec<SessionSummary>, Error> {
        let ids = || users.iter().map(|user| user.0);
        let details = session::Entity::find()
            .filter(Column::UserId.is_in(ids()))
            .filter(
                Condition::any()
                    .add(Column::Device.is_null())
                    .add(device_session_is_live(now)),
            )
            .order_by_asc(Column::Id)
            .all(&self.readers)
            .await?;
        let shared = user::Entity::find()
            .filter(user::Column::Id.is_in(ids()))
            .filter(shared_session_is_live(now))
            .all(&self.readers)
            .await?;
        let (of_shared, of_devices): (Vec<_>, Vec<_>) =
            details.into_iter().partition(|row| row.device.is_none());
        let mut sessions = Vec::with_capacity(shared.len() + of_devices.len());
        for row in shared {
            let record = to_record(row)?;
            let Some(current) = record.session else {
                continue;
            };
            let details = of_shared.iter().find(|row| row.digest == current.digest.0);
            sessions.push(SessionSummary {
                user: record.user.id,
                digest: current.digest,
                device: None,
                created_at: details.map(|row| at(row.created_at)),
                expires_at: current.expires_at,
                last_used_at: details.and_then(|row| row.last_used_at).map(at),
                address: details.and_then(|row| row.address.clone()),
                user_agent: details.and_then(|row| row.user_agent.clone()),
            });
        }
        for row in of_devices {
            let (address, user_agent) = (row.address.clone(), row.user_agent.clone());
            let Some(session) = to_device_session(row)? else {
                continue;
            };
            sessions.push(SessionSummary {
                user: session.user,
                digest: session.digest,
                device: Some(session.device),
                created_at: Some(session.created_at),
                expires_at: session.expires_at,
                last_used_at: session.last_used_at,
                address,
                user_agent,
            });
        }
        Ok(sessions)
    }
}

impl Transaction {
    /// Inserts a device session, or replaces the details of the shared session.
    pub(crate) async fn insert_session(&self, new: NewSession<'_>) -> Result<(), Error> {
        let (device, expires_at) = new.device.unzip();
        if device.is_none() {
            let previous = session::Entity::delete_many()
                .filter(Column::UserId.eq(new.user.0))
                .filter(Column::Device.is_null());
            self.execute(previous).await?;
        }
        let row = session::ActiveModel {
            user_id: Set(new.user.0),
            device: Set(device.map(|name| name.0.clone())),
            digest: Set(new.digest.0.to_vec()),
            created_at: Set(new.created_at.timestamp_millis()),
            expires_at: Set(expires_at.map(|at| at.timestamp_millis())),
            address: Set(new.client.address.map(|address| address.to_string())),
            user_agent: Set(new.client.user_agent.as_deref().map(str::to_owned)),
            ..Default::default()
        };
        self.execute(session::Entity::insert(row)).await.map(drop)
    }

    /// Returns the device sessions of a user, live or ended, in the order of their creation.
    pub(crate) async fn device_sessions(&self, user: UserId) -> Result<Vec<DeviceSession>, Error> {
        let rows = session::Entity::find()
            .filter(Column::UserId.eq(user.0))
            .filter(Column::Device.is_not_null())
            .order_by_asc(Column::Id)
            .all(&self.connection)
            .await?;
        rows.into_iter()
            .filter_map(|row| to_device_session(row).transpose())
            .collect()
    }

    /// Returns the device session with this digest.
    pub(crate) async fn device_session(
        &self,
        digest: &TokenDigest,
    ) -> Result<Option<DeviceSession>, Error> {
        let row = select_by_digest(digest).one(&self.connection).await?;
        Ok(row.map(to_device_session).transpose()?.flatten())
    }

    /// Sets the expiration of a device session. If the session has changed since it was read, changes nothing and
    /// returns `false`.
    pub(crate) async fn extend_device_session(
        &self,
        session: &DeviceSession,
        expires_at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        self.invalidate_at_end(session.user);
        let row = session::ActiveModel {
            expires_at: Set(Some(expires_at.timestamp_millis())),
            ..Default::default()
        };
        let update = session::Entity::update_many()
            .set(row)
            .filter(Column::Id.eq(session.id))
            .filter(Column::RevokedAt.is_null())
            .filter(Column::ExpiresAt.eq(session.expires_at.timestamp_millis()));
        Ok(self.execute(update).await? > 0)
    }

    /// Revokes a device session, and sets its expiration to `expired_at`.
    pub(crate) async fn revoke_device_session(
        &self,
        session: &DeviceSession,
        expired_at: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.invalidate_at_end(session.user);
        let row = session::ActiveModel {
            revoked_at: Set(Some(expired_at.timestamp_millis())),
            expires_at: Set(Some(expired_at.timestamp_millis())),
            ..Default::default()
        };
        let update = session::Entity::update_many()
            .set(row)
            .filter(Column::Id.eq(session.id))
            .filter(Column::RevokedAt.is_null());
        self.execute(update).await.map(drop)
    }

    /// Deletes device sessions.
    pub(crate) async fn delete_device_sessions(
        &self,
        sessions: &[DeviceSession],
    ) -> Result<(), Error> {
        let ids = sessions.iter().map(|session| session.id);
        let delete = session::Entity::delete_many().filter(Column::Id.is_in(ids));
        self.execute(delete).await.map(drop)
    }

    /// Deletes all device sessions of a user, and the details of the shared session.
    pub(super) async fn delete_sessions(&self, user: UserId) -> Result<(), Error> {
        let delete = session::Entity::delete_many().filter(Column::UserId.eq(user.0));
        self.execute(delete).await.map(drop)
    }

    /// Deletes the device sessions that ended before `end`. Returns the number of deleted sessions.
    pub(crate) async fn delete_device_sessions_before(
        &self,
        end: DateTime<Utc>,
    ) -> Result<u64, Error> {
        // The expiration of a shared session is null, so its details are not deleted.
        let ended = Column::ExpiresAt.lte(end.timestamp_millis());
        let delete = session::Entity::delete_many().filter(ended);
        let deleted = self.execute(delete).await?;
        // A process whose clock is slow may still consider the sessions live.
        if deleted > 0 {
            self.invalidate_all_at_end();
        }
        Ok(deleted)
    }

    /// Deletes the details of shared sessions that no longer exist.
    pub(super) async fn delete_details_of_ended_sessions(&self) -> Result<(), Error> {
        // With `NOT IN`, PostgreSQL would read all users for each row.
        let current = user::Entity::find()
            .select_only()
            .column(user::Column::Id)
            .filter(
                Expr::col((user::Entity, user::Column::TokenDigest))
                    .equals((session::Entity, Column::Digest)),
            )
            .into_query();
        let delete = session::Entity::delete_many()
            .filter(Column::Device.is_null())
            .filter(Expr::exists(current).not());
        self.execute(delete).await.map(drop)
    }

    /// Records the time of the last use of a session, unless a use within `precision` is already recorded.
    pub(crate) async fn record_session_use(
        &self,
        digest: &TokenDigest,
        used_at: DateTime<Utc>,
        precision: TimeDelta,
    ) -> Result<(), Error> {
        let row = session::ActiveModel {
            last_used_at: Set(Some(used_at.timestamp_millis())),
            ..Default::default()
        };
        let from = (used_at - precision).timestamp_millis() + 1;
        let to = (used_at + precision).timestamp_millis() - 1;
        let is_outdated = Condition::any()
            .add(Column::LastUsedAt.is_null())
            .add(Column::LastUsedAt.not_between(from, to));
        let outdated = select_by_digest(digest)
            .select_only()
            .column(Column::Id)
            .filter(is_outdated)
            // Waiting for a locked row could cause a deadlock with a transaction that revokes several sessions. The next
            // use of the session is recorded instead.
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .into_query();
        let update = session::Entity::update_many()
            .set(row)
            .filter(Column::Id.in_subquery(outdated));
        self.execute(update).await.map(drop)
    }
}

/// Returns a query for sessions and their users, whose rows [`to_session_of_user`] converts.
fn select_with_user() -> Select<session::Entity> {
    select_user(session::Entity::find().select_only())
        .columns([
            Column::Id,
            Column::Digest,
            Column::Device,
            Column::CreatedAt,
            Column::ExpiresAt,
            Column::RevokedAt,
            Column::LastUsedAt,
        ])
        .join(
            JoinType::InnerJoin,
            user_of::<session::Entity>(Column::UserId),
        )
}

/// Converts a row to a device session and its user. Returns `None` for the details of a shared session.
fn to_session_of_user(row: &QueryResult) -> Result<Option<(User, DeviceSession)>, Error> {
    let user = to_user(row)?;
    let session = session::Model {
        id: row.try_get_by_index(USER_COLUMNS)?,
        user_id: user.id.0,
        digest: row.try_get_by_index(USER_COLUMNS + 1)?,
        device: row.try_get_by_index(USER_COLUMNS + 2)?,
        created_at: row.try_get_by_index(USER_COLUMNS + 3)?,
        expires_at: row.try_get_by_index(USER_COLUMNS + 4)?,
        revoked_at: row.try_get_by_index(USER_COLUMNS + 5)?,
        last_used_at: row.try_get_by_index(USER_COLUMNS + 6)?,
        address: None,
        user_agent: None,
    };
    Ok(to_device_session(session)?.map(|session| (user, session)))
}

fn select_by_digest(digest: &TokenDigest) -> Select<session::Entity> {
    session::Entity::find().filter(Column::Digest.eq(digest.0.to_vec()))
}

/// Converts a row to a device session. Returns `None` for the details of a shared session.
fn to_device_session(row: session::Model) -> Result<Option<DeviceSession>, Error> {
    let (Some(device), Some(expires_at)) = (row.device, row.expires_at) else {
        return Ok(None);
    };
    Ok(Some(DeviceSession {
        id: row.id,
        user: UserId(row.user_id),
        device,
        digest: TokenDigest(to_array(row.digest)?),
        created_at: at(row.created_at),
        expires_at: at(expires_at),
        is_revoked: row.revoked_at.is_some(),
        last_used_at: row.last_used_at.map(at),
    }))
}
