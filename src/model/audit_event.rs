//! The audit trail: what happens to accounts and tokens, who did it, and from where.

mod kinds;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use self::kinds::{ActorType, AuditEventKind, CredentialType};
use crate::model::token_digest::TokenDigest;
use crate::model::user::{Role, UserId};

/// The client that sent a request. Without its fields it is unknown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: Option<Arc<str>>,
}

impl Client {
    /// What addresses are counted by: IPv6 hosts have a whole /64 network each (RFC 6177), so a
    /// single address of it says nothing.
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

/// Who does something. There is no default: each caller states which of the three it is.
#[derive(Clone, Debug)]
pub(crate) enum Actor {
    /// A client that is not authenticated.
    Anonymous(Client),
    /// An account, by one of its credentials.
    User {
        id: UserId,
        credential: Credential,
        client: Client,
    },
    /// The operator, through the command line or through the library. Nothing is checked.
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
    /// The kind of credential.
    pub(crate) fn kind(self) -> CredentialType {
        match self {
            Self::Password => CredentialType::Password,
            Self::Session(_) => CredentialType::SessionToken,
            Self::AccessToken(_) => CredentialType::AccessToken,
        }
    }

    /// The first digits of the digest of a session token, the id of an access token, nothing for a
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
    /// An account that acts by one of its credentials.
    pub(crate) fn user(id: UserId, credential: Credential, client: &Client) -> Self {
        Self::User {
            id,
            credential,
            client: client.clone(),
        }
    }

    /// Which of the three it is.
    pub(crate) fn kind(&self) -> ActorType {
        match self {
            Self::Anonymous(_) => ActorType::Anonymous,
            Self::User { .. } => ActorType::User,
            Self::Operator => ActorType::Operator,
        }
    }

    /// The id of the account, if an account acts.
    pub(crate) fn user_id(&self) -> Option<UserId> {
        match self {
            Self::User { id, .. } => Some(*id),
            Self::Anonymous(_) | Self::Operator => None,
        }
    }

    /// The credential by which an account acts.
    pub(crate) fn credential(&self) -> Option<Credential> {
        match self {
            Self::User { credential, .. } => Some(*credential),
            Self::Anonymous(_) | Self::Operator => None,
        }
    }

    /// The client that sent the request. The operator sends none.
    pub(crate) fn client(&self) -> Option<&Client> {
        match self {
            Self::Anonymous(client) | Self::User { client, .. } => Some(client),
            Self::Operator => None,
        }
    }
}

/// An event of an account or a token; or several of one kind within an hour, which are counted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditEvent {
    /// Its number, in the order in which the events were recorded.
    pub id: i64,
    /// What happened.
    pub kind: AuditEventKind,
    /// When, or when first.
    pub at: DateTime<Utc>,
    /// When last; the same unless it was counted.
    pub last_at: DateTime<Utc>,
    /// How often.
    pub count: i64,
    /// The account that it happened to, which may be gone by now. `None` if there never was one.
    pub user: Option<UserId>,
    /// The type of the actor. `None` for an event of an earlier version, which did not record it.
    pub actor_type: Option<ActorType>,
    /// The account that did it, if an account did it.
    pub actor: Option<UserId>,
    /// The kind of credential by which the account did it, or the last of them.
    pub credential_type: Option<CredentialType>,
    /// The first 12 hexadecimal digits of the SHA-256 digest of that session token, or the number of
    /// that access token.
    pub credential_id: Option<String>,
    /// The role that the account had before the role was changed.
    pub old_role: Option<Role>,
    /// The role that the account was given.
    pub new_role: Option<Role>,
    /// The username before the account was renamed.
    pub old_username: Option<String>,
    /// The username after the account was renamed, or the username of an account that was deleted. It
    /// stays as long as the event is kept, also when the account is deleted.
    pub username: Option<String>,
    /// The first 12 hexadecimal digits of the SHA-256 digest of the token that it happened to.
    pub token: Option<String>,
    /// The address that it, or the last of them, was asked for from.
    pub address: Option<String>,
    /// The id of the request that asked for it, or for the last of them.
    pub request_id: Option<String>,
}

/// An event that is about to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent {
    pub(crate) kind: AuditEventKind,
    pub(crate) at: DateTime<Utc>,
    pub(crate) user: Option<UserId>,
    pub(crate) actor: Actor,
    pub(crate) token: Option<TokenDigest>,
    pub(crate) detail: EventDetail,
}

/// Details that are recorded of an event, by its kind.
#[derive(Clone, Debug, Default)]
pub(crate) enum EventDetail {
    #[default]
    None,
    /// The account has another role.
    Role { old: Role, new: Role },
    /// The account has another username.
    Username { old: String, new: String },
    /// The account that had this username was deleted.
    Deleted { username: String },
}

impl EventDetail {
    /// The old and the new role.
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

impl NewEvent {
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
            detail: EventDetail::None,
        }
    }

    /// Adds what else is recorded of an event of this kind.
    pub(crate) fn with(self, detail: EventDetail) -> Self {
        Self { detail, ..self }
    }

    /// The same, which happened to a token.
    pub(crate) fn with_token(self, token: TokenDigest) -> Self {
        Self {
            token: Some(token),
            ..self
        }
    }

    /// Writes the event to the log. The only texts in it that a client chose are usernames of accounts,
    /// which have no control characters.
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

/// Which events are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventFilter {
    /// Only those that happened to this account.
    pub user: Option<UserId>,
    /// Only those of this kind.
    pub kind: Option<AuditEventKind>,
}
