//! Looks up users and their sessions.

use std::collections::HashMap;
use std::sync::Arc;

use crate::clock::Clock;
use crate::error::{Error, Unauthenticated};
use crate::model::field_errors::MutationError;
use crate::model::one_time_link::LinkSettings;
use crate::model::pagination::{Page, PageRequest};
use crate::model::password::PasswordRules;
use crate::model::requirement::Requirement;
use crate::model::session_summary::SessionSummary;
use crate::model::user::{Role, User, UserId, UserName};
use crate::model::user_record::UserRecord;
use crate::model::username::Username;
use crate::service::authorization::{Authorized, Caller, Viewer};
use crate::service::hook_runner::HookRunner;
use crate::service::request_authentication::Authentication;
use crate::service::throttle::Throttle;
use crate::service::user_change::UserChange;
use crate::service::visible_user::VisibleUser;
use crate::store::Store;

/// The use cases for users. The use cases that change users are in separate files.
#[derive(Debug)]
pub(crate) struct Users {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Clock,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) hooks: HookRunner,
    pub(crate) rules: PasswordRules,
    /// Whether anonymous clients can register users.
    pub(crate) registration_open: bool,
    /// The lowest role that can read other users.
    pub(crate) listed_for: Role,
    pub(crate) links: LinkSettings,
}

impl Users {
    /// Returns the user of the caller.
    pub(crate) async fn me(&self, request: &Authentication) -> Result<VisibleUser, Error> {
        let identity = request.require(&Requirement::token(&[])).await?;
        Ok(VisibleUser::seen_by(&identity, identity.shared_user()))
    }

    /// Returns the user with this id or name. Callers who cannot list users can find only their own user, and
    /// do not learn whether other users exist.
    pub(crate) async fn find(
        &self,
        caller: Caller<'_>,
        key: UserKey<'_>,
    ) -> Result<Option<VisibleUser>, Error> {
        let viewer = self.authorize_find(caller, key).await?;
        let record = match key {
            UserKey::Id(id) => self.store.find_user_by_id(id).await?,
            UserKey::Name(name) => match Username::parse(name) {
                Ok(name) => self.store.find_user_by_name(&name.canonical).await?,
                // No user can have this name.
                Err(_) => None,
            },
        };
        Ok(record.map(|record| viewer.sees(record.user)))
    }

    /// Checks that the caller can [find](Self::find) a user.
    pub(crate) async fn check_find(
        &self,
        caller: Caller<'_>,
        key: UserKey<'_>,
    ) -> Result<(), Error> {
        self.authorize_find(caller, key).await.map(drop)
    }

    async fn authorize_find(&self, caller: Caller<'_>, key: UserKey<'_>) -> Result<Viewer, Error> {
        let viewer = caller.require(&Requirement::token(&[])).await?;
        let is_own = viewer.user().is_some_and(|own| key.matches(own));
        let role = if is_own { Role::User } else { self.listed_for };
        caller.require(&Requirement::READ.with_role(role)).await
    }

    /// Returns the users with these ids. Any request can read their names, because the caller of this method decides
    /// whether a request sees the users. The credentials of the request determine the private fields.
    pub(crate) async fn with_ids(
        &self,
        request: &Authentication,
        ids: &[UserId],
    ) -> Result<HashMap<UserId, VisibleUser>, Error> {
        let users = self.store.users_with_ids(ids).await?;
        let identity = request.identity().await.map_err(Arc::new);
        let visible = |user: User| {
            let id = user.id;
            let user = VisibleUser::seen_by_request(&identity, Arc::new(user));
            (id, user)
        };
        Ok(users.into_iter().map(visible).collect())
    }

    /// Returns a page of the users, in ascending order of id. The position of a user in the list is the id.
    pub(crate) async fn page(
        &self,
        caller: Caller<'_>,
        request: PageRequest,
    ) -> Result<Page<VisibleUser>, Error> {
        let viewer = caller.require(&self.list_requirement()).await?;
        let page = self.store.users(request).await?;
        Ok(page.map(|user| viewer.sees(user)))
    }

    /// Like [`Self::page`], but reads only the ids and the names.
    pub(crate) async fn names(
        &self,
        caller: Caller<'_>,
        request: PageRequest,
    ) -> Result<Page<UserName>, Error> {
        caller.require(&self.list_requirement()).await?;
        self.store.user_names(request).await
    }

    /// Returns the requirement for reading the list of users.
    fn list_requirement(&self) -> Requirement<'static> {
        Requirement::READ.with_role(self.listed_for)
    }

    /// Returns the number of users.
    pub(crate) async fn count(&self, caller: Caller<'_>) -> Result<u64, Error> {
        caller.require(&self.list_requirement()).await?;
        self.store.count_users().await
    }

    /// Reads the live sessions of several users. Returns the shared session of each user first, and then the device
    /// sessions in the order of their creation.
    pub(crate) async fn sessions(
        &self,
        users: &[UserId],
    ) -> Result<HashMap<UserId, Vec<Arc<SessionSummary>>>, Error> {
        let mut sessions = HashMap::<_, Vec<_>>::new();
        for session in self.store.live_sessions(users, self.clock.now()).await? {
            sessions
                .entry(session.user)
                .or_default()
                .push(Arc::new(session));
        }
        Ok(sessions)
    }

    /// Authorizes the caller, and begins a change of the user `id`.
    pub(super) async fn authorize_change(
        &self,
        caller: Caller<'_>,
        requirement: &Requirement<'_>,
        id: UserId,
    ) -> Result<UserChange, MutationError> {
        self.begin(caller.authorize(requirement).await?, id).await
    }

    /// Begins a change of the user `id`.
    pub(super) async fn begin(
        &self,
        authorized: Authorized,
        id: UserId,
    ) -> Result<UserChange, MutationError> {
        UserChange::begin(&self.store, &self.clock, authorized, id).await
    }

    /// Reads the row of the acting user.
    pub(super) async fn own_record(&self, authorized: &Authorized) -> Result<UserRecord, Error> {
        let id = authorized.user_id().ok_or(Unauthenticated::Missing)?;
        let record = self.store.find_user_by_id(id).await?;
        record.ok_or_else(|| Unauthenticated::TokenInvalid.into())
    }
}

/// The key by which a user is looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum UserKey<'a> {
    Id(UserId),
    /// A username, which is prepared before the look-up.
    Name(&'a str),
}

impl UserKey<'_> {
    fn matches(&self, user: &User) -> bool {
        let canonical = |name| Username::parse(name).map(|name| name.canonical).ok();
        match self {
            Self::Id(id) => *id == user.id,
            Self::Name(name) => {
                canonical(name).is_some_and(|name| Some(name) == canonical(&user.username))
            }
        }
    }
}
