//! The actor of a change: a client, a user with a credential, or the operator.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::model::audit_event_kind::{ActorType, CredentialType};
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;

/// The client that sent a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: Option<Arc<str>>,
}

impl Client {
    /// Returns the [`network`] of the address.
    pub(crate) fn network(&self) -> Option<IpAddr> {
        self.address.map(network)
    }
}

/// Returns the address for which attempts and connections are counted: an IPv4 address, or the /64 network of an IPv6
/// address. An IPv6 host can use any address of its /64 network (RFC 6177).
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(network).into()
        }
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
    /// A one-time token.
    OneTimeToken(TokenDigest),
}

impl Credential {
    /// Returns the type of the credential.
    pub(crate) fn credential_type(self) -> CredentialType {
        match self {
            Self::Password => CredentialType::Password,
            Self::Session(_) => CredentialType::SessionToken,
            Self::AccessToken(_) => CredentialType::AccessToken,
            Self::OneTimeToken(_) => CredentialType::OneTimeToken,
        }
    }

    /// Returns the prefix of the digest of a session token or a one-time token, or the id of an access token. Returns
    /// `None` for a password.
    pub(crate) fn id(self) -> Option<String> {
        match self {
            Self::Password => None,
            Self::Session(digest) | Self::OneTimeToken(digest) => Some(digest.prefix()),
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
    pub(crate) fn actor_type(&self) -> ActorType {
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
