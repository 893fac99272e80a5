//! A row of the user table, with the secrets that no endpoint returns.

use crate::model::password::PasswordHash;
use crate::model::session::Session;
use crate::model::user::User;

/// A user with the password hash and the session token's digest.
#[derive(Clone, Debug)]
pub(crate) struct UserRecord {
    pub(crate) user: User,
    pub(crate) password_hash: PasswordHash,
    /// Counts the changes of the password.
    pub(crate) password_version: i64,
    pub(crate) session: Option<Session>,
}
