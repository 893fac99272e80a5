//! The actor of a change: a client, a user with a credential, or the operator.

use crate::model::audit_event_enums::{ActorType, CredentialType};
use crate::model::client::Client;
use crate::model::sign_in_method::SignInMethod;
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// The username and the password.
    Password,
    /// A session token.
    Session(TokenDigest),
    /// The access token with this id.
    AccessToken(i64),
    /// A one-time token.
    OneTimeToken(TokenDigest),
    /// The embedding application has authenticated the user with this method.
    Application(SignInMethod),
}

impl Credential {
    /// Returns the type of the credential.
    pub(crate) fn credential_type(&self) -> CredentialType {
        match self {
            Self::Password => CredentialType::Password,
            Self::Session(_) => CredentialType::SessionToken,
            Self::AccessToken(_) => CredentialType::AccessToken,
            Self::OneTimeToken(_) => CredentialType::OneTimeToken,
            Self::Application(_) => CredentialType::Application,
        }
    }

    /// Returns the prefix of the digest of a session token or a one-time token, the id of an access token, or the method
    /// of an application. Returns `None` for a password.
    pub(crate) fn id(&self) -> Option<String> {
        match self {
            Self::Password => None,
            Self::Session(digest) | Self::OneTimeToken(digest) => Some(digest.prefix()),
            Self::AccessToken(id) => Some(id.to_string()),
            Self::Application(method) => Some(method.to_string()),
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
    pub(crate) fn credential(&self) -> Option<&Credential> {
        match self {
            Self::User { credential, .. } => Some(credential),
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
