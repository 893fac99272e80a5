//! Users to import from another system.

/// A user to import from another system.
#[derive(Clone, Debug)]
pub struct ImportedUser {
    /// The username. Unlike the username of a new user, an imported username can mix letters of several scripts.
    pub username: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// The password, or its hash.
    pub password: ImportedPassword,
}

/// The password of an imported user, or the hash of the password.
#[derive(Clone)]
pub enum ImportedPassword {
    /// The password in plain text, which the import hashes. Weak passwords are accepted.
    Plain(String),
    /// The hash of the password: an Argon2 or scrypt PHC string, a bcrypt string, or a hash in the format of
    /// Werkzeug. When the user signs in, an Argon2id hash replaces the imported hash.
    Hash(String),
}

impl std::fmt::Debug for ImportedPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ImportedPassword(redacted)")
    }
}

/// The result of importing one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportResult {
    /// The user was added.
    Added,
    /// A user with this username already exists. The existing user was not changed.
    Skipped,
    /// The user was not added, because the data is invalid or the e-mail address belongs to another user. Contains
    /// the reason.
    Refused(String),
}
