//! Events of the audit trail.

use chrono::{DateTime, Utc};

use crate::model::actor::Actor;
use crate::model::audit_event_enums::{ActorType, AuditEventKind, CredentialType};
use crate::model::request_credentials::TokenType;
use crate::model::token_digest::TokenDigest;
use crate::model::user::{Role, UserId};

/// An event, or several similar events that occurred within an hour.
///
/// ```
/// use symbolon::{AuditEventFilter, AuditEventKind};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let operator = symbolon::Symbolon::open(config).await?.operator();
/// let failures = AuditEventFilter {
///     kind: Some(AuditEventKind::SignInFailed),
///     ..AuditEventFilter::default()
/// };
/// for event in operator.audit_events(failures, None).await? {
///     println!("{} wrong passwords from {:?} until {}", event.count, event.address, event.last_at);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditEvent {
    /// The id. Events are numbered in the order in which they were recorded.
    pub id: i64,
    /// The kind of the event.
    pub kind: AuditEventKind,
    /// The time of the first occurrence.
    pub at: DateTime<Utc>,
    /// The time of the last occurrence.
    pub last_at: DateTime<Utc>,
    /// The number of occurrences.
    pub count: i64,
    /// The user that the event concerns. The user may have been deleted since. `None` if the event concerns no
    /// existing user.
    pub user: Option<UserId>,
    /// The type of the actor. `None` if an earlier version of Symbolon recorded the event.
    pub actor_type: Option<ActorType>,
    /// The user who acted. `None` if the actor is not a user.
    pub actor: Option<UserId>,
    /// The type of the credential that authenticated the actor at the last occurrence.
    pub credential_type: Option<CredentialType>,
    /// The id of the credential at the last occurrence: the first 12 hexadecimal digits of the SHA-256 digest of a
    /// session token or a one-time token, the id of an access token, or the name of a method of the application.
    pub credential_id: Option<String>,
    /// The role before the change.
    pub old_role: Option<Role>,
    /// The role after the change.
    pub new_role: Option<Role>,
    /// The username before the change.
    pub old_username: Option<String>,
    /// The username after the change, or the last username of a deleted user. The event keeps the username after the
    /// user is deleted.
    pub username: Option<String>,
    /// The first 12 hexadecimal digits of the SHA-256 digest of the token that the event concerns.
    pub token: Option<String>,
    /// The address of the client at the last occurrence.
    pub address: Option<String>,
    /// The id of the request at the last occurrence.
    pub request_id: Option<String>,
}

/// The properties of an [`Event`](crate::model::event::Event) to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct NewAuditEvent {
    pub(crate) kind: AuditEventKind,
    pub(crate) at: DateTime<Utc>,
    pub(crate) user: Option<UserId>,
    pub(crate) actor: Actor,
    pub(crate) token: Option<TokenDigest>,
    /// The type of `token`. `None` for a one-time token, which the kind of the event implies.
    pub(crate) token_type: Option<TokenType>,
    pub(crate) detail: AuditEventDetail,
}

/// The details of an event, which depend on its kind.
#[derive(Clone, Debug)]
pub(crate) enum AuditEventDetail {
    None,
    /// The change of a role.
    Role {
        old: Role,
        new: Role,
    },
    /// The change of a username.
    Username {
        old: String,
        new: String,
    },
    /// The username of a user who was deleted.
    Deleted {
        username: String,
    },
}

impl AuditEventDetail {
    /// Returns the old and the new role, or `None` if the event is not a change of a role.
    pub(crate) fn roles(&self) -> Option<(Role, Role)> {
        match self {
            Self::Role { old, new } => Some((*old, *new)),
            _ => None,
        }
    }

    pub(crate) fn old_username(&self) -> Option<&str> {
        match self {
            Self::Username { old, .. } => Some(old),
            _ => None,
        }
    }

    pub(crate) fn username(&self) -> Option<&str> {
        match self {
            Self::Username { new: username, .. } | Self::Deleted { username } => Some(username),
            _ => None,
        }
    }
}

impl NewAuditEvent {
    pub(crate) fn new(
        kind: AuditEventKind,
        user: impl Into<Option<UserId>>,
        actor: Actor,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            kind,
            at,
            user: user.into(),
            actor,
            token: None,
            token_type: None,
            detail: AuditEventDetail::None,
        }
    }

    /// Sets the details.
    pub(crate) fn with_detail(self, detail: AuditEventDetail) -> Self {
        Self { detail, ..self }
    }

    /// Sets the token that the event concerns. `token_type` is `None` for a one-time token.
    pub(crate) fn with_token(
        self,
        token: TokenDigest,
        token_type: impl Into<Option<TokenType>>,
    ) -> Self {
        Self {
            token: Some(token),
            token_type: token_type.into(),
            ..self
        }
    }
}

/// A filter for events. An event must satisfy all conditions that are set.
///
/// ```
/// use symbolon::{AuditEventFilter, AuditEventKind, Role};
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
/// operator.set_role(ada.id, Role::Admin).await?;
/// let filter = AuditEventFilter {
///     user: Some(ada.id),
///     kind: Some(AuditEventKind::RoleChanged),
/// };
/// let changes = operator.audit_events(filter, None).await?;
/// assert_eq!(changes[0].new_role, Some(Role::Admin));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditEventFilter {
    /// Selects the events that concern this user.
    pub user: Option<UserId>,
    /// Selects the events of this kind.
    pub kind: Option<AuditEventKind>,
}
