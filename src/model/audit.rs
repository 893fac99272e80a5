//! The audit trail: what happens to accounts and tokens, who did it, and from where.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::model::token::TokenDigest;
use crate::model::user::UserId;

/// What can happen to an account or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditEventKind {
    /// An account was made.
    Registered,
    /// A password was accepted.
    SignedIn,
    /// A password was not accepted. Counted for each account and hour.
    SignInFailed,
    /// An attempt was refused before the password was looked at. Counted for each account and hour.
    Throttled,
    /// A new token was handed out.
    TokenIssued,
    /// A session token lives longer than it would have.
    TokenRenewed,
    /// A token was ended before its time.
    TokenRevoked,
    /// An account has another password.
    PasswordChanged,
    /// An account has another name or e-mail address.
    ProfileChanged,
    /// An account has another role.
    RoleChanged,
    /// An account may not sign in any more.
    Disabled,
    /// An account may sign in again.
    Enabled,
    /// An account was deleted.
    Deleted,
}

impl AuditEventKind {
    const NAMES: [(Self, &str); 13] = [
        (Self::Registered, "REGISTERED"),
        (Self::SignedIn, "SIGNED_IN"),
        (Self::SignInFailed, "SIGN_IN_FAILED"),
        (Self::Throttled, "THROTTLED"),
        (Self::TokenIssued, "TOKEN_ISSUED"),
        (Self::TokenRenewed, "TOKEN_RENEWED"),
        (Self::TokenRevoked, "TOKEN_REVOKED"),
        (Self::PasswordChanged, "PASSWORD_CHANGED"),
        (Self::ProfileChanged, "PROFILE_CHANGED"),
        (Self::RoleChanged, "ROLE_CHANGED"),
        (Self::Disabled, "DISABLED"),
        (Self::Enabled, "ENABLED"),
        (Self::Deleted, "DELETED"),
    ];

    /// All that there are.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMES.into_iter().map(|(kind, _)| kind)
    }

    /// Its name at every door, `SIGNED_IN` for example.
    #[must_use]
    pub fn name(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(kind, _)| *kind == self);
        named.map_or("", |(_, name)| name)
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let named = Self::NAMES.iter().find(|(_, other)| *other == name);
        named.map(|(kind, _)| *kind)
    }
}

/// The client that sent a request.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: Option<Arc<str>>,
}

impl Origin {
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
    Anonymous(Origin),
    /// An account, by one of its credentials.
    User {
        id: UserId,
        credential: Credential,
        origin: Origin,
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
    /// The kind of credential: `PASSWORD`, `SESSION_TOKEN` or `ACCESS_TOKEN`.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Password => "PASSWORD",
            Self::Session(_) => "SESSION_TOKEN",
            Self::AccessToken(_) => "ACCESS_TOKEN",
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
    pub(crate) fn user(id: UserId, credential: Credential, origin: &Origin) -> Self {
        Self::User {
            id,
            credential,
            origin: origin.clone(),
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
    pub(crate) fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Anonymous(origin) | Self::User { origin, .. } => Some(origin),
            Self::Operator => None,
        }
    }
}

/// What happened to an account or a token; or, of a kind that is counted, happened several times
/// within an hour.
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
    /// The account that did it. `None` for the operator, and for whoever failed to sign in.
    pub actor: Option<UserId>,
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
        }
    }

    /// The same, which happened to a token.
    pub(crate) fn of_token(self, token: TokenDigest) -> Self {
        Self {
            token: Some(token),
            ..self
        }
    }

    /// Writes the event to the log. Nothing in it is what a client typed.
    pub(crate) fn log(&self) {
        let (origin, credential) = (self.actor.origin(), self.actor.credential());
        tracing::info!(
            target: "symbolon::audit",
            event = self.kind.name(),
            at = self.at.to_rfc3339(),
            user_id = self.user.map(tracing::field::display),
            actor_id = self.actor.user_id().map(tracing::field::display),
            credential = credential.map(Credential::kind),
            credential_id = credential.and_then(Credential::id),
            token = self.token.map(|digest| digest.prefix()),
            client = origin.and_then(|origin| origin.address).map(tracing::field::display),
            request_id = origin.and_then(|origin| origin.request_id.as_deref()),
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
