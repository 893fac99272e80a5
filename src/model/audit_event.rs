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
    /// Returns the address by which attempts are counted: the address of an IPv4 client, the /64 network of an
    /// IPv6 client. An IPv6 host can use all addresses of its network (RFC 6177).
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

/// The actor of an event. There is no default: each caller states who acts.
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
    /// The operator, through the command line or the library. The operator is not authenticated.
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

    /// Returns the prefix of the digest of a session token, or the id of an access token.
    pub(crate) fn id(self) -> Option<String> {
        match self {
            Self::Password => None,
            Self::Session(digest) => Some(digest.prefix()),
            Self::AccessToken(id) => Some(id.to_string()),
        }
    }
}

impl Actor {
    /// Creates an actor that is a user.
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

    /// Returns the id of the user.
    pub(crate) fn user_id(&self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(*id),
            Self::Anonymous(_) | Self::Operator => None,
        }
    }

    /// Returns the credential of the user.
    pub(crate) fn credential(&self) -> Option<Credential> {
        match self {
            Self::User { credential, .. } => Some(*credential),
            Self::Anonymous(_) | Self::Operator => None,
        }
    }

    /// Returns the client that sent the request. The operator has none.
    pub(crate) fn client(&self) -> Option<&Client> {
        match self {
            Self::Anonymous(client) | Self::User { client, .. } => Some(client),
            Self::Operator => None,
        }
    }
}

/// An event, or several similar events within an hour, which are counted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditEvent {
    /// The id. Events are numbered in the order in which they were recorded.
    pub id: i64,
    /// The kind.
    pub kind: AuditEventKind,
    /// The time of the first occurrence.
    pub at: DateTime<Utc>,
    /// The time of the last occurrence.
    pub last_at: DateTime<Utc>,
    /// The number of occurrences.
    pub count: i64,
    /// The user that the event concerns, who may be deleted. `None` if there was no such user.
    pub user: Option<UserId>,
    /// The type of the actor. `None` for an event that an earlier version recorded.
    pub actor_type: Option<ActorType>,
    /// The user who acted. `None` if the actor is not a user.
    pub actor: Option<UserId>,
    /// The type of the credential of the last occurrence.
    pub credential_type: Option<CredentialType>,
    /// The id of that credential: the first 12 hexadecimal digits of the SHA-256 digest of a session token, or
    /// the id of an access token.
    pub credential_id: Option<String>,
    /// The role before it was changed.
    pub old_role: Option<Role>,
    /// The role after it was changed.
    pub new_role: Option<Role>,
    /// The username before it was changed.
    pub old_username: Option<String>,
    /// The username after it was changed, or the username of a user who was deleted. The event keeps it after
    /// the user is deleted.
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
    /// Returns the old and the new role.
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

    /// Logs the event. The only texts in it that a client has chosen are usernames, which have no control
    /// characters.
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

/// A filter of events.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuditEventFilter {
    /// Selects the events that concern this user.
    pub user: Option<UserId>,
    /// Selects the events of this kind.
    pub kind: Option<AuditEventKind>,
}
