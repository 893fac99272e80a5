//! Accounts that come from another system.

/// An account of another system.
#[derive(Clone, Debug)]
pub struct ImportedUser {
    /// Its name. It may mix letters of several scripts, unlike that of a new account: its owner signs in with it
    /// already.
    pub username: String,
    /// Its e-mail address, if it has one.
    pub email: Option<String>,
    /// What its owner signs in with.
    pub password: ImportedPassword,
}

/// What the owner of an account of another system signs in with.
#[derive(Clone)]
pub enum ImportedPassword {
    /// The password in the clear, whatever it is worth; it is hashed when it is imported.
    Plain(String),
    /// Its hash: Argon2 or scrypt as a PHC string, bcrypt, or what Werkzeug makes. It is verified as
    /// it is, and replaced when its owner signs in.
    Hash(String),
}

impl std::fmt::Debug for ImportedPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ImportedPassword(redacted)")
    }
}

/// What became of an account of another system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportResult {
    /// There is an account of this name now.
    Added,
    /// There was one already, which was left as it is.
    Skipped,
    /// It cannot be an account; the reason, in words.
    MutationError(String),
}
