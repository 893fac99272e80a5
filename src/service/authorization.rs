//! Authorizes the callers of use cases.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::error::{Error, Forbidden, Unauthenticated};
use crate::model::actor::{Actor, Credential};
use crate::model::identity::Identity;
use crate::model::requirement::Requirement;
use crate::model::token_digest::TokenDigest;
use crate::model::user::{Role, User, UserId};
use crate::model::user_record::UserRecord;
use crate::service::request_authentication::Authentication;
use crate::service::visible_user::VisibleUser;
use crate::store::Transaction;

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
    pub(super) async fn require(self, requirement: &Requirement<'_>) -> Result<Viewer, Error> {
        Ok(Viewer(match self {
            Self::Request(request) => Some(request.require(requirement).await?),
            Self::Operator => None,
        }))
    }

    /// Authorizes an operation that makes changes.
    pub(super) async fn authorize(
        self,
        requirement: &Requirement<'_>,
    ) -> Result<Authorized, Error> {
        let Self::Request(request) = self else {
            return Ok(Authorized {
                actor: Actor::Operator,
                viewer: Viewer(None),
                role: requirement.role(),
                request: None,
            });
        };
        let identity = request.require(requirement).await?;
        Ok(Authorized {
            actor: request.actor(&identity)?,
            viewer: Viewer(Some(identity)),
            role: requirement.role(),
            request: Some(request.clone()),
        })
    }

    /// Returns the id of the user that an operation changes: `id`, or the caller's own id if `id` is `None`.
    /// Also returns whether this user is the caller.
    pub(super) async fn target(self, id: Option<UserId>) -> Result<(UserId, bool), Error> {
        let viewer = self.require(&Requirement::ANY).await?;
        let own = viewer.user().map(|user| user.id);
        let id = id.or(own).ok_or(Unauthenticated::Missing)?;
        Ok((id, own == Some(id)))
    }

    /// Records that the request computes a new password hash. Fails if the request has already computed a
    /// new hash. There is no limit for the operator.
    pub(super) fn claim_new_hash(self) -> Result<(), Error> {
        match self {
            Self::Request(request) => request.claim_new_hash(),
            Self::Operator => Ok(()),
        }
    }
}

/// A caller that is authorized to read. `None` stands for the operator.
#[derive(Debug)]
pub(super) struct Viewer(Option<Arc<Identity>>);

impl Viewer {
    /// Returns the user of the caller, or `None` for the operator.
    pub(super) fn user(&self) -> Option<&User> {
        self.0.as_deref().map(Identity::user)
    }

    /// Returns `user` with the fields that the caller can read.
    pub(super) fn sees(&self, user: User) -> VisibleUser {
        match &self.0 {
            Some(identity) => VisibleUser::seen_by(identity, Arc::new(user)),
            None => VisibleUser::whole(user),
        }
    }
}

/// A caller that meets the requirement of an operation.
#[derive(Debug)]
pub(super) struct Authorized {
    actor: Actor,
    viewer: Viewer,
    role: Role,
    request: Option<Authentication>,
}

impl Authorized {
    pub(super) fn actor(&self) -> &Actor {
        &self.actor
    }

    pub(super) fn viewer(&self) -> &Viewer {
        &self.viewer
    }

    /// Returns the id of the acting user, or `None` for the operator.
    pub(super) fn user_id(&self) -> Option<UserId> {
        self.actor.user_id()
    }

    /// Returns whether the caller sent Basic credentials.
    pub(super) fn used_password(&self) -> bool {
        self.actor.credential() == Some(&Credential::Password)
    }

    /// Checks again that the acting user meets the requirement. Since the first check, the role or the
    /// password may have changed, and the token may have expired or been revoked. The row of the acting user
    /// must stay locked until the change is committed.
    pub(super) async fn check_again(
        &self,
        transaction: &Transaction,
        acting: Option<&UserRecord>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let (Some(request), Some(credential)) = (&self.request, self.actor.credential()) else {
            return Ok(());
        };
        let refusal = match credential {
            Credential::Password => Unauthenticated::InvalidCredentials,
            Credential::Session(_)
            | Credential::AccessToken(_)
            | Credential::OneTimeToken(_)
            | Credential::Application(_) => Unauthenticated::TokenExpired,
        };
        let acting = acting.filter(|record| !record.user.is_disabled());
        let acting = acting.ok_or(refusal)?;
        let is_valid = match credential {
            Credential::Password => request.has_verified(acting),
            Credential::Session(digest) => {
                let shared = acting.live_session(now);
                shared.is_some_and(|session| session.digest == *digest)
                    || has_live_device_session(transaction, acting, digest, now).await?
            }
            // Access tokens are stored in separate rows, which are not locked and therefore not checked again.
            Credential::AccessToken(_) => true,
            // One-time tokens and methods of the application authenticate no request.
            Credential::OneTimeToken(_) | Credential::Application(_) => false,
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

async fn has_live_device_session(
    transaction: &Transaction,
    acting: &UserRecord,
    digest: &TokenDigest,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let session = transaction.device_session(digest).await?;
    let session = session.filter(|session| session.user == acting.user.id);
    Ok(session.is_some_and(|session| session.is_live_for(&acting.user, now)))
}
