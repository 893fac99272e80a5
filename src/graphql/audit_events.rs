//! The audit trail.

use async_graphql::{Enum, ID, SimpleObject};

use crate::graphql::connection::Connection;
use crate::graphql::timestamp::Timestamp;
use crate::graphql::user::Role;
use crate::model::{audit_event, audit_event_enums};

/// A page of the audit trail.
pub(crate) type AuditEventConnection = Connection<AuditEvent>;

/// An entry of the audit trail.
///
/// In each hour, the first 10 events with the same kind, user and actor are recorded as separate
/// entries. All later events in that hour are combined into one entry, which describes the latest of
/// these events.
#[derive(SimpleObject)]
pub(crate) struct AuditEvent {
    /// The ID of the entry. Later entries have larger IDs.
    id: ID,
    /// The kind of the event.
    kind: AuditEventKind,
    /// The time of the event. For a combined entry, the time of its first event.
    at: Timestamp,
    /// For a combined entry, the time of its latest event. Otherwise equal to `at`.
    last_at: Timestamp,
    /// The number of events in a combined entry. Otherwise 1.
    count: i64,
    /// The ID of the user whom the event concerns. The user may have been deleted since. Null if the event
    /// concerns no existing user, for example a sign-in with an unknown username.
    user_id: Option<ID>,
    /// The type of the actor. Null if an early version of the server, which did not store the type,
    /// recorded the event.
    actor_type: Option<ActorType>,
    /// The ID of the user who performed the operation. Null if the actor is not a user.
    actor_id: Option<ID>,
    /// The type of the credential that authenticated the actor. Null if the actor is not a user.
    credential_type: Option<CredentialType>,
    /// The identifier of the credential that authenticated the actor. For a session token or a one-time
    /// token, the first 12 hexadecimal digits of the SHA-256 digest of the token. For an access token, the
    /// ID of the token. For a method of the application, the name of the method. Otherwise null.
    credential_id: Option<String>,
    /// The role of the user before the change. Null unless `kind` is `ROLE_CHANGED`.
    old_role: Option<Role>,
    /// The role of the user after the change. Null unless `kind` is `ROLE_CHANGED`.
    new_role: Option<Role>,
    /// The username before the change. Null unless `kind` is `PROFILE_CHANGED` and the username changed.
    old_username: Option<String>,
    /// If `kind` is `PROFILE_CHANGED` and the username changed, the new username. If `kind` is `DELETED`,
    /// the username of the deleted user. Otherwise null.
    username: Option<String>,
    /// The first 12 hexadecimal digits of the SHA-256 digest of the token that was issued, renewed or
    /// revoked, or of the one-time token in the link that was created. Null if the event concerns no token.
    token: Option<String>,
    /// The IP address of the client. Null if the address is unknown, or if the actor is the operator.
    address: Option<String>,
    /// The ID of the HTTP request. The server's log and the response header `X-Request-Id` contain the same
    /// ID. Null if the ID is unknown, or if the actor is the operator.
    request_id: Option<String>,
}

impl From<audit_event::AuditEvent> for AuditEvent {
    fn from(event: audit_event::AuditEvent) -> Self {
        Self {
            id: event.id.into(),
            kind: event.kind.into(),
            at: event.at.into(),
            last_at: event.last_at.into(),
            count: event.count,
            user_id: event.user.map(ID::from),
            actor_type: event.actor_type.map(Into::into),
            actor_id: event.actor.map(ID::from),
            credential_type: event.credential_type.map(Into::into),
            credential_id: event.credential_id,
            old_role: event.old_role.map(Into::into),
            new_role: event.new_role.map(Into::into),
            old_username: event.old_username,
            username: event.username,
            token: event.token,
            address: event.address,
            request_id: event.request_id,
        }
    }
}

/// The type of the actor that caused an audit event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(name = "AuditActorType", remote = "audit_event_enums::ActorType")]
pub(crate) enum ActorType {
    /// An unauthenticated client.
    Anonymous,
    /// An authenticated user.
    User,
    /// The operator, through the command line or the library.
    Operator,
}

/// The type of the credential that authenticated the actor of an audit event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(
    name = "AuditCredentialType",
    remote = "audit_event_enums::CredentialType"
)]
pub(crate) enum CredentialType {
    /// A username and a password.
    Password,
    /// A session token.
    SessionToken,
    /// An access token.
    AccessToken,
    /// A one-time token.
    OneTimeToken,
    /// A method of the application that embeds Symbolon, with which the application has authenticated the user.
    Application,
}

/// The kind of an audit event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "audit_event_enums::AuditEventKind")]
pub(crate) enum AuditEventKind {
    /// A user was created.
    Registered,
    /// A link was created with which an invited user chooses the first password.
    Invited,
    /// A user signed in with a password, or with a method of the application that embeds Symbolon.
    SignedIn,
    /// A sign-in failed because the password was wrong. In each hour, all events of this kind that concern
    /// the same user are combined into one entry.
    SignInFailed,
    /// A sign-in was refused after too many attempts. In each hour, all events of this kind that concern
    /// the same user are combined into one entry.
    Throttled,
    /// A session token or an access token was issued.
    TokenIssued,
    /// The expiration of a session token was extended.
    TokenRenewed,
    /// A token was revoked before it expired.
    TokenRevoked,
    /// A link was created with which a user can replace a forgotten password.
    ResetLinkCreated,
    /// The password of a user was changed.
    PasswordChanged,
    /// The username or the e-mail address of a user was changed.
    ProfileChanged,
    /// The role of a user was changed.
    RoleChanged,
    /// A user was disabled.
    Disabled,
    /// A disabled user was enabled.
    Enabled,
    /// A user was deleted.
    Deleted,
}
