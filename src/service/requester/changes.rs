//! The operations of a requester that register users, and that issue and revoke tokens.

use std::sync::Arc;

use super::{Requester, RequesterFuture};
use crate::error::Error;
use crate::model::field_errors::MutationError;
use crate::model::request_credentials::UserPass;
use crate::model::sign_in_method::SignInMethod;
use crate::model::user::{Role, User, UserId};
use crate::service::authorization::Caller;
use crate::service::hook_runner::HookRunner;
use crate::service::hooks::Hooks;
use crate::service::issued_token::SessionToken;
use crate::service::registration::Registration;
use crate::service::sign_in_metrics::APPLICATION;
use crate::service::token_options::{TokenOptions, TokenRequest};

#[expect(
    clippy::must_use_candidate,
    reason = "the compiler warns of unused boxed futures"
)]
impl Requester {
    /// Verifies a username and a password like [`Requester::verify_password`], and issues a session token in the same
    /// transaction.
    ///
    /// ```
    /// # use symbolon::{Error, Requester, SessionToken, TokenOptions};
    /// async fn log_in(
    ///     requester: &Requester,
    ///     name: &str,
    ///     password: &str,
    /// ) -> Result<SessionToken, Error> {
    ///     requester.sign_in_with(name, password, &TokenOptions::new()).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Requester::verify_password`].
    pub fn sign_in_with(
        &self,
        username: &str,
        password: &str,
        options: &TokenOptions,
    ) -> RequesterFuture<SessionToken> {
        let credentials = UserPass::new(username, password);
        let requested = token_request(options);
        self.run(|this| async move {
            let verified =
                (this.authentication).verify_other_password(&credentials, Some(requested));
            let (_, issued) = verified.await?;
            let missing = || Error::internal("a sign-in has issued no token");
            Ok(issued.ok_or_else(missing)?.into())
        })
    }

    /// Issues a session token for the HTTP Basic credentials, like the mutation `createToken`.
    ///
    /// ```
    /// # use symbolon::{Error, Requester, SessionToken, TokenOptions};
    /// async fn log_in(requester: &Requester) -> Result<SessionToken, Error> {
    ///     requester.sign_in(&TokenOptions::new().device("Phone")?).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::RateLimited`] after too many wrong passwords.
    pub fn sign_in(&self, options: &TokenOptions) -> RequesterFuture<SessionToken> {
        let requested = token_request(options);
        self.run(|this| async move {
            let issued = this.authentication.create_token(requested).await?;
            Ok(issued.into())
        })
    }

    /// Issues a session token to a user whom the application has authenticated with a method of its own, for example an
    /// OAuth provider or a link in a mail. `method` is the name of the method in the audit trail: 1 to 32 ASCII letters,
    /// digits, `-`, `_` and `.`.
    ///
    /// Runs [`Hooks::before_sign_in`](crate::Hooks::before_sign_in), sets [`User::last_sign_in_at`], and records the events
    /// `SIGNED_IN` and `TOKEN_ISSUED` with the credential type `APPLICATION`. The credentials of the requester are not
    /// read.
    ///
    /// The throttle does not limit this method, because it verifies no password. An application must limit the attempts
    /// of its own method.
    ///
    /// ```
    /// # use symbolon::{Error, Requester, SessionToken, TokenOptions, UserId};
    /// /// Signs in the user whose identity GitHub has confirmed.
    /// async fn finish_oauth(requester: &Requester, user: UserId) -> Result<SessionToken, Error> {
    ///     requester.create_token(user, "github", &TokenOptions::new()).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::Unauthenticated`] if the user does not exist or is disabled, [`Error::SignInRefused`] if a hook
    /// refuses the sign-in, and [`Error::BadUserInput`] if the name of the method is invalid.
    pub fn create_token(
        &self,
        user: UserId,
        method: &str,
        options: &TokenOptions,
    ) -> RequesterFuture<SessionToken> {
        let method = SignInMethod::parse(method);
        let requested = token_request(options);
        self.run(move |this| async move {
            let signed_in = (this.authentication).sign_in_by_application(user, method?, requested);
            Ok(signed_in.await?.into())
        })
    }

    /// Issues a token with which an admin acts as the user `user`, for example to reproduce a problem that the user has
    /// reported. Requires the HTTP Basic credentials of an admin. The user must be enabled and must not be an admin.
    ///
    /// The token belongs to a new device session, which the user sees in the list of sessions and can revoke. The name of
    /// the device is `impersonated by` and the username of the admin. The token is valid for one hour, unless the options
    /// contain a shorter lifetime, and cannot be extended. It also ends if the user becomes an admin, but not if the admin
    /// is disabled: revoke the tokens of the user. Operations that require a
    /// password stay impossible. The event `TOKEN_ISSUED` names the admin as the actor. The events of later operations
    /// name the user, and the digest of the token as the credential.
    ///
    /// Sets no [`User::last_sign_in_at`], and runs no hook for the user.
    ///
    /// ```
    /// # use symbolon::{Error, Requester, SessionToken, TokenOptions, UserId};
    /// async fn act_as(requester: &Requester, user: UserId) -> Result<SessionToken, Error> {
    ///     requester.impersonate(user, &TokenOptions::new()).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::Forbidden`] for a Bearer token and for a caller who is not an admin, [`Error::RateLimited`] after
    /// too many wrong passwords, and [`Error::BadUserInput`] if the user does not exist, is disabled or is an admin, or if
    /// the lifetime exceeds one hour.
    pub fn impersonate(
        &self,
        user: UserId,
        options: &TokenOptions,
    ) -> RequesterFuture<SessionToken> {
        let options = options.clone();
        self.run(move |this| async move {
            let (users, request) = (&this.services.users, &this.authentication);
            let issued = users.impersonate(request, user, &options).await;
            Ok(issued.map_err(without_fields)?.into())
        })
    }

    /// Registers a user with the role [`Role::User`], like the mutation `createUser`. If registration is closed, the
    /// credentials must be those of an admin.
    ///
    /// ```
    /// # use symbolon::{MutationError, Registration, Requester, User};
    /// async fn sign_up(
    ///     requester: &Requester,
    ///     username: String,
    ///     password: String,
    /// ) -> Result<User, MutationError> {
    ///     let new = Registration { username, email: None, password };
    ///     requester.register(&new).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`MutationError::Fields`] if the name, the e-mail address or the password is invalid, or if another user has
    /// the name or the e-mail address. Returns [`Error::RateLimited`] after too many registrations from one address.
    pub fn register(&self, registration: &Registration) -> RequesterFuture<User, MutationError> {
        let registration = registration.clone();
        self.run(|this| async move {
            let (users, caller) = (&this.services.users, this.caller());
            let registered = users.register(caller, &registration, Role::User);
            Ok(registered.await?.into_user())
        })
    }

    /// Registers a user like [`Requester::register`], and also runs [`Hooks::before_register`] and
    /// [`Hooks::after_register`] of `hooks` in the transaction, after those of the instance. Use this method for a
    /// registration with data that `createUser` does not have: the user and the rows that the hook writes are committed
    /// together, or not at all.
    ///
    /// ```
    /// use symbolon::sea_orm::{ConnectionTrait, Statement};
    /// use symbolon::{
    ///     HookError, HookTransaction, Hooks, MutationError, Registration, Requester, User, async_trait,
    /// };
    ///
    /// struct NewProfile {
    ///     display_name: String,
    /// }
    ///
    /// #[async_trait]
    /// impl Hooks for NewProfile {
    ///     async fn after_register(
    ///         &self,
    ///         transaction: &HookTransaction<'_>,
    ///         user: &User,
    ///     ) -> Result<(), HookError> {
    ///         let insert = Statement::from_sql_and_values(
    ///             transaction.get_database_backend(),
    ///             "INSERT INTO profile (user_id, display_name) VALUES ($1, $2)",
    ///             [user.id.into(), self.display_name.clone().into()],
    ///         );
    ///         transaction.execute_raw(insert).await?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// async fn sign_up(
    ///     requester: &Requester,
    ///     user: &Registration,
    ///     display_name: String,
    /// ) -> Result<User, MutationError> {
    ///     requester.register_with(user, NewProfile { display_name }).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Requester::register`]. A refusal by a hook is a [`MutationError::Fields`].
    pub fn register_with(
        &self,
        registration: &Registration,
        hooks: impl Hooks + 'static,
    ) -> RequesterFuture<User, MutationError> {
        let (registration, hooks) = (registration.clone(), HookRunner::new(Arc::new(hooks)));
        self.run(|this| async move {
            let (users, caller) = (&this.services.users, this.caller());
            let registered = users.register_with(caller, &registration, Role::User, &hooks);
            Ok(registered.await?.into_user())
        })
    }

    /// Extends the session token of the request, like the mutation `renewToken`. Requires a session token.
    ///
    /// ```
    /// # use symbolon::{Error, Requester, SessionToken};
    /// async fn renew(requester: &Requester) -> Result<SessionToken, Error> {
    ///     requester.renew_token().await
    /// }
    /// ```
    pub fn renew_token(&self) -> RequesterFuture<SessionToken> {
        self.run(|this| async move { Ok(this.authentication.renew_token().await?.into()) })
    }

    /// Revokes the Bearer token of the request, like the mutation `revokeToken`. Returns whether the token was live.
    ///
    /// ```
    /// # use symbolon::{Error, Requester};
    /// async fn log_out(requester: &Requester) -> Result<bool, Error> {
    ///     requester.revoke_token().await
    /// }
    /// ```
    pub fn revoke_token(&self) -> RequesterFuture<bool> {
        self.run(|this| async move { this.authentication.revoke_token().await })
    }

    /// Revokes all sessions, all access tokens and the unused one-time links of the caller, like the mutation
    /// `revokeAllTokens`. Returns the number of session tokens and access tokens that were live.
    ///
    /// ```
    /// # use symbolon::{Error, Requester};
    /// async fn log_out_everywhere(requester: &Requester) -> Result<u32, Error> {
    ///     requester.revoke_all_tokens().await
    /// }
    /// ```
    pub fn revoke_all_tokens(&self) -> RequesterFuture<u32> {
        self.run(|this| async move {
            let (users, caller) = (&this.services.users, this.caller());
            users
                .revoke_own_tokens(caller)
                .await
                .map_err(without_fields)
        })
    }

    /// Revokes all sessions of the caller except the session of the request, like the mutation `revokeOtherSessions`.
    /// Returns the number of sessions that were live.
    ///
    /// ```
    /// # use symbolon::{Error, Requester};
    /// async fn log_out_elsewhere(requester: &Requester) -> Result<u32, Error> {
    ///     requester.revoke_other_sessions().await
    /// }
    /// ```
    pub fn revoke_other_sessions(&self) -> RequesterFuture<u32> {
        self.run(|this| async move {
            let (users, caller) = (&this.services.users, this.caller());
            let revoked = users.revoke_other_sessions(caller).await;
            revoked.map_err(without_fields)
        })
    }

    fn caller(&self) -> Caller<'_> {
        (&self.authentication).into()
    }
}

fn token_request(options: &TokenOptions) -> TokenRequest {
    TokenRequest {
        endpoint: APPLICATION,
        options: options.clone(),
    }
}

/// Converts the error of an operation that has no input fields.
fn without_fields(error: MutationError) -> Error {
    match error {
        MutationError::Error(error) => error,
        MutationError::Fields(_) => Error::BadUserInput(error.to_string()),
    }
}
