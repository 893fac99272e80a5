//! Operations of embedding applications on behalf of a client.

mod changes;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::error::Error;
use crate::model::client::Client;
use crate::model::identity::Identity;
use crate::model::request_credentials::{Credentials, UserPass};
use crate::model::requirement::Requirement;
use crate::model::user::{Role, User};
use crate::service::request_authentication::Authentication;
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
/// belongs to one request: it verifies at most one password. Clones belong to the same request. Do not keep a requester with
/// HTTP Basic credentials after the request: later operations would not count as sign-ins.
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
#[derive(Clone)]
pub struct Requester {
    services: Arc<Services>,
    authentication: Authentication,
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.authentication.client();
        f.debug_struct("Requester")
            .field("client", client)
            .finish_non_exhaustive()
    }
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
        self.run(|this| async move { this.check(&Requirement::token(&[])).await })
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
        self.run(|this| async move { this.check(&Requirement::ANY).await })
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
        self.run(move |this| async move {
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
        self.run(|this| async move { this.check(&Requirement::token(&[&scope])).await })
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
        self.run(move |this| async move {
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
        self.run(|this| async move {
            let verified = this
                .authentication
                .verify_other_password(&credentials, None);
            Ok(verified.await?.0.user)
        })
    }

    /// Returns the identity of the caller if the caller meets the requirement.
    async fn check(&self, requirement: &Requirement<'_>) -> Result<Identity, Error> {
        let identity = self.authentication.require(requirement).await?;
        Ok(Identity::clone(&identity))
    }

    /// Runs an operation to completion. The identity is determined again, because an application may keep the requester
    /// longer than a request takes.
    fn run<T, E, F>(&self, operation: impl FnOnce(Self) -> F) -> RequesterFuture<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let (authentication, operation) = (self.authentication.clone(), operation(self.clone()));
        let refreshed = async move {
            authentication.refresh().await;
            operation.await
        };
        async move { run_to_completion(NO_LIMIT, refreshed.boxed()).await? }.boxed()
    }
}
