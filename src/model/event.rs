//! Events: single occurrences, which the audit trail aggregates.

use std::net::IpAddr;

use chrono::{DateTime, Utc};

use crate::model::actor::Credential;
use crate::model::audit_event::NewAuditEvent;
use crate::model::audit_event_enums::{ActorType, AuditEventKind, CredentialType};
use crate::model::request_credentials::TokenType;
use crate::model::timestamp::rfc3339;
use crate::model::user::{Role, UserId};

/// One occurrence: a change, a sign-in, or a refused attempt.
///
/// [`Symbolon::events`](crate::Symbolon::events) returns the events of an instance. An [`AuditEvent`](crate::AuditEvent)
/// is a row of the audit trail, which counts repeated events.
///
/// ```
/// use symbolon::{AuditEventKind, Event};
///
/// /// Returns the text that an administrator receives, if any.
/// fn alert(event: &Event) -> Option<String> {
///     let id = event.user?;
///     match event.kind {
///         AuditEventKind::RoleChanged => Some(format!("The role of user {id} was changed.")),
///         AuditEventKind::Throttled => Some(format!("Too many passwords were tried for user {id}.")),
///         _ => None,
///     }
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let symbolon = symbolon::Symbolon::open(config).await?;
/// # let operator = symbolon.operator();
/// # let mut events = symbolon.events();
/// # let ada = symbolon::Registration {
/// #     username: "ada".to_owned(),
/// #     email: Some("ada@example.org".to_owned()),
/// #     password: "correct horse".to_owned(),
/// # };
/// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
/// # operator.set_role(ada.id, symbolon::Role::Admin).await?;
/// # let alerts = futures_util::StreamExt::take(events, 2);
/// # let alerts = futures_util::StreamExt::filter_map(alerts, async |event| alert(&event.ok()?));
/// # let alerts: Vec<_> = futures_util::StreamExt::collect(alerts).await;
/// # assert_eq!(alerts, ["The role of user 1 was changed."]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The kind of the event.
    pub kind: AuditEventKind,
    /// The time of the occurrence.
    pub at: DateTime<Utc>,
    /// The user that the event concerns. `None` if the event concerns no existing user.
    pub user: Option<UserId>,
    /// The type of the actor.
    pub actor_type: ActorType,
    /// The user who acted. `None` if the actor is not a user.
    pub actor: Option<UserId>,
    /// The type of the credential that authenticated the actor. `None` if the actor is not a user.
    pub credential_type: Option<CredentialType>,
    /// The id of the credential: the first 12 hexadecimal digits of the SHA-256 digest of a session token or a
    /// one-time token, the id of an access token, or the name of a method of the application.
    pub credential_id: Option<String>,
    /// The role before the change.
    pub old_role: Option<Role>,
    /// The role after the change.
    pub new_role: Option<Role>,
    /// The username before the change.
    pub old_username: Option<String>,
    /// The username after the change, or the last username of a deleted user.
    pub username: Option<String>,
    /// The first 12 hexadecimal digits of the SHA-256 digest of the token that the event concerns.
    pub token: Option<String>,
    /// The type of the token, for the metrics. `None` for a one-time token.
    pub(crate) token_type: Option<TokenType>,
    /// The address of the client.
    pub address: Option<IpAddr>,
    /// The id of the request.
    pub request_id: Option<String>,
}

impl Event {
    /// Logs the event. Texts that clients choose, such as usernames, cannot contain control characters.
    pub(crate) fn log(&self) {
        tracing::info!(
            target: "symbolon::audit",
            event = self.kind.name(),
            at = rfc3339(self.at),
            user_id = self.user.map(tracing::field::display),
            actor = self.actor_type.name(),
            actor_id = self.actor.map(tracing::field::display),
            credential = self.credential_type.map(CredentialType::name),
            credential_id = self.credential_id,
            token = self.token,
            old_role = self.old_role.map(Role::name),
            new_role = self.new_role.map(Role::name),
            old_username = self.old_username,
            username = self.username,
            client = self.address.map(tracing::field::display),
            request_id = self.request_id,
            "audit"
        );
    }
}

impl From<NewAuditEvent> for Event {
    fn from(new: NewAuditEvent) -> Self {
        let (client, credential) = (new.actor.client(), new.actor.credential());
        let (old_role, new_role) = new.detail.roles().unzip();
        Self {
            kind: new.kind,
            at: new.at,
            user: new.user,
            actor_type: new.actor.actor_type(),
            actor: new.actor.user_id(),
            credential_type: credential.map(Credential::credential_type),
            credential_id: credential.and_then(Credential::id),
            old_role,
            new_role,
            old_username: new.detail.old_username().map(str::to_owned),
            username: new.detail.username().map(str::to_owned),
            token: new.token.map(|digest| digest.prefix()),
            token_type: new.token_type,
            address: client.and_then(|client| client.address),
            request_id: client.and_then(|client| client.request_id.as_deref().map(str::to_owned)),
        }
    }
}
