//! Users and roles.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::model::id_parsing::parse_id;

/// The id of a user. Ids are not reused.
///
/// ```
/// use std::collections::HashMap;
///
/// use symbolon::UserId;
///
/// // The argument `id` of a GraphQL field is a text. The column of an own table is a number.
/// let id: UserId = "42".parse()?;
/// assert_eq!(i64::from(id), 42);
///
/// let mut notes: HashMap<UserId, Vec<String>> = HashMap::new();
/// notes.entry(id).or_default().push("Buy milk.".to_owned());
/// # Ok::<(), std::num::ParseIntError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(pub(crate) i64);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(itoa::Buffer::new().format(self.0))
    }
}

/// Returns the value of the column `id` of the table `symbolon_user`.
impl From<UserId> for i64 {
    fn from(id: UserId) -> Self {
        id.0
    }
}

impl FromStr for UserId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_id(text).map(Self)
    }
}

/// The role of a user. A greater role includes the authority of the lesser roles.
///
/// ```
/// use symbolon::Role;
///
/// /// Returns whether a user with this role can read the notes of all users.
/// fn reads_everything(role: Role) -> bool {
///     role >= Role::Admin
/// }
/// assert!(!reads_everything(Role::User));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A user without administrative rights.
    User,
    /// An administrator, who can manage all users.
    Admin,
}

impl Role {
    /// Returns the name in the API and in the audit trail, for example `ADMIN`.
    ///
    /// ```
    /// use symbolon::Role;
    ///
    /// assert_eq!(Role::Admin.name(), "ADMIN");
    /// ```
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::Admin => "ADMIN",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::User, Self::Admin]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// A user, without the password hash and the session.
///
/// ```
/// use symbolon::User;
///
/// fn greeting(user: &User) -> String {
///     match user.last_sign_in_at {
///         Some(at) => format!("Welcome back, {}! You last signed in at {at}.", user.username),
///         None => format!("Welcome, {}!", user.username),
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let operator = symbolon::Symbolon::open(config).await?.operator();
/// # let ada = symbolon::Registration {
/// #     username: "ada".to_owned(),
/// #     email: Some("ada@example.org".to_owned()),
/// #     password: "correct horse".to_owned(),
/// # };
/// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
/// assert_eq!(greeting(&ada), "Welcome, ada!");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The username in the spelling that the user chose.
    pub username: String,
    /// The e-mail address in the spelling that the user entered. Symbolon does not check whether the user receives
    /// mail at this address.
    pub email: Option<String>,
    /// The role.
    pub role: Role,
    /// The time of the registration.
    pub created_at: DateTime<Utc>,
    /// The time at which the password was last accepted.
    pub last_sign_in_at: Option<DateTime<Utc>>,
    /// The time at which the user was disabled. `None` if the user is enabled.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Whether the user has a password. An invited user has no password until the invitation is used.
    pub has_password: bool,
}

/// The fields of a user that every caller who can list users can read.
#[derive(Clone, Debug)]
pub(crate) struct UserName {
    pub(crate) id: UserId,
    pub(crate) username: String,
}

impl User {
    /// Returns whether the user is disabled.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// let users = operator.users(None).await?;
    /// let enabled: Vec<_> = users.iter().filter(|user| !user.is_disabled()).collect();
    /// assert_eq!(enabled.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.disabled_at.is_some()
    }
}
