//! The rule that determines whether a token is live. A token is live if it has not expired and was not revoked, and
//! if its user is not disabled. The rule is implemented in Rust, for rows that have been read, and in SQL.

use chrono::{DateTime, Utc};
use entity::{access_token, session, user};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, ExprTrait};

use crate::model::access_token::AccessToken;
use crate::model::device_session::DeviceSession;
use crate::model::session_lifetime::Lifetime;
use crate::model::shared_session::SharedSession;
use crate::model::user::User;
use crate::model::user_record::UserRecord;

impl UserRecord {
    /// Returns the session if its token is live at `now`.
    pub(crate) fn live_session(&self, now: DateTime<Utc>) -> Option<&SharedSession> {
        let session = self.session.as_ref()?;
        session.is_live_for(&self.user, now).then_some(session)
    }
}

impl SharedSession {
    /// Returns whether the session is live at `now`. `user` must be the user of the session.
    pub(crate) fn is_live_for(&self, user: &User, now: DateTime<Utc>) -> bool {
        !user.is_disabled() && self.is_live(now)
    }
}

/// Returns the condition for users whose session token is live at `now`.
pub(super) fn shared_session_is_live(now: DateTime<Utc>) -> Condition {
    let latest = Lifetime::latest_expiration(now);
    Condition::all()
        .add(user::Column::DisabledAt.is_null())
        .add(user::Column::TokenNonce.is_not_null())
        .add(user::Column::TokenExpiration.gt(now.timestamp_millis()))
        .add(user::Column::TokenExpiration.lte(latest.timestamp_millis()))
}

impl DeviceSession {
    /// Returns whether the session is live at `now`. `user` must be the user of the session.
    pub(crate) fn is_live_for(&self, user: &User, now: DateTime<Utc>) -> bool {
        !user.is_disabled()
            && !self.is_revoked
            && self.expires_at > now
            && self.expires_at <= Lifetime::latest_expiration(now)
    }
}

/// Returns the condition for device sessions that are live at `now`. The user need not be checked, because the device
/// sessions of a disabled user are revoked.
pub(super) fn device_session_is_live(now: DateTime<Utc>) -> Condition {
    let latest = Lifetime::latest_expiration(now);
    Condition::all()
        .add(session::Column::Device.is_not_null())
        .add(session::Column::RevokedAt.is_null())
        .add(session::Column::ExpiresAt.gt(now.timestamp_millis()))
        .add(session::Column::ExpiresAt.lte(latest.timestamp_millis()))
}

impl AccessToken {
    /// Returns whether the token is live at `now`. `user` must be the user who owns the token.
    pub(crate) fn is_live_for(&self, user: &User, now: DateTime<Utc>) -> bool {
        !user.is_disabled() && !self.has_expired(now)
    }
}

/// Returns the condition for access tokens that have not expired at `now`. Other conditions are not necessary,
/// because the rows of revoked tokens and of the tokens of disabled users are deleted.
pub(super) fn access_token_is_live(now: DateTime<Utc>) -> Expr {
    let expires_at = access_token::Column::ExpiresAt;
    let later = expires_at.gt(now.timestamp_millis());
    expires_at.is_null().or(later)
}
