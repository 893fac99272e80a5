//! Events of the audit trail.

mod kinds;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use self::kinds::{ActorType, AuditEventKind, CredentialType};
use crate::model::token_digest::TokenDigest;
use crate::model::user::{Role, UserId};

/// The client that sent a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: Option<Arc<str>>,
}

impl Client {
    /// Returns the address for which attempts are counted: the address of an IPv4 client, or the /64 network of an
    /// IPv6 client. An IPv6 host can use any address of its /64 network (RFC 6177).
    pub(crate) fn network(&self) -> Option<IpAddr> {
        self.address.map(|address| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                Ipv6Addr::from_bits(network).into()
            }
        })
    }
}

/// The actor of an event. The type has no default, so that each caller must name the actor.
#[derive(Clone, Debug)]
pub(crate) enum Actor {
    /// An unauthenticated client.
    Anonymous(Client),
    /// A user, authenticated by a credential.
    User {
        id: UserId,
        credential: Credential,
        client: Client,
    },
    /// The operator, who acts through the command line or the library without authentication.
    Operator,
}

/// The credential that authenticated a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// The username and the password.
    Password,
    /// A session token.
    Session(TokenDigest),
    /// The access token with this id.
    AccessToken(i64),
}

impl Credential {
    /// Returns the type of the credential.
    pub(crate) fn kind(self) -> CredentialType {
        match self {
            Self::Password => CredentialType::Password,
            Self::Session(_) => CredentialType::SessionToken,
            Self::AccessToken(_) => CredentialType::AccessToken,
        }
    }

    /// Returns the prefix of the digest of a session token, or the id of an access token. Returns `None` for a
    /// password.
    pub(crate) fn id(self) -> Option<String> {
        match self {
            Self::Password => None,
            Self::Session(digest) => Some(digest.prefix()),
            Self::AccessToken(id) => Some(id.to_string()),
        }
    }
}

impl Actor {
    /// Creates an actor that is the user with this id.
    pub(crate) fn user(id: UserId, credential: Credential, client: &Client) -> Self {
        Self::User {
            id,
            credential,
            client: client.clone(),
        }
    }

    /// Returns the type of the actor.
    pub(crate) fn kind(&self) -> ActorType {
        match self {
            Self::Anonymous(_) => ActorType::Anonymous,
            Self::User { .. } => ActorType::User,
            Self::Operator => ActorType::Operator,
        }
    }

    /// Returns the id of the user who acted, or `None` if the actor is not a user.
    pub(crate) fn user_id(&self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(*id),
            Self::Anonymous(_) | Self::Operator => None,
        }
    }

    /// Returns the credential that authenticated the user, or `None` if the actor is not a user.
    pub(crate) fn credential(&self) -> Option<Credential> {
        match self {
            Self::User { credential, .. } => Some(*credential),
            Self::Anonymous(_) | Self::Operator => None,
        }
    }

    /// Returns the client that sent the request, or `None` for the operator.
    pub(crate) fn client(&self) -> Option<&Client> {
        match self {
            Self::Anonymous(client) | Self::User { client, .. } => Some(client),
            Self::Operator => None,
        }
    }
}

/// An event, or several similar events that occurred within an hour.
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
    /// session token, or the id of an access token.
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

/// An event to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct NewAuditEvent {
    pub(crate) kind: AuditEventKind,
    pub(crate) at: DateTime<Utc>,
    pub(crate) user: Option<UserId>,
    pub(crate) actor: Actor,
    pub(crate) token: Option<TokenDigest>,
    pub(crate) detail: AuditEventDetail,
}

/// The details of an event, which depend on its kind.
#[derive(Clone, Debug, Default)]
pub(crate) enum AuditEventDetail {
    #[default]
    None,
    /// The change of a role.
    Role { old: Role, new: Role },
    /// The change of a username.
    Username { old: String, new: String },
    /// The username of a user who was deleted.
    Deleted { username: String },
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
            detail: AuditEventDetail::None,
        }
    }

    /// Sets the details.
    pub(crate) fn with(self, detail: AuditEventDetail) -> Self {
        Self { detail, ..self }
    }

    /// Sets the token that the event concerns.
    pub(crate) fn with_token(self, token: TokenDigest) -> Self {
        Self {
            token: Some(token),
            ..self
        }
    }

    /// Logs the event. Texts that clients choose, such as usernames, cannot contain control characters.
    pub(crate) fn log(&self) {
        let (client, credential) = (self.actor.client(), self.actor.credential());
        let roles = self.detail.roles();
        tracing::info!(
            target: "symbolon::audit",
            event = self.kind.name(),
            at = self.at.to_rfc3339(),
            user_id = self.user.map(tracing::field::display),
            actor = self.actor.kind().name(),
            actor_id = self.actor.user_id().map(tracing::field::display),
            credential = credential.map(|credential| credential.kind().name()),
            credential_id = credential.and_then(Credential::id),
            token = self.token.map(|digest| digest.prefix()),
            old_role = roles.map(|(old, _)| old.name()),
            new_role = roles.map(|(_, new)| new.name()),
            old_username = self.detail.old_username(),
            username = self.detail.username(),
            client = client.and_then(|client| client.address).map(tracing::field::display),
            request_id = client.and_then(|client| client.request_id.as_deref()),
            "audit"
        );
    }
}

/// A filter for events. An event must satisfy all conditions that are set.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditEventFilter {
    /// Selects the events that concern this user.
    pub user: Option<UserId>,
    /// Selects the events of this kind.
    pub kind: Option<AuditEventKind>,
}
