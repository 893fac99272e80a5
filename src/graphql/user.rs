//! Users and their roles.

use async_graphql::{Context, Enum, ID, Lookahead, Object, Result, SelectionField};
use tokio::sync::OnceCell;

use crate::graphql::access_token::AccessToken;
use crate::graphql::connection::{Connection, list_complexity};
use crate::graphql::context::{authentication, caller, loader, request};
use crate::graphql::data_loader::{AccessTokensOf, SessionsOf};
use crate::graphql::session::SessionConnection;
use crate::graphql::timestamp::Timestamp;
use crate::model::user::{self, UserId};
use crate::service::access_tokens::MAX_TOKENS;
use crate::service::device_sessions::MAX_DEVICE_SESSIONS;
use crate::service::visible_user::{ListedUser, VisibleUser};

/// The maximum number of live sessions of a user, including the shared session.
const MAX_SESSIONS: usize = MAX_DEVICE_SESSIONS + 1;

/// Parses the id of a user. A non-numeric id becomes 0, which matches no user.
pub(super) fn user_id(id: &ID) -> UserId {
    id.parse().unwrap_or(UserId(0))
}

/// The role of a user, which determines the permissions of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "user::Role")]
pub(crate) enum Role {
    /// The user can read and change their own data.
    User,
    /// The user can also read and change the data of other users, and read the audit trail.
    Admin,
}

/// A user in GraphQL, for fields of an application's types. Its GraphQL type is the type `User` of Symbolon's schema.
///
/// # Visibility
///
/// The application decides who can read the field that returns the user. Everyone who can read the field can read `id` and
/// `username` of the user. The other fields are private:
///
/// | request | private fields |
/// |---|---|
/// | no credentials | null |
/// | a valid token of another user who is not an admin | null |
/// | a valid token of the user or of an admin | the values |
/// | an access token of the user or of an admin, without the scope `account:read` | the error `SCOPE_REQUIRED`, except for the caller's own `role` |
/// | an invalid or expired token, or HTTP Basic credentials | the error `UNAUTHENTICATED`, with the reason |
///
/// A value has the access of the request that loaded it. Do not keep it after the request.
///
/// # Examples
///
/// Notes with their author. However many notes a request reads, one database query reads their authors:
///
/// ```
/// use async_graphql::{ComplexObject, Context, Result, SimpleObject};
/// use symbolon::UserId;
/// use symbolon::graphql::User;
///
/// #[derive(SimpleObject)]
/// #[graphql(complex)]
/// struct Note {
///     text: String,
///     #[graphql(skip)]
///     author: UserId,
/// }
///
/// #[ComplexObject]
/// impl Note {
///     /// The author. Null if the author was deleted.
///     async fn author(&self, ctx: &Context<'_>) -> Result<Option<User>> {
///         User::load(ctx, self.author).await
///     }
/// }
/// ```
///
/// A user with fields of the application. `Account` has the fields of `User` and of `Profile`. Its field `me` replaces the
/// field of Symbolon, which [`Omit`](crate::graphql::Omit) removes:
///
/// ```
/// use async_graphql::{Context, EmptySubscription, MergedObject, Object, Result};
/// use symbolon::graphql::{Omit, OmittedFields, User};
/// use symbolon::{Mutation, Symbolon, UserId};
///
/// /// What the application stores about a user.
/// struct Profile {
///     user: UserId,
/// }
///
/// #[Object]
/// impl Profile {
///     /// The name that other users see.
///     async fn display_name(&self, ctx: &Context<'_>) -> Result<String> {
///         // A real application reads the name with a data loader.
///         Ok(format!("User {}", self.user))
///     }
/// }
///
/// /// A user with a profile.
/// #[derive(MergedObject)]
/// struct Account(User, Profile);
///
/// impl From<User> for Account {
///     fn from(user: User) -> Self {
///         let profile = Profile { user: user.user_id() };
///         Self(user, profile)
///     }
/// }
///
/// struct Accounts;
///
/// #[Object]
/// impl Accounts {
///     /// The caller.
///     async fn me(&self, ctx: &Context<'_>) -> Result<Account> {
///         Ok(User::current(ctx).await?.into())
///     }
/// }
///
/// struct Me;
///
/// impl OmittedFields for Me {
///     const NAMES: &'static [&'static str] = &["me"];
/// }
///
/// #[derive(MergedObject)]
/// struct Query(Omit<symbolon::Query, Me>, Accounts);
///
/// fn schema(symbolon: &Symbolon) -> symbolon::Schema<Query, Mutation, EmptySubscription> {
///     let query = Query(Omit::new(symbolon::Query), Accounts);
///     symbolon.schema(query, Mutation, EmptySubscription).finish()
/// }
/// ```
#[derive(Clone, Debug)]
pub struct User(pub(super) ListedUser);

impl User {
    /// Returns the user with this id, or `None` if there is none, for example because the user was deleted.
    ///
    /// The calls of fields that are resolved at the same time are answered by one database query. Users are not cached: a
    /// field that is resolved after a mutation returns the changed user.
    ///
    /// ```
    /// # use async_graphql::{Context, Object, Result};
    /// # use symbolon::{UserId, graphql::User};
    /// # struct Query;
    /// # #[Object]
    /// # impl Query {
    /// /// The user who maintains this server.
    /// async fn maintainer(&self, ctx: &Context<'_>) -> Result<Option<User>> {
    ///     User::load(ctx, UserId::from(1)).await
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the database cannot be read. Invalid credentials cause errors only in the private fields.
    pub async fn load(ctx: &Context<'_>, id: UserId) -> Result<Option<Self>> {
        let user = Box::pin(loader(ctx)?.load_one(id)).await?;
        Ok(user.map(Self::from))
    }

    /// Returns the user to whom the token of the request belongs.
    ///
    /// ```
    /// # use async_graphql::{Context, Object, Result};
    /// # use symbolon::graphql::User;
    /// # struct Query;
    /// # #[Object]
    /// # impl Query {
    /// async fn viewer(&self, ctx: &Context<'_>) -> Result<User> {
    ///     User::current(ctx).await
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`ContextExt::identity`](crate::ContextExt::identity).
    pub async fn current(ctx: &Context<'_>) -> Result<Self> {
        let request = request(ctx)?;
        let user = request.services.users.me(&request.authentication).await?;
        Ok(user.into())
    }

    /// Returns a user of which each caller can read all fields, for the result of a mutation that has registered or signed in
    /// this user. [`User::load`] would hide the private fields, because the request has no token of the new user.
    ///
    /// ```
    /// use async_graphql::{Context, Object, Result};
    /// use symbolon::graphql::User;
    /// use symbolon::{ContextExt, Registration};
    ///
    /// struct SignUp;
    ///
    /// #[Object]
    /// impl SignUp {
    ///     async fn sign_up(&self, ctx: &Context<'_>, username: String, password: String) -> Result<User> {
    ///         let new = Registration { username, email: None, password };
    ///         Ok(User::with_all_fields(ctx.requester()?.register(&new).await?))
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn with_all_fields(user: user::User) -> Self {
        VisibleUser::whole(user).into()
    }

    /// Returns the id, with which the application finds its own data about the user.
    ///
    /// ```
    /// # use symbolon::{UserId, graphql::User};
    /// fn is_author(user: &User, author: UserId) -> bool {
    ///     user.user_id() == author
    /// }
    /// ```
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.0.id()
    }
}

impl From<VisibleUser> for User {
    fn from(user: VisibleUser) -> Self {
        Self(ListedUser::Whole(user))
    }
}

/// Returns whether a connection field selects only the ids and the names of its users.
pub(super) fn selects_only_names(connection: &Lookahead<'_>) -> bool {
    let nodes = connection.field("nodes").selection_fields();
    let edges = connection.field("edges").field("node").selection_fields();
    let selected = nodes.iter().chain(&edges);
    let mut fields = selected.flat_map(SelectionField::selection_set);
    fields.all(|field| matches!(field.name(), "id" | "username" | "__typename"))
}

/// A user of the server.
///
/// All fields except `id` and `username` are private: only the user and admins can read them, and other
/// callers get null. With an access token, the private fields require the scope `account:read`, except
/// for the caller's own `role`. Without this scope, the error is `FORBIDDEN` with the reason
/// `SCOPE_REQUIRED`. The results of `createUser`, `createToken`, `renewToken`, `changePassword` and
/// `resetPassword` contain all fields of the user.
#[Object]
#[expect(clippy::unused_async, reason = "resolvers are asynchronous")]
impl User {
    /// The ID of the user. IDs are never reused.
    async fn id(&self) -> ID {
        self.user_id().into()
    }

    /// The username, in the spelling that the user chose. Usernames are compared without regard to case.
    async fn username(&self) -> &str {
        self.0.username()
    }

    /// The role of the user. Null if the caller is neither this user nor an admin.
    async fn role(&self) -> Result<Option<Role>> {
        Ok(self.0.whole()?.role()?.map(Role::from))
    }

    /// The time at which the user was created. Null if the caller is neither this user nor an admin.
    async fn created_at(&self) -> Result<Option<Timestamp>> {
        Ok(self.0.whole()?.created_at()?.map(Timestamp))
    }

    /// The e-mail address of the user, which the server does not verify. Null if the user has no e-mail
    /// address, or if the caller is neither this user nor an admin.
    async fn email(&self) -> Result<Option<&str>> {
        Ok(self.0.whole()?.email()?)
    }

    /// The time at which the user last signed in with a password. Null if the user has never signed in, or
    /// if the caller is neither this user nor an admin.
    async fn last_sign_in_at(&self) -> Result<Option<Timestamp>> {
        Ok(self.0.whole()?.last_sign_in_at()?.map(Timestamp))
    }

    /// The access tokens of the user, at most 50, oldest first. Null if the caller is neither this user nor
    /// an admin.
    #[graphql(complexity = "list_complexity(MAX_TOKENS, child_complexity)")]
    async fn access_tokens(&self, ctx: &Context<'_>) -> Result<Option<Vec<AccessToken>>> {
        let Some(id) = self.0.whole()?.private_id()? else {
            return Ok(None);
        };
        // Boxed, because the futures of all fields of a type have the size of the largest one.
        let tokens = Box::pin(loader(ctx)?.load_one(AccessTokensOf(id))).await?;
        let tokens = tokens.unwrap_or_default().into_iter();
        Ok(Some(tokens.map(AccessToken).collect()))
    }

    /// The live sessions of the user: the shared session, and then at most 50 device sessions in the order of
    /// their creation. Null if the caller is neither this user nor an admin.
    #[graphql(complexity = "MAX_SESSIONS * child_complexity + 1")]
    async fn sessions(&self, ctx: &Context<'_>) -> Result<Option<SessionConnection>> {
        let Some(id) = self.0.whole()?.private_id()? else {
            return Ok(None);
        };
        let sessions = Box::pin(loader(ctx)?.load_one(SessionsOf(id))).await?;
        let current = authentication(ctx)?.token_digest();
        let sessions = sessions.unwrap_or_default();
        Ok(Some(SessionConnection::all(sessions, current)))
    }

    /// The time at which the user was disabled. Null if the user is not disabled, or if the caller is
    /// neither this user nor an admin.
    async fn disabled_at(&self) -> Result<Option<Timestamp>> {
        Ok(self.0.whole()?.disabled_at()?.map(Timestamp))
    }
}

/// A page of users.
pub(crate) type UserConnection = Connection<User, TotalCount>;

/// The number of all users. The users are counted at most once for each connection, even if a query
/// selects the field several times.
#[derive(Default)]
pub(crate) struct TotalCount(OnceCell<u64>);

#[Object]
impl TotalCount {
    /// The number of users on all pages.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<u64> {
        let (caller, services) = caller(ctx)?;
        let count = self.0.get_or_try_init(|| services.users.count(caller));
        Ok(*count.await?)
    }
}
