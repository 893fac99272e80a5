//! Find out who a request speaks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, OnceCell};

use crate::error::{Error, Unauthenticated};
use crate::model::credentials::{BearerToken, Credentials, UserPass};
use crate::model::identity::Identity;
use crate::model::password::Attempt;
use crate::model::token::Lifetime;
use crate::model::user::{Account, UserId, Username};
use crate::service::Services;
use crate::service::passwords::Verdict;
use crate::service::tokens::IssuedToken;

/// The credentials of one request. Nothing is looked up before somebody asks, and nothing costly is
/// done twice, however many fields ask. Its clones are the same request.
#[derive(Clone, Debug)]
pub(crate) struct Authentication(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    services: Arc<Services>,
    credentials: Credentials,
    identity: Mutex<Option<Arc<Identity>>>,
    account: OnceCell<Result<Account, Error>>,
    new_hash: AtomicBool,
}

impl Authentication {
    pub(crate) fn new(services: Arc<Services>, credentials: Credentials) -> Self {
        Self(Arc::new(Inner {
            services,
            credentials,
            identity: Mutex::new(None),
            account: OnceCell::new(),
            new_hash: AtomicBool::new(false),
        }))
    }

    pub(crate) fn services(&self) -> &Services {
        &self.0.services
    }

    /// Who the Bearer token speaks for.
    pub(crate) async fn identity(&self) -> Result<Arc<Identity>, Error> {
        let mut known = self.0.identity.lock().await;
        if let Some(identity) = &*known {
            return Ok(Arc::clone(identity));
        }
        let identity = Arc::new(self.services().tokens.verify(self.bearer()?).await?);
        *known = Some(Arc::clone(&identity));
        Ok(identity)
    }

    /// Whose request it is, as far as it was found out by now.
    pub(crate) fn known_user(&self) -> Option<UserId> {
        let identity = self.0.identity.try_lock().ok();
        let identity = identity.as_deref().and_then(Option::as_ref);
        let signed_in = || Some(self.0.account.get()?.as_ref().ok()?.user.id);
        identity
            .map(|identity| identity.user().id)
            .or_else(signed_in)
    }

    /// Trades the Basic credentials for the session token.
    pub(crate) async fn create_token(
        &self,
        lifetime: Option<Lifetime>,
        fresh: bool,
    ) -> Result<IssuedToken, Error> {
        let account = self.0.account.get_or_init(|| self.sign_in()).await;
        let account = account.as_ref().map_err(Clone::clone)?;
        self.services().tokens.issue(account, lifetime, fresh).await
    }

    /// Ends the Bearer token. True when this call ended a live one, false when it was already dead.
    pub(crate) async fn revoke_token(&self) -> Result<bool, Error> {
        let ended = self.services().tokens.revoke(self.bearer()?).await?;
        // The rest of this request is refused, too.
        *self.0.identity.lock().await = None;
        Ok(ended)
    }

    /// Takes the one new hash that a request may cost.
    pub(crate) fn claim_new_hash(&self) -> Result<(), Error> {
        if self.0.new_hash.swap(true, Ordering::Relaxed) {
            return Err(Error::LimitExceeded("newPasswordsPerRequest"));
        }
        Ok(())
    }

    fn bearer(&self) -> Result<&BearerToken, Error> {
        match &self.0.credentials {
            Credentials::Bearer(token) => Ok(token),
            Credentials::None | Credentials::Basic(_) => Err(Unauthenticated::Missing.into()),
        }
    }

    /// Verifies the Basic credentials. Unknown user, wrong password and disabled user are the same
    /// error after the same work.
    async fn sign_in(&self) -> Result<Account, Error> {
        let Credentials::Basic(UserPass { username, password }) = &self.0.credentials else {
            return Err(Unauthenticated::Missing.into());
        };
        let Services {
            store, passwords, ..
        } = self.services();
        let account = match Username::parse(username) {
            Ok(username) => store.account_by_username(&username).await?,
            Err(_) => None,
        };
        let stored = account
            .as_ref()
            .map(|account| account.password_hash.clone());
        let enabled = account.as_ref().is_some_and(|account| !account.disabled);
        let mut slot = passwords.reserve()?;
        let verdict = slot.verify(Attempt::new(password), stored, enabled).await?;
        let account = account
            .filter(|account| !account.disabled)
            .ok_or(Unauthenticated::InvalidCredentials)?;
        match verdict {
            Verdict::Wrong => return Err(Unauthenticated::InvalidCredentials.into()),
            Verdict::Right => {}
            Verdict::Outdated(new) => {
                let old = &account.password_hash;
                store.rehash_password(account.user.id, old, &new).await?;
            }
        }
        Ok(account)
    }
}
