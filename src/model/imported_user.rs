//! Users of another system.

/// A user of another system.
#[derive(Clone, Debug)]
pub struct ImportedUser {
    /// The username. Unlike a new username, it may mix letters of several scripts.
    pub username: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// The password, or its hash.
    pub password: ImportedPassword,
}

/// The password of a user of another system, or its hash.
#[derive(Clone)]
pub enum ImportedPassword {
    /// The password in plain text. It is hashed when it is imported. Weak passwords are accepted.
    Plain(String),
    /// The hash of the password: an Argon2 or scrypt PHC string, a bcrypt string, or a hash in the format of
    /// Werkzeug. It is replaced by an Argon2id hash when the user signs in.
    Hash(String),
}

impl std::fmt::Debug for ImportedPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ImportedPassword(redacted)")
    }
}

/// The result of the import of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportResult {
    /// The user was added.
    Added,
    /// A user with this name exists, and was not changed.
    Skipped,
    /// The user is invalid. Contains the reason.
    Refused(String),
}
