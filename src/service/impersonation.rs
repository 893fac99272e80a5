//! Issues a token with which an admin acts as another user.

use crate::error::Error;
use crate::model::field_errors::MutationError;
use crate::model::label::Label;
use crate::model::session_lifetime::Lifetime;
use crate::model::token_secret::SecretType;
use crate::model::user::{Role, UserId};
use crate::service::issued_token::IssuedToken;
use crate::service::request_authentication::Authentication;
use crate::service::token_options::{NewDeviceSession, TokenOptions};
use crate::service::user_administration::ADMIN_PASSWORD;
use crate::service::users::Users;

/// The lifetime of the token in seconds, unless the options contain a shorter one. The token stays valid if the admin is
/// disabled, so it must not live longer.
const LIFETIME: i64 = 60 * 60;

impl Users {
    /// Starts a device session of the user `id` for the caller, who must be an admin and send the password. Fails if the
    /// user is an admin or disabled. The sign-in time of the user does not change, because the user does not sign in.
    pub(crate) async fn impersonate(
        &self,
        request: &Authentication,
        id: UserId,
        options: &TokenOptions,
    ) -> Result<IssuedToken, MutationError> {
        let mut change = self
            .authorize_change(request.into(), &ADMIN_PASSWORD, id)
            .await?;
        let refuse = |message: &str| Err(Error::BadUserInput(message.to_owned()).into());
        if change.record.user.is_disabled() {
            return refuse("The user is disabled. Enable the user first.");
        }
        // An admin could otherwise make changes in the name of another admin.
        if change.record.user.role >= Role::Admin {
            return refuse("An admin cannot be impersonated.");
        }
        let admin = change.authorized.viewer().user();
        let admin = admin.map_or("the operator", |admin| &admin.username);
        let device = Label::truncated(&format!("impersonated by {admin}"));
        let longest = Lifetime::from_seconds(LIFETIME)?;
        let lifetime = options.lifetime.unwrap_or(longest);
        if lifetime.duration() > longest.duration() {
            return refuse("An impersonation lasts at most 3600 seconds.");
        }
        let new = NewDeviceSession {
            secret: SecretType::Impersonation,
            device: &device,
            lifetime: Some(lifetime),
        };
        let actor = change.authorized.actor().clone();
        let (user, now) = (change.record.user, change.now);
        let sessions = &request.authenticator().sessions;
        let started =
            sessions.start_device_session(&mut change.transaction, user, new, &actor, now);
        let issued = started.await?;
        change.transaction.commit().await?;
        Ok(issued)
    }
}
