//! The connection of the audit trail.

use async_graphql::connection::PageInfo;
use async_graphql::{Enum, ID, Object, SimpleObject};
use chrono::{DateTime, Utc};

use crate::error::Error;
use crate::graphql::object_types::Role;
use crate::graphql::pagination::{Arguments, cursor};
use crate::model::audit_event::{self, EventFilter};
use crate::service::Services;
use crate::service::authorization::Caller;

/// A page of the audit trail.
#[derive(Debug)]
pub(crate) struct AuditEventConnection {
    edges: Vec<AuditEventEdge>,
    has_previous_page: bool,
    has_next_page: bool,
}

/// An event on a page.
#[derive(Clone, Debug, SimpleObject)]
pub(crate) struct AuditEventEdge {
    /// Where the event stands in the whole; opaque.
    cursor: String,
    /// The event.
    node: AuditEvent,
}

/// A page of the audit trail.
#[Object]
impl AuditEventConnection {
    /// The events of the page, each with its cursor.
    async fn edges(&self) -> &[AuditEventEdge] {
        &self.edges
    }

    /// The events of the page.
    async fn nodes(&self) -> Vec<&AuditEvent> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Where the page begins and ends, and whether there is more.
    async fn page_info(&self) -> PageInfo {
        PageInfo {
            has_previous_page: self.has_previous_page,
            has_next_page: self.has_next_page,
            start_cursor: self.edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: self.edges.last().map(|edge| edge.cursor.clone()),
        }
    }
}

/// An event of an account or a token. An account can repeat most operations at will, so the first 10 events
/// of one kind, account and actor within an hour have rows of their own. Later ones are counted in one row,
/// which has what is known of the last of them.
#[derive(Clone, Debug)]
pub(crate) struct AuditEvent(audit_event::AuditEvent);

/// An event of an account or a token. An account can repeat most operations at will, so the first 10 events
/// of one kind, account and actor within an hour have rows of their own. Later ones are counted in one row,
/// which has what is known of the last of them.
#[Object]
impl AuditEvent {
    /// Its number, in the order in which the events were recorded.
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    /// What happened.
    async fn kind(&self) -> AuditEventKind {
        self.0.kind.into()
    }

    /// When, or when first.
    async fn at(&self) -> DateTime<Utc> {
        self.0.at
    }

    /// When last; the same unless it was counted.
    async fn last_at(&self) -> DateTime<Utc> {
        self.0.last_at
    }

    /// How often.
    async fn count(&self) -> i64 {
        self.0.count
    }

    /// The number of the account that it happened to, which may be gone by now. Null if there never
    /// was one.
    async fn user_id(&self) -> Option<ID> {
        self.0.user.map(ID::from)
    }

    /// The type of the actor. Null for an event of an earlier version, which did not record it.
    async fn actor_type(&self) -> Option<ActorType> {
        self.0.actor_type.map(Into::into)
    }

    /// The number of the account that did it. Null unless an account did it.
    async fn actor_id(&self) -> Option<ID> {
        self.0.actor.map(ID::from)
    }

    /// The kind of credential by which the account did it, or the last of them. Null unless an account
    /// did it.
    async fn credential_type(&self) -> Option<CredentialType> {
        self.0.credential_type.map(Into::into)
    }

    /// The first 12 hexadecimal digits of the SHA-256 digest of that session token, or the number of that
    /// access token. Null for a password.
    async fn credential_id(&self) -> Option<&str> {
        self.0.credential_id.as_deref()
    }

    /// The role that the account had before `ROLE_CHANGED`.
    async fn old_role(&self) -> Option<Role> {
        self.0.old_role.map(Into::into)
    }

    /// The role that the account has after `ROLE_CHANGED`.
    async fn new_role(&self) -> Option<Role> {
        self.0.new_role.map(Into::into)
    }

    /// The username before the account was renamed, of `PROFILE_CHANGED`. Null if it was not renamed.
    async fn old_username(&self) -> Option<&str> {
        self.0.old_username.as_deref()
    }

    /// The username after the account was renamed, of `PROFILE_CHANGED`, or the username of the deleted
    /// account, of `DELETED`. It stays as long as the event is kept, also when the account is deleted.
    async fn username(&self) -> Option<&str> {
        self.0.username.as_deref()
    }

    /// The first 12 hexadecimal digits of the SHA-256 digest of the token that it happened to.
    async fn token(&self) -> Option<&str> {
        self.0.token.as_deref()
    }

    /// The address that it, or the last of them, was asked for from.
    async fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// The id of the request that asked for it, or for the last of them, as the log has it.
    async fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }
}

/// The type of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(name = "AuditActorType", remote = "audit_event::ActorType")]
pub(crate) enum ActorType {
    /// A client that was not authenticated.
    Anonymous,
    /// An account.
    User,
    /// The operator, through the command line or the library.
    Operator,
}

/// The kind of credential that authenticated a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(name = "AuditCredentialType", remote = "audit_event::CredentialType")]
pub(crate) enum CredentialType {
    /// The username and the password.
    Password,
    /// A session token.
    SessionToken,
    /// An access token.
    AccessToken,
}

/// What can happen to an account or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "audit_event::AuditEventKind")]
pub(crate) enum AuditEventKind {
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

pub(super) async fn audit_events(
    services: &Services,
    caller: Caller<'_>,
    filter: EventFilter,
    arguments: Arguments,
) -> Result<AuditEventConnection, Error> {
    let page = arguments.page("event")?;
    let page = services.audit_trail.page(caller, filter, page).await?;
    let edge = |event: audit_event::AuditEvent| AuditEventEdge {
        cursor: cursor("event", -event.id),
        node: AuditEvent(event),
    };
    Ok(AuditEventConnection {
        edges: page.items.into_iter().map(edge).collect(),
        has_previous_page: page.has_previous,
        has_next_page: page.has_next,
    })
}
