//! Find out who a request speaks for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::error::{Error, Forbidden, Unauthenticated};
use crate::model::access_token::{AccessSecret, AccessToken};
use crate::model::audit::{Actor, Origin};
use crate::model::credentials::{BearerToken, Credentials};
use crate::model::form::Refused;
use crate::model::identity::Identity;
use crate::model::token::SessionToken;
use crate::model::user::{Account, Role, UserId};
use crate::service::Services;
use crate::service::access_tokens::AccessTokenForm;
use crate::service::tokens::{IssuedToken, Wanted};

/// The credentials of one request. Nothing is looked up before somebody asks, and nothing costly is
/// done twice, however many fields ask. Its clones are the same request.
#[derive(Clone, Debug)]
pub(crate) struct Authentication(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    services: Arc<Services>,
    credentials: Credentials,
    identity: Mutex<Option<Arc<Identity>>>,
    /// Held by whoever looks for the identity, so that the others find it.
    looking: tokio::sync::Mutex<()>,
    account: OnceCell<Result<Account, Error>>,
    origin: Origin,
    verification: AtomicBool,
    new_hash: AtomicBool,
}

impl Authentication {
    pub(crate) fn new(services: Arc<Services>, credentials: Credentials, origin: Origin) -> Self {
        Self(Arc::new(Inner {
            services,
            credentials,
            identity: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            account: OnceCell::new(),
            origin,
            verification: AtomicBool::new(false),
            new_hash: AtomicBool::new(false),
        }))
    }

    /// Whether the credentials are resolved by these services, and not by those of another instance.
    pub(crate) fn belongs_to(&self, services: &Arc<Services>) -> bool {
        Arc::ptr_eq(&self.0.services, services)
    }

    pub(crate) fn services(&self) -> &Services {
        &self.0.services
    }

    /// Who the Bearer token speaks for.
    pub(crate) async fn identity(&self) -> Result<Arc<Identity>, Error> {
        if let Some(identity) = &*self.known() {
            return Ok(Arc::clone(identity));
        }
        // In a box, or each guard would be as large.
        Box::pin(self.look()).await
    }

    /// Looks for the identity of a Bearer token in the cache, so that guards need not wait for that.
    /// Returns whether it was found.
    pub(crate) async fn recall(&self) -> bool {
        let identity = match &self.0.credentials {
            Credentials::Bearer(token) => self.services().recall(token).await,
            Credentials::None | Credentials::Basic(_) => None,
        };
        let is_found = identity.is_some();
        *self.known() = identity;
        is_found
    }

    async fn look(&self) -> Result<Arc<Identity>, Error> {
        let _looking = self.0.looking.lock().await;
        if let Some(identity) = &*self.known() {
            return Ok(Arc::clone(identity));
        }
        let identity = self.services().verify(self.bearer()?).await?;
        *self.known() = Some(Arc::clone(&identity));
        Ok(identity)
    }

    fn known(&self) -> MutexGuard<'_, Option<Arc<Identity>>> {
        let known = self.0.identity.lock();
        known.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose request it is, as far as it was found out by now.
    pub(crate) fn known_user(&self) -> Option<UserId> {
        let identified = self.known().as_ref().map(|identity| identity.user().id);
        identified.or_else(|| Some(self.0.account.get()?.as_ref().ok()?.user.id))
    }

    /// Where the request comes from.
    pub(crate) fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// Whoever the Bearer token speaks for, as the doer of something.
    pub(crate) async fn actor(&self) -> Result<Actor, Error> {
        let user = self.identity().await?.user().id;
        Ok(Actor::new(user, self.origin()))
    }

    /// Refuses whoever has a lower role, and whom nobody knows.
    pub(crate) async fn require_role(&self, role: Role) -> Result<(), Error> {
        if self.identity().await?.user().role < role {
            return Err(Forbidden::RoleRequired.into());
        }
        Ok(())
    }

    /// Refuses a token whose scopes do not include this, and whom nobody knows.
    pub(crate) async fn require_scope(&self, scope: &str) -> Result<(), Error> {
        if !self.identity().await?.has_scope(scope) {
            return Err(Forbidden::ScopeRequired.into());
        }
        Ok(())
    }

    /// The same, unless a password was sent instead of a token.
    pub(crate) async fn require_scope_of_bearer(&self, scope: &str) -> Result<(), Error> {
        match self.0.credentials {
            Credentials::Basic(_) => Ok(()),
            Credentials::None | Credentials::Bearer(_) => self.require_scope(scope).await,
        }
    }

    /// Trades the Basic credentials for the session token.
    pub(crate) async fn create_token(&self, wanted: Wanted) -> Result<IssuedToken, Error> {
        if let Credentials::Bearer(token) = &self.0.credentials
            && AccessSecret::is_meant(&token.0)
        {
            self.require_session().await?;
        }
        let mut issued = None;
        let sign_in = async || {
            let (account, token) = self.sign_in(Some(wanted)).await?;
            issued = token;
            Ok(account)
        };
        let account = self.0.account.get_or_init(sign_in).await;
        let account = account.as_ref().map_err(Clone::clone)?;
        if let Some(issued) = issued {
            return Ok(issued);
        }
        let tokens = &self.services().tokens;
        tokens.issue_another(account, wanted, self.origin()).await
    }

    /// Ends the Bearer token. True when this call ended a live one, false when it was already dead.
    pub(crate) async fn revoke_token(&self) -> Result<bool, Error> {
        let (bearer, services) = (self.bearer()?, self.services());
        let ended = if AccessSecret::is_meant(&bearer.0) {
            let tokens = &services.access_tokens;
            tokens.revoke_itself(bearer, self.origin()).await?
        } else {
            services.tokens.revoke(bearer, self.origin()).await?
        };
        self.look_again();
        Ok(ended)
    }

    /// Lets the session token that is sent as Bearer live longer.
    pub(crate) async fn renew_token(&self) -> Result<IssuedToken, Error> {
        self.require_session().await?;
        let tokens = &self.services().tokens;
        let renewed = tokens.renew(self.bearer()?, self.origin()).await?;
        self.look_again();
        Ok(renewed)
    }

    /// The account that the credentials of either kind speak for, as it is now.
    pub(crate) async fn account(&self) -> Result<Account, Error> {
        if let Credentials::Basic(_) = &self.0.credentials {
            let sign_in = async || Ok(self.sign_in(None).await?.0);
            return self.0.account.get_or_init(sign_in).await.clone();
        }
        let id = self.identity().await?.user().id;
        let account = self.services().store.account_by_id(id).await?;
        account.ok_or_else(|| Unauthenticated::TokenInvalid.into())
    }

    /// Makes an access token for whoever shows a password or a session token.
    pub(crate) async fn create_access_token(
        &self,
        form: AccessTokenForm,
    ) -> Result<(AccessSecret, AccessToken), Refused> {
        let session = match &self.0.credentials {
            Credentials::Basic(_) => None,
            Credentials::None | Credentials::Bearer(_) => {
                self.require_session().await?;
                SessionToken::parse(&self.bearer()?.0).map(|token| token.digest())
            }
        };
        let owner = self.account().await?;
        let actor = Actor::new(owner.user.id, self.origin());
        let tokens = &self.services().access_tokens;
        tokens.create(&actor, &owner, session, form).await
    }

    /// Refuses access tokens, and whom nobody knows.
    pub(crate) async fn require_session(&self) -> Result<(), Error> {
        if self.identity().await?.access_token().is_some() {
            return Err(Forbidden::SessionRequired.into());
        }
        Ok(())
    }

    /// Forgets who the Bearer token speaks for, after something changed: the rest of the request is
    /// answered as the next one would be.
    pub(crate) fn look_again(&self) {
        *self.known() = None;
    }

    /// Takes the one verification of a password that a request may cost.
    pub(crate) fn claim_verification(&self) -> Result<(), Error> {
        claim(&self.0.verification, "verifiedPasswordsPerRequest")
    }

    /// Takes the one new hash that a request may cost.
    pub(crate) fn claim_new_hash(&self) -> Result<(), Error> {
        claim(&self.0.new_hash, "newPasswordsPerRequest")
    }

    fn bearer(&self) -> Result<&BearerToken, Error> {
        match &self.0.credentials {
            Credentials::Bearer(token) => Ok(token),
            Credentials::None | Credentials::Basic(_) => Err(Unauthenticated::Missing.into()),
        }
    }

    async fn sign_in(
        &self,
        wanted: Option<Wanted>,
    ) -> Result<(Account, Option<IssuedToken>), Error> {
        let Credentials::Basic(given) = &self.0.credentials else {
            return Err(Unauthenticated::Missing.into());
        };
        self.services()
            .sign_in
            .by_password(given, wanted, self.origin())
            .await
    }
}

fn claim(taken: &AtomicBool, limit: &'static str) -> Result<(), Error> {
    if taken.swap(true, Ordering::Relaxed) {
        return Err(Error::LimitExceeded(limit));
    }
    Ok(())
}
