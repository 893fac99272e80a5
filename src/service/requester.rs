//! Operations of embedding applications on behalf of a client.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::error::Error;
use crate::model::client::Client;
use crate::model::field_errors::MutationError;
use crate::model::identity::Identity;
use crate::model::request_credentials::{Credentials, UserPass};
use crate::model::requirement::Requirement;
use crate::model::sign_in_method::SignInMethod;
use crate::model::user::{Role, User, UserId};
use crate::service::authorization::Caller;
use crate::service::issued_token::SessionToken;
use crate::service::registration::Registration;
use crate::service::request_authentication::Authentication;
use crate::service::sign_in_metrics::APPLICATION;
use crate::service::token_options::{TokenOptions, TokenRequest};
use crate::service::{Services, run_to_completion};

/// There is no time limit, because the application can stop waiting for a result at any time.
const NO_LIMIT: Duration = Duration::MAX;

/// The result of a method of [`Requester`]. The future is boxed, so that the methods are compiled once, with the library.
type RequesterFuture<T, E = Error> = BoxFuture<'static, Result<T, E>>;

/// A request of a client, with the credentials that the client sent: the interface for the operations that an application
/// performs on behalf of its clients. [`Operator`](crate::Operator) is the interface for operations without a client.
///
/// A resolver gets the requester from [`ContextExt::requester`](crate::ContextExt::requester), a poem route extracts it
/// as a parameter, and other servers create it with [`Symbolon::requester`](crate::Symbolon::requester). A requester
/// belongs to one request: it verifies at most one password. Clones belong to the same request.
///
/// The operations have the same rules as the mutations of the API: authorization, rate limits, hooks and the audit trail.
/// Each operation runs to completion, even if the caller drops its future after the first poll.
///
/// ```
/// use poem::handler;
/// use symbolon::{Error, Requester, Role};
///
/// /// Deletes the cache. Only admins can do this.
/// #[handler]
/// async fn clear_cache(requester: Requester) -> Result<String, Error> {
///     let admin = requester.require_role(Role::Admin).await?;
///     Ok(format!("Done, {}.", admin.user().username))
/// }
/// ```
///
/// # Errors
///
/// Every method returns [`Error::ServiceUnavailable`] if the database is unavailable, and [`Error::Internal`] if the
/// database reports an unexpected error. A method that changes the database returns [`Error::OutcomeUnknown`] if the
/// connection fails during the commit. A method that requires credentials returns [`Error::Unauthenticated`] if they are
/// missing or invalid, and [`Error::Forbidden`] if they do not permit the operation.
#[derive(Clone, Debug)]
pub struct Requester {
    services: Arc<Services>,
    authentication: Authentication,
}

#[expect(
    clippy::must_use_candidate,
    reason = "the compiler warns of unused boxed futures"
)]
impl Requester {
    pub(crate) fn new(services: Arc<Services>, authentication: Authentication) -> Self {
        Self {
            services,
            authentication,
        }
    }

    /// Creates the requester of a new request. A client without a request id gets a random one.
    pub(crate) fn with_credentials(
        services: Arc<Services>,
        credentials: Credentials,
        client: Client,
    ) -> Self {
        let authenticator = Arc::clone(&services.authenticator);
        let client = client.with_default_request_id();
        Self::new(
            services,
            Authentication::new(authenticator, credentials, client),
        )
    }

    /// Returns a requester with the same client and credentials for another request.
    pub(crate) fn for_new_request(&self) -> Self {
        let (client, credentials) = (
            self.authentication.client(),
            self.authentication.credentials(),
        );
        let services = Arc::clone(&self.services);
        Self::with_credentials(services, credentials.clone(), client.clone())
    }

    pub(crate) fn into_authentication(self) -> Authentication {
        self.authentication
    }

    /// Returns the identity of the Bearer token. HTTP Basic credentials are refused.
    ///
    /// ```
    /// async fn greeting(requester: symbolon::Requester) -> Result<String, symbolon::Error> {
    ///     Ok(format!("Hello, {}!", requester.identity().await?.user().username))
    /// }
    /// ```
    pub fn identity(&self) -> RequesterFuture<Identity> {
        self.change(|this| async move { this.check(&Requirement::token(&[])).await })
    }

    /// Returns the identity of the Bearer token or of the HTTP Basic credentials.
    ///
    /// A password counts as a sign-in: it is limited by the throttle, is recorded in the audit trail, and runs
    /// [`Hooks::before_sign_in`](crate::Hooks::before_sign_in).
    ///
    /// ```
    /// async fn greeting(requester: symbolon::Requester) -> Result<String, symbolon::Error> {
    ///     Ok(format!("Hello, {}!", requester.authenticate().await?.user().username))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::RateLimited`] after too many wrong passwords.
    pub fn authenticate(&self) -> RequesterFuture<Identity> {
        self.change(|this| async move { this.check(&Requirement::ANY).await })
    }

    /// Returns the identity of the Bearer token if the user has this role or a higher one.
    ///
    /// ```
    /// # use symbolon::{Error, Identity, Requester, Role};
    /// async fn require_admin(requester: &Requester) -> Result<Identity, Error> {
    ///     requester.require_role(Role::Admin).await
    /// }
    /// ```
    pub fn require_role(&self, role: Role) -> RequesterFuture<Identity> {
        self.change(move |this| async move {
            let requirement = Requirement::token(&[]).with_role(role);
            this.check(&requirement).await
        })
    }

    /// Returns the identity of the Bearer token if the token has this scope. Session tokens have every scope.
    ///
    /// ```
    /// # use symbolon::{Error, Identity, Requester};
    /// async fn require_reader(requester: &Requester) -> Result<Identity, Error> {
    ///     requester.require_scope("notes:read").await
    /// }
    /// ```
    pub fn require_scope(&self, scope: &str) -> RequesterFuture<Identity> {
        let scope = scope.to_owned();
        self.change(|this| async move { this.check(&Requirement::token(&[&scope])).await })
    }

    /// Returns the identity of the HTTP Basic credentials if the user has this role or a higher one. An operation that
    /// grants authority should require the password, because a token can be stolen more easily.
    ///
    /// The password counts as a sign-in, as in [`Requester::authenticate`].
    ///
    /// ```
    /// # use symbolon::{Error, Identity, Requester, Role};
    /// async fn require_admin_with_password(requester: &Requester) -> Result<Identity, Error> {
    ///     requester.require_password(Role::Admin).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::RateLimited`] after too many wrong passwords. Returns [`Error::Forbidden`] for a Bearer token.
    pub fn require_password(&self, role: Role) -> RequesterFuture<Identity> {
        self.change(move |this| async move {
            let requirement = Requirement::PASSWORD.with_role(role);
            this.check(&requirement).await
        })
    }

    /// Verifies a username and a password that the client did not send as HTTP Basic credentials, for example those of a
    /// form. Returns the user. The credentials of this requester do not change.
    ///
    /// The password counts as a sign-in: it is limited by the throttle, is recorded in the audit trail, and runs
    /// [`Hooks::before_sign_in`](crate::Hooks::before_sign_in). An unknown username, a wrong password and a disabled user
    /// cause the same error after the same time.
    ///
    /// ```
    /// # use symbolon::{Error, Requester, User};
    /// async fn log_in(requester: &Requester, name: &str, password: &str) -> Result<User, Error> {
    ///     requester.verify_password(name, password).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::RateLimited`] after too many wrong passwords. Returns [`Error::LimitExceeded`] if the request has
    /// already verified a password.
    pub fn verify_password(&self, username: &str, password: &str) -> RequesterFuture<User> {
        let credentials = UserPass::new(username, password);
        self.change(|this| async move {
            let verified = this
                .authentication
                .verify_other_password(&credentials, None);
            Ok(verified.await?.0.user)
        })
    }

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
        self.change(|this| async move {
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
        self.change(|this| async move {
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
        self.change(move |this| async move {
            let signed_in = (this.authentication).sign_in_by_application(user, method?, requested);
            Ok(signed_in.await?.into())
        })
    }

    /// Issues a token with which an admin acts as the user `user`, for example to reproduce a problem that the user has
    /// reported. Requires the HTTP Basic credentials of an admin. The user must be enabled and must not be an admin.
    ///
    /// The token belongs to a new device session, which the user sees in the list of sessions and can revoke. The name of
    /// the device is `impersonated by` and the username of the admin, unless the options contain a name. The token is
    /// valid for one hour, unless the options contain a lifetime, and cannot be extended. Operations that require a
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
    /// too many wrong passwords, and [`Error::BadUserInput`] if the user does not exist, is disabled or is an admin.
    pub fn impersonate(
        &self,
        user: UserId,
        options: &TokenOptions,
    ) -> RequesterFuture<SessionToken> {
        let options = options.clone();
        self.change(move |this| async move {
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
        self.change(|this| async move {
            let (users, caller) = (&this.services.users, this.caller());
            let registered = users.register(caller, &registration, Role::User);
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
        self.change(|this| async move { Ok(this.authentication.renew_token().await?.into()) })
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
        self.change(|this| async move { this.authentication.revoke_token().await })
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
        self.change(|this| async move {
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
        self.change(|this| async move {
            let (users, caller) = (&this.services.users, this.caller());
            let revoked = users.revoke_other_sessions(caller).await;
            revoked.map_err(without_fields)
        })
    }

    fn caller(&self) -> Caller<'_> {
        (&self.authentication).into()
    }

    /// Returns the identity of the caller if the caller meets the requirement. A token is verified again, because an
    /// application may keep the requester longer than a request takes.
    async fn check(&self, requirement: &Requirement<'_>) -> Result<Identity, Error> {
        self.authentication.load_cached_identity().await;
        let identity = self.authentication.require(requirement).await?;
        Ok(Identity::clone(&identity))
    }

    /// Runs an operation to completion.
    fn change<T, E, F>(&self, operation: impl FnOnce(Self) -> F) -> RequesterFuture<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let operation = operation(self.clone()).boxed();
        async move { run_to_completion(NO_LIMIT, operation).await? }.boxed()
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
