//! The rule that decides whether a token is live: the token has not expired, it was not revoked, and its user is
//! not disabled. The rule exists in Rust, for rows that were read, and in SQL.

use chrono::{DateTime, Utc};
use entity::{access_token, user};
use sea_orm::{ColumnTrait, Condition, ExprTrait};

use crate::model::access_token::AccessToken;
use crate::model::session::{Lifetime, Session};
use crate::model::user::User;
use crate::model::user_record::UserRecord;

impl UserRecord {
    /// Returns the session if its token is live at `now`.
    pub(crate) fn live_session(&self, now: DateTime<Utc>) -> Option<&Session> {
        let session = self.session.as_ref()?;
        (!self.user.is_disabled() && session.is_live(now)).then_some(session)
    }
}

/// Selects the users whose session token is live at `now`.
pub(super) fn session_is_live(now: DateTime<Utc>) -> Condition {
    let latest = Lifetime::latest_expiration(now);
    Condition::all()
        .add(user::Column::DisabledAt.is_null())
        .add(user::Column::TokenNonce.is_not_null())
        .add(user::Column::TokenExpiration.gt(now.timestamp_millis()))
        .add(user::Column::TokenExpiration.lte(latest.timestamp_millis()))
}

impl AccessToken {
    /// Returns whether the token is live at `now`. `user` is the user of the token.
    pub(crate) fn is_live_for(&self, user: &User, now: DateTime<Utc>) -> bool {
        !user.is_disabled() && !self.has_expired(now)
    }
}

/// Selects the access tokens that have not expired at `now`. The rows of revoked tokens and of the tokens of
/// disabled users are deleted.
pub(super) fn access_token_is_live(now: DateTime<Utc>) -> Condition {
    let expires_at = access_token::Column::ExpiresAt;
    let later = expires_at.gt(now.timestamp_millis());
    Condition::all().add(expires_at.is_null().or(later))
}
