//! Users with their secrets.

use crate::model::password_hash::PasswordHash;
use crate::model::shared_session::SharedSession;
use crate::model::user::User;

/// A user with the password hash and the session. Endpoints must not return this type.
#[derive(Clone, Debug)]
pub(crate) struct UserRecord {
    pub(crate) user: User,
    pub(crate) password_hash: PasswordHash,
    /// A number that is incremented when the password changes.
    pub(crate) password_version: i64,
    pub(crate) session: Option<SharedSession>,
}
