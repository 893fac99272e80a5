//! The authentication of one request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::{Error, Unauthenticated};
use crate::model::actor::{Actor, Credential};
use crate::model::client::Client;
use crate::model::identity::Identity;
use crate::model::request_credentials::{BearerToken, Credentials, UserPass};
use crate::model::requirement::Requirement;
use crate::model::sign_in_method::SignInMethod;
use crate::model::token_digest::TokenDigest;
use crate::model::user::UserId;
use crate::model::user_record::UserRecord;
use crate::model::username::Username;
use crate::service::authenticator::Authenticator;
use crate::service::issued_token::IssuedToken;
use crate::service::token_options::TokenRequest;
use crate::store::Epoch;

/// The credentials of one request, and the identity that results from their verification. The credentials are
/// verified when the identity is first required. A password is verified at most once. Clones belong to the same
/// request.
#[derive(Clone, Debug)]
pub(crate) struct Authentication(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authenticator: Arc<Authenticator>,
    credentials: Credentials,
    client: Client,
    /// The identity, and the epoch that was current before the identity was determined. The identity is
    /// determined again after a change of the user, so that the rest of the request is handled like a new
    /// request.
    identity: Mutex<Option<(Arc<Identity>, Epoch)>>,
    /// The result of the password verification.
    password: OnceLock<Result<UserRecord, Error>>,
    /// Locked during a verification, so that concurrent fields wait for the result.
    verifying: tokio::sync::Mutex<()>,
    verification_claimed: AtomicBool,
    new_hash_claimed: AtomicBool,
}

impl Authentication {
    pub(crate) fn new(
        authenticator: Arc<Authenticator>,
        credentials: Credentials,
        client: Client,
    ) -> Self {
        Self(Arc::new(Inner {
            authenticator,
            credentials,
            client,
            identity: Mutex::default(),
            password: OnceLock::new(),
            verifying: tokio::sync::Mutex::default(),
            verification_claimed: AtomicBool::new(false),
            new_hash_claimed: AtomicBool::new(false),
        }))
    }

    /// Returns whether `authenticator` verifies the credentials. Each instance has its own authenticator.
    pub(crate) fn belongs_to(&self, authenticator: &Arc<Authenticator>) -> bool {
        Arc::ptr_eq(&self.0.authenticator, authenticator)
    }

    pub(super) fn authenticator(&self) -> &Authenticator {
        &self.0.authenticator
    }

    /// Returns the client that sent the request.
    pub(crate) fn client(&self) -> &Client {
        &self.0.client
    }

    /// Returns the credentials of the request, which may be invalid.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }

    /// Returns the Bearer token of the request.
    pub(super) fn bearer(&self) -> Result<&BearerToken, Error> {
        match &self.0.credentials {
            Credentials::Bearer(token) => Ok(token),
            Credentials::None => Err(Unauthenticated::Missing.into()),
            Credentials::Malformed | Credentials::Basic(_) => {
                Err(Unauthenticated::NotBearer.into())
            }
        }
    }

    /// Returns the digest of the Bearer token of the request.
    pub(crate) fn token_digest(&self) -> Option<TokenDigest> {
        let token = self.bearer().ok()?;
        Some(TokenDigest::new(&token.0))
    }

    /// Returns the identity of the Bearer token. Fails for Basic credentials, even if they have been verified.
    pub(crate) async fn identity(&self) -> Result<Arc<Identity>, Error> {
        let token = self.bearer()?;
        if let Some(identity) = self.current_identity() {
            return Ok(identity);
        }
        // The future is boxed, because it would otherwise enlarge the future of each guard.
        Box::pin(self.verify_token(token)).await
    }

    /// Looks up the identity of the Bearer token in the cache and stores it in the request, so that guards need
    /// not wait. Returns whether the cache contained the identity.
    pub(crate) async fn load_cached_identity(&self) -> bool {
        let Credentials::Bearer(token) = &self.0.credentials else {
            return false;
        };
        let epoch = self.0.authenticator.store.epoch();
        let identity = self.0.authenticator.cached_identity(token).await;
        let is_cached = identity.is_some();
        *self.lock_identity() = identity.map(|identity| (identity, epoch));
        is_cached
    }

    /// Forgets an identity that may no longer be valid, because time has passed since the last operation or because another
    /// process has changed the user. Verifies no password again.
    pub(crate) async fn refresh(&self) {
        if !self.load_cached_identity().await {
            *self.lock_identity() = None;
        }
    }

    async fn verify_token(&self, token: &BearerToken) -> Result<Arc<Identity>, Error> {
        let _verifying = self.0.verifying.lock().await;
        if let Some(identity) = self.current_identity() {
            return Ok(identity);
        }
        let epoch = self.0.authenticator.store.epoch();
        let identity = self.0.authenticator.verify(token).await?;
        *self.lock_identity() = Some((Arc::clone(&identity), epoch));
        Ok(identity)
    }

    /// Returns the identity that was verified earlier, unless the user has changed since.
    fn current_identity(&self) -> Option<Arc<Identity>> {
        let identity = self.lock_identity();
        let (identity, epoch) = identity.as_ref()?;
        let store = &self.0.authenticator.store;
        let is_current = store.is_unchanged_since(*epoch, identity.user().id);
        is_current.then(|| Arc::clone(identity))
    }

    fn lock_identity(&self) -> MutexGuard<'_, Option<(Arc<Identity>, Epoch)>> {
        let identity = self.0.identity.lock();
        identity.unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the user of the request if the credentials have been verified.
    pub(crate) fn known_user(&self) -> Option<UserId> {
        let identity = self.lock_identity();
        let identified = identity.as_ref().map(|(identity, _)| identity.user().id);
        identified.or_else(|| Some(self.verified_record()?.user.id))
    }

    fn verified_record(&self) -> Option<&UserRecord> {
        self.0.password.get()?.as_ref().ok()
    }

    /// Returns the identity of the caller, or an error if the caller does not meet the requirement. Basic
    /// credentials are verified only if the requirement accepts them.
    pub(crate) async fn require(
        &self,
        requirement: &Requirement<'_>,
    ) -> Result<Arc<Identity>, Error> {
        let identity = match &self.0.credentials {
            Credentials::Basic(_) if requirement.accepts_password() => {
                // The future is boxed, because it would otherwise enlarge the future of each query.
                Box::pin(self.verify_password()).await?
            }
            Credentials::Malformed if requirement.accepts_password() => {
                return Err(Unauthenticated::NotBasic.into());
            }
            _ => self.identity().await?,
        };
        requirement.check(&identity)?;
        Ok(identity)
    }

    /// Like [`require`](Self::require), but also accepts Basic credentials whose password is an access token of the
    /// named user, because some clients send only Basic credentials. Verifies no password: a client that guesses
    /// passwords here learns nothing, and causes no hash.
    pub(crate) async fn require_token(
        &self,
        requirement: &Requirement<'_>,
    ) -> Result<Arc<Identity>, Error> {
        let Credentials::Basic(credentials) = &self.0.credentials else {
            return self.require(requirement).await;
        };
        let token = credentials.access_token();
        let token = token.ok_or(Unauthenticated::NotBearer)?;
        let epoch = self.0.authenticator.store.epoch();
        let identity = self.0.authenticator.verify(&token).await?;
        let canonical = |name: &str| Username::parse(name).ok().map(|name| name.canonical);
        let named = canonical(&credentials.username);
        if named.is_none() || named != canonical(&identity.user().username) {
            return Err(Unauthenticated::InvalidCredentials.into());
        }
        *self.lock_identity() = Some((Arc::clone(&identity), epoch));
        requirement.check(&identity)?;
        Ok(identity)
    }

    /// Verifies the Basic credentials, reads the user again, and returns the resulting identity.
    async fn verify_password(&self) -> Result<Arc<Identity>, Error> {
        if let Some(identity) = self.current_identity() {
            return Ok(identity);
        }
        let (verified, _) = self.sign_in(None).await?;
        let store = &self.0.authenticator.store;
        let epoch = store.epoch();
        let record = store.find_user_by_id(verified.user.id).await?;
        let record = record
            .filter(|record| !record.user.is_disabled() && self.has_verified(record))
            .ok_or(Unauthenticated::InvalidCredentials)?;
        let identity = Arc::new(Identity::from_password(record.user));
        *self.lock_identity() = Some((Arc::clone(&identity), epoch));
        Ok(identity)
    }

    /// Signs in with the Basic credentials, at most once per request. Returns the user. Also returns a session
    /// token if a token is requested and the request has not signed in before.
    pub(super) async fn sign_in(
        &self,
        requested: Option<TokenRequest>,
    ) -> Result<(UserRecord, Option<IssuedToken>), Error> {
        let credentials = match &self.0.credentials {
            Credentials::Basic(credentials) => credentials,
            Credentials::None => return Err(Unauthenticated::Missing.into()),
            Credentials::Malformed | Credentials::Bearer(_) => {
                return Err(Unauthenticated::NotBasic.into());
            }
        };
        let _verifying = self.0.verifying.lock().await;
        if let Some(result) = self.0.password.get() {
            return result.clone().map(|record| (record, None));
        }
        self.claim_verification()?;
        let sign_in = &self.0.authenticator.sign_in;
        let result = sign_in
            .by_password(credentials, requested, self.client())
            .await;
        let verified = result.as_ref().map(|(record, _)| record.clone());
        // `set` cannot fail, because `verifying` is locked.
        let _ = self.0.password.set(verified.map_err(Clone::clone));
        result
    }

    /// Verifies a password that is not a part of the credentials of the request. Issues a session token if one is
    /// requested. The identity of the request does not change.
    pub(super) async fn verify_other_password(
        &self,
        credentials: &UserPass,
        requested: Option<TokenRequest>,
    ) -> Result<(UserRecord, Option<IssuedToken>), Error> {
        self.claim_verification()?;
        let sign_in = &self.0.authenticator.sign_in;
        sign_in
            .by_password(credentials, requested, self.client())
            .await
    }

    /// Issues a session token to a user whom the application has authenticated with `method`. The identity of the request
    /// does not change.
    pub(super) async fn sign_in_by_application(
        &self,
        user: UserId,
        method: SignInMethod,
        requested: TokenRequest,
    ) -> Result<IssuedToken, Error> {
        let sign_in = &self.0.authenticator.sign_in;
        sign_in
            .by_application(user, method, requested, self.client())
            .await
    }

    /// Returns whether the password that was verified in this request is still the password of the user.
    pub(super) fn has_verified(&self, record: &UserRecord) -> bool {
        self.verified_record().is_some_and(|verified| {
            verified.user.id == record.user.id
                && verified.password_version == record.password_version
        })
    }

    /// Returns the actor to record in the audit events of a request with this identity.
    pub(super) fn actor(&self, identity: &Identity) -> Result<Actor, Error> {
        let credential = match identity.access_token() {
            Some(id) => Credential::AccessToken(id),
            None if identity.used_password() => Credential::Password,
            None => Credential::Session(TokenDigest::new(&self.bearer()?.0)),
        };
        Ok(Actor::user(identity.user().id, credential, self.client()))
    }

    /// Records that the request verifies a password. Fails if the request has already verified a password.
    pub(super) fn claim_verification(&self) -> Result<(), Error> {
        claim(&self.0.verification_claimed, Error::SECOND_VERIFICATION)
    }

    /// Records that the request computes a new password hash. Fails if the request has already computed a new
    /// hash.
    pub(super) fn claim_new_hash(&self) -> Result<(), Error> {
        claim(&self.0.new_hash_claimed, Error::SECOND_NEW_HASH)
    }
}

fn claim(claimed: &AtomicBool, refusal: Error) -> Result<(), Error> {
    if claimed.swap(true, Ordering::Relaxed) {
        return Err(refusal);
    }
    Ok(())
}
