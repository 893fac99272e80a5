//! Authorize the callers of use cases.

use std::sync::Arc;

use crate::error::{Error, Forbidden, Unauthenticated};
use crate::model::audit_event::{Actor, Credential};
use crate::model::identity::Identity;
use crate::model::requirement::Requirement;
use crate::model::user::{Role, User, UserId};
use crate::model::user_record::UserRecord;
use crate::service::authentication::Authentication;
use crate::service::visible_user::VisibleUser;

/// The caller of a use case.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller<'a> {
    /// A request, with its credentials.
    Request(&'a Authentication),
    /// The operator, who meets every requirement.
    Operator,
}

impl<'a> From<&'a Authentication> for Caller<'a> {
    fn from(request: &'a Authentication) -> Self {
        Self::Request(request)
    }
}

impl Caller<'_> {
    /// Authorizes an operation that only reads.
    pub(crate) async fn require(self, needed: &Requirement<'_>) -> Result<Viewer, Error> {
        Ok(Viewer(match self {
            Self::Request(request) => Some(request.require(needed).await?),
            Self::Operator => None,
        }))
    }

    /// Authorizes an operation that changes something.
    pub(crate) async fn authorize(self, needed: &Requirement<'_>) -> Result<Authorized, Error> {
        let Self::Request(request) = self else {
            return Ok(Authorized {
                actor: Actor::Operator,
                viewer: Viewer(None),
                role: needed.role(),
                request: None,
            });
        };
        let identity = request.require(needed).await?;
        Ok(Authorized {
            actor: request.actor(&identity)?,
            viewer: Viewer(Some(identity)),
            role: needed.role(),
            request: Some(request.clone()),
        })
    }
}

/// A caller that may read. `None` is the operator.
#[derive(Debug)]
pub(crate) struct Viewer(Option<Arc<Identity>>);

impl Viewer {
    /// The account of the caller, unless it is the operator.
    pub(crate) fn user(&self) -> Option<&User> {
        self.0.as_deref().map(Identity::user)
    }

    /// An account as this caller may see it.
    pub(crate) fn sees(&self, user: User) -> VisibleUser {
        match &self.0 {
            Some(identity) => VisibleUser::seen_by(identity, user.into()),
            None => VisibleUser::whole(user),
        }
    }
}

/// A caller that met the requirement of an operation.
#[derive(Debug)]
pub(crate) struct Authorized {
    actor: Actor,
    viewer: Viewer,
    role: Role,
    request: Option<Authentication>,
}

impl Authorized {
    pub(crate) fn actor(&self) -> &Actor {
        &self.actor
    }

    pub(crate) fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    /// The id of the account that acts; the operator has none.
    pub(crate) fn user_id(&self) -> Option<UserId> {
        self.actor.user_id()
    }

    /// Whether the password was verified for this request.
    pub(crate) fn is_by_password(&self) -> bool {
        self.actor.credential() == Some(Credential::Password)
    }

    /// Takes the one new hash that a request may cost.
    pub(crate) fn claim_new_hash(&self) -> Result<(), Error> {
        (self.request.as_ref()).map_or(Ok(()), Authentication::claim_new_hash)
    }

    /// Authenticates the rest of the request anew, since this operation may change the outcome.
    pub(crate) fn discard_identity(&self) {
        if let Some(request) = &self.request {
            request.discard_identity();
        }
    }

    /// Repeats the check with the row of the account that acts, which is locked until the change is
    /// committed: since the first check, the role may have changed, or the password or the session token
    /// may have ended.
    pub(crate) fn check_again(&self, acting: Option<&UserRecord>) -> Result<(), Error> {
        let (Some(request), Some(credential)) = (&self.request, self.actor.credential()) else {
            return Ok(());
        };
        let refusal = match credential {
            Credential::Password => Unauthenticated::InvalidCredentials,
            Credential::Session(_) | Credential::AccessToken(_) => Unauthenticated::TokenExpired,
        };
        let acting = acting.filter(|account| !account.user.is_disabled());
        let acting = acting.ok_or(refusal)?;
        let is_valid = match credential {
            Credential::Password => request.has_verified(acting),
            Credential::Session(digest) => {
                let session = acting.live_session(request.services().clock.now());
                session.is_some_and(|session| session.digest == digest)
            }
            // Its row is another one.
            Credential::AccessToken(_) => true,
        };
        if !is_valid {
            return Err(refusal.into());
        }
        if acting.user.role < self.role {
            return Err(Forbidden::RoleRequired.into());
        }
        Ok(())
    }
}
