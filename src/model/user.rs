//! Users and roles.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::model::id_parsing::parse_id;

/// The id of a user. Ids are not reused.
///
/// Serde represents an id as a number. With SeaORM, `UserId` and `Option<UserId>` are types of columns and of primary keys
/// (`BIGINT`). In GraphQL, an id is an `ID`.
///
/// ```
/// use async_graphql::ID;
/// use symbolon::UserId;
/// use symbolon::sea_orm::entity::prelude::*;
///
/// mod note {
///     use symbolon::UserId;
///     use symbolon::sea_orm::{self, entity::prelude::*};
///
///     #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
///     #[sea_orm(table_name = "note")]
///     pub struct Model {
///         #[sea_orm(primary_key)]
///         pub id: i64,
///         /// References `symbolon_user(id)`.
///         pub author: UserId,
///         pub text: String,
///     }
///
///     #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
///     pub enum Relation {}
///
///     impl ActiveModelBehavior for ActiveModel {}
/// }
///
/// let ada = UserId::from(7);
/// assert_eq!(ada.get(), 7);
/// assert_eq!(ID::from(ada), "7");
/// assert_eq!(UserId::try_from(ID::from("7"))?, ada);
/// let notes_of_ada = note::Entity::find().filter(note::Column::Author.eq(ada));
/// # let _ = notes_of_ada;
/// # Ok::<_, symbolon::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub(crate) i64);

impl UserId {
    /// Returns the value of the column `id` of the table `symbolon_user`.
    ///
    /// ```
    /// assert_eq!(symbolon::UserId::from(7).get(), 7);
    /// ```
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(itoa::Buffer::new().format(self.0))
    }
}

/// Converts a value of the column `id` of the table `symbolon_user`, for example from a table that references it. The user
/// may have been deleted.
impl From<i64> for UserId {
    fn from(id: i64) -> Self {
        Self(id)
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
    /// The time of the last sign-in: the password was accepted, or an application signed the user in.
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
