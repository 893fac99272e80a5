//! Users to import from another system.

use chrono::{DateTime, Utc};

use crate::model::email::Email;
use crate::model::password_hash::looks_like_hash;
use crate::model::user::Role;
use crate::model::username::Username;

/// A user to import from another system. [`ImportedUser::new`] sets the optional fields to their defaults.
///
/// ```
/// use symbolon::{ImportedPassword, ImportedUser, Role};
///
/// let hash = "pbkdf2:sha256:1000000$Xw3eTq$6a1f…".to_owned(); // From the old database.
/// let mut user = ImportedUser::new("susan".to_owned(), ImportedPassword::from_hash(hash));
/// user.email = Some("susan@example.org".to_owned());
/// user.role = Role::Admin;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImportedUser {
    /// The username. Unlike the username of a new user, an imported username can mix letters of several scripts.
    pub username: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// The password, or its hash.
    pub password: ImportedPassword,
    /// The role.
    pub role: Role,
    /// Whether the user cannot sign in until an admin enables the user.
    pub is_disabled: bool,
    /// The time of the registration in the other system. `None` means the time of the import.
    pub created_at: Option<DateTime<Utc>>,
}

/// The password of an imported user, or the hash of the password.
///
/// ```
/// use symbolon::ImportedPassword;
///
/// let password = ImportedPassword::Plain("cat and dog".to_owned());
/// let hash = ImportedPassword::Hash("$2y$12$…".to_owned());
/// // The user signs in elsewhere, and has no password here.
/// let none = ImportedPassword::Unset;
/// # let _ = (password, hash, none);
/// ```
#[derive(Clone)]
pub enum ImportedPassword {
    /// The password in plain text, which the import hashes. Weak passwords are accepted. A text that looks like a hash is
    /// refused.
    Plain(String),
    /// The hash of the password: an Argon2, scrypt, bcrypt, PBKDF2 or salted SHA hash in a format of Werkzeug, Django,
    /// Laravel or passlib. A weak hash is wrapped in Argon2id. When the user signs in, an Argon2id hash of the password
    /// replaces the imported hash.
    Hash(String),
    /// No password. The user sets a password with a reset link.
    Unset,
}

impl ImportedUser {
    /// Creates a user with the role [`Role::User`], who is not disabled.
    ///
    /// ```
    /// use symbolon::{ImportedPassword, ImportedUser, Role};
    ///
    /// let user = ImportedUser::new("susan".to_owned(), ImportedPassword::Unset);
    /// assert_eq!(user.role, Role::User);
    /// assert!(!user.is_disabled);
    /// ```
    #[must_use]
    pub fn new(username: String, password: ImportedPassword) -> Self {
        Self {
            username,
            email: None,
            password,
            role: Role::User,
            is_disabled: false,
            created_at: None,
        }
    }

    /// Returns the username in the form in which usernames are compared, or `None` if the username is invalid.
    ///
    /// ```
    /// use symbolon::{ImportedPassword, ImportedUser};
    ///
    /// // Finds names that differ only in case before the import.
    /// let user = |name: &str| ImportedUser::new(name.to_owned(), ImportedPassword::Unset);
    /// assert_eq!(user("Susan").canonical_username(), user("susan").canonical_username());
    /// assert_eq!(user("two words").canonical_username(), None);
    /// ```
    #[must_use]
    pub fn canonical_username(&self) -> Option<String> {
        Username::parse(&self.username)
            .ok()
            .map(|name| name.canonical)
    }

    /// Returns the e-mail address in the form in which addresses are compared, or `None` if the address is missing or
    /// invalid.
    ///
    /// ```
    /// use symbolon::{ImportedPassword, ImportedUser};
    ///
    /// let mut user = ImportedUser::new("susan".to_owned(), ImportedPassword::Unset);
    /// assert_eq!(user.canonical_email(), None);
    /// user.email = Some("Susan@Example.org".to_owned());
    /// assert_eq!(user.canonical_email().as_deref(), Some("susan@example.org"));
    /// ```
    #[must_use]
    pub fn canonical_email(&self) -> Option<String> {
        let email = Email::parse_optional(self.email.as_deref());
        email.ok().flatten().map(|email| email.canonical)
    }
}

/// The length of the random text after `!` by which Django marks users without a password.
const DJANGO_UNUSABLE: usize = 40;

impl ImportedPassword {
    /// Converts the text of a column for hashes. An empty text, and a text that begins with `!`, `*LK*`, `*NP*` or
    /// `*LOCKED*` or consists only of `*`, mark users without a password. White space around the text is ignored.
    ///
    /// ```
    /// use symbolon::ImportedPassword;
    ///
    /// let hash = ImportedPassword::from_hash("$2y$12$…".to_owned());
    /// assert!(matches!(hash, ImportedPassword::Hash(_)));
    /// // Django marks a user without a password with `!` and random characters.
    /// let unusable = ImportedPassword::from_hash("!kOPsE5N3cTQ8xY".to_owned());
    /// assert!(matches!(unusable, ImportedPassword::Unset));
    /// ```
    #[must_use]
    pub fn from_hash(text: String) -> Self {
        if text.trim_start().starts_with('!') || is_marker(text.trim()) {
            Self::Unset
        } else {
            Self::Hash(text)
        }
    }

    /// Converts the text of a column for passwords, which may contain hashes. A text that looks like a hash, in a
    /// supported format or in another, is a hash. Users without a password are marked by an empty text, a text that
    /// consists only of `!` and `*`, or begins with `*LK*`, `*NP*` or `*LOCKED*`, `!` with 40 letters and digits, and `!`
    /// with a hash. White space around hashes and markers is ignored.
    ///
    /// ```
    /// use symbolon::ImportedPassword;
    ///
    /// let convert = |text: &str| ImportedPassword::from_password_or_hash(text.to_owned());
    /// assert!(matches!(convert("cat and dog"), ImportedPassword::Plain(_)));
    /// assert!(matches!(convert("*LK*"), ImportedPassword::Unset));
    /// # let hash = "$2b$04$75aEG2I4EPHy/uBEvnf/8uEXz/pN5Za/RvVOaFDTu862YE.aK38Du";
    /// assert!(matches!(convert(hash), ImportedPassword::Hash(_)));
    /// ```
    #[must_use]
    pub fn from_password_or_hash(text: String) -> Self {
        let trimmed = text.trim();
        let is_locked = trimmed.strip_prefix('!').is_some_and(|rest| {
            let is_random = rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
            is_random && rest.len() == DJANGO_UNUSABLE || looks_like_hash(rest)
        });
        if is_locked || is_marker(trimmed) {
            Self::Unset
        } else if looks_like_hash(trimmed) {
            Self::Hash(trimmed.to_owned())
        } else {
            Self::Plain(text)
        }
    }
}

/// Returns whether a text marks a user without a password. Solaris writes `*LK*` and `*NP*`, and OpenBSD `*`.
fn is_marker(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let starts = ["*LK*", "*NP*", "*LOCKED*"];
    text.chars().all(|c| "!*".contains(c)) || starts.iter().any(|start| upper.starts_with(start))
}

impl std::fmt::Debug for ImportedPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ImportedPassword(redacted)")
    }
}

/// The result of importing one user.
///
/// ```
/// use symbolon::ImportResult;
///
/// fn line(username: &str, result: &ImportResult) -> String {
///     match result {
///         ImportResult::Added { .. } => format!("{username}: added"),
///         ImportResult::Skipped => format!("{username}: exists already"),
///         ImportResult::Refused(reason) => format!("{username}: {reason}"),
///     }
/// }
/// # assert_eq!(line("ada", &ImportResult::Skipped), "ada: exists already");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportResult {
    /// The user was added.
    Added {
        /// Whether the hash of the password is weak, and is therefore wrapped in Argon2id.
        is_wrapped: bool,
    },
    /// A user with this username already exists. The existing user was not changed.
    Skipped,
    /// The user was not added, because the data is invalid or the e-mail address belongs to another user. Contains
    /// the reason.
    Refused(String),
}
