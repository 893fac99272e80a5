//! Find out who a request speaks for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::error::{Error, Unauthenticated};
use crate::model::audit_event::{Actor, Client, Credential};
use crate::model::credentials::{BearerToken, Credentials, TokenType};
use crate::model::identity::Identity;
use crate::model::requirement::Requirement;
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;
use crate::model::user_record::UserRecord;
use crate::service::Services;
use crate::service::sessions::{IssuedToken, TokenOptions};

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
    account: OnceCell<Result<UserRecord, Error>>,
    client: Client,
    verification: AtomicBool,
    new_hash: AtomicBool,
}

impl Authentication {
    pub(crate) fn new(services: Arc<Services>, credentials: Credentials, client: Client) -> Self {
        Self(Arc::new(Inner {
            services,
            credentials,
            identity: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            account: OnceCell::new(),
            client,
            verification: AtomicBool::new(false),
            new_hash: AtomicBool::new(false),
        }))
    }

    /// Whether the credentials are resolved by these services, and not by those of another instance.
    pub(crate) fn belongs_to(&self, services: &Arc<Services>) -> bool {
        Arc::ptr_eq(&self.0.services, services)
    }

    pub(crate) fn services(&self) -> &Arc<Services> {
        &self.0.services
    }

    /// The identity of the Bearer token. Basic credentials have none here, even if they were verified.
    pub(crate) async fn identity(&self) -> Result<Arc<Identity>, Error> {
        self.bearer()?;
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
    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    /// The identity of the caller, if it meets the requirement. Basic credentials are verified once for
    /// the whole request, and only where the requirement accepts them.
    pub(crate) async fn require(&self, needed: &Requirement<'_>) -> Result<Arc<Identity>, Error> {
        let identity = match &self.0.credentials {
            Credentials::Basic(_) if needed.accepts_password() => {
                // In a box, or each query would be as large.
                Box::pin(self.identity_by_password()).await?
            }
            _ => self.identity().await?,
        };
        needed.check(&identity)?;
        Ok(identity)
    }

    /// The caller with this identity as an actor.
    pub(super) fn actor(&self, identity: &Identity) -> Result<Actor, Error> {
        let credential = match identity.access_token() {
            Some(id) => Credential::AccessToken(id),
            None if identity.is_password() => Credential::Password,
            None => Credential::Session(TokenDigest::of(&self.bearer()?.0)),
        };
        Ok(Actor::user(identity.user().id, credential, self.client()))
    }

    /// Whether the password that was verified for this request is still that of the account.
    pub(super) fn has_verified(&self, account: &UserRecord) -> bool {
        let verified = self.0.account.get().and_then(|done| done.as_ref().ok());
        verified.is_some_and(|verified| {
            verified.user.id == account.user.id
                && verified.password_version == account.password_version
        })
    }

    /// The identity by the Basic credentials, with the account as it is now.
    async fn identity_by_password(&self) -> Result<Arc<Identity>, Error> {
        if let Some(identity) = &*self.known() {
            return Ok(Arc::clone(identity));
        }
        let sign_in = async || Ok(self.sign_in(None).await?.0);
        let verified = self.0.account.get_or_init(sign_in).await;
        let id = verified.as_ref().map_err(Clone::clone)?.user.id;
        let account = self.services().store.find_user_by_id(id).await?;
        let account = account
            .filter(|account| !account.user.is_disabled() && self.has_verified(account))
            .ok_or(Unauthenticated::InvalidCredentials)?;
        let identity = Arc::new(Identity::from_password(account.user));
        *self.known() = Some(Arc::clone(&identity));
        Ok(identity)
    }

    /// Trades the Basic credentials for the session token.
    pub(crate) async fn create_token(&self, wanted: TokenOptions) -> Result<IssuedToken, Error> {
        if let Credentials::Bearer(token) = &self.0.credentials
            && token.token_type() == TokenType::Access
        {
            self.require(&Requirement::SESSION).await?;
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
        tokens.issue_another(account, wanted, self.client()).await
    }

    /// Ends the Bearer token. True when this call ended a live one, false when it was already dead.
    pub(crate) async fn revoke_token(&self) -> Result<bool, Error> {
        let (bearer, services) = (self.bearer()?, self.services());
        let ended = if bearer.token_type() == TokenType::Access {
            let tokens = &services.access_tokens;
            tokens.revoke_itself(bearer, self.client()).await?
        } else {
            services.tokens.revoke(bearer, self.client()).await?
        };
        self.discard_identity();
        Ok(ended)
    }

    /// Lets the session token that is sent as Bearer live longer.
    pub(crate) async fn renew_token(&self) -> Result<IssuedToken, Error> {
        self.require(&Requirement::SESSION).await?;
        let tokens = &self.services().tokens;
        let renewed = tokens.renew(self.bearer()?, self.client()).await?;
        self.discard_identity();
        Ok(renewed)
    }

    /// Forgets who the Bearer token speaks for, after something changed: the rest of the request is
    /// answered as the next one would be.
    pub(crate) fn discard_identity(&self) {
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
        wanted: Option<TokenOptions>,
    ) -> Result<(UserRecord, Option<IssuedToken>), Error> {
        let Credentials::Basic(given) = &self.0.credentials else {
            return Err(Unauthenticated::Missing.into());
        };
        self.claim_verification()?;
        self.services()
            .sign_in
            .by_password(given, wanted, self.client())
            .await
    }
}

fn claim(taken: &AtomicBool, limit: &'static str) -> Result<(), Error> {
    if taken.swap(true, Ordering::Relaxed) {
        return Err(Error::LimitExceeded(limit));
    }
    Ok(())
}
