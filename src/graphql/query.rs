//! The queries. Futures that wait for the database are boxed, because async-graphql resolves all fields of a
//! type in one future, which is as large as the future of the largest field.

use async_graphql::connection::EmptyFields;
use async_graphql::{Context, ID, Object, Result};

use crate::graphql::audit_events::{AuditEvent, AuditEventConnection, AuditEventKind};
use crate::graphql::connection::{Connection, PageArguments, bad_input, page_size};
use crate::graphql::context::{caller, request};
use crate::graphql::user::{TotalCount, User, UserConnection, selects_only_names, user_id};
use crate::model::audit_event::AuditEventFilter;
use crate::service::users::UserKey;
use crate::service::visible_user::ListedUser;

/// Symbolon's queries, to be merged with the queries of an application.
///
/// ```
/// use async_graphql::{EmptySubscription, MergedObject, Object};
///
/// #[derive(Default)]
/// struct Versions;
///
/// #[Object]
/// impl Versions {
///     async fn version(&self) -> &str {
///         "1.4.0"
///     }
/// }
///
/// #[derive(MergedObject, Default)]
/// struct Query(symbolon::Query, Versions);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let symbolon = symbolon::Symbolon::open(config).await?;
/// let schema = symbolon.schema(Query::default(), symbolon::Mutation, EmptySubscription).finish();
/// assert!(schema.sdl().contains("me: User!"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Query;

/// Symbolon's queries.
#[Object(name = "SymbolonQuery")]
impl Query {
    /// Returns the user to whom the token of the request belongs.
    ///
    /// Requires a session token or an access token.
    async fn me(&self, ctx: &Context<'_>) -> Result<User> {
        let request = request(ctx)?;
        let user = request.services.users.me(&request.authentication).await?;
        Ok(user.into())
    }

    /// Returns the user with this ID or this username. Returns null if no such user exists. Exactly one of
    /// the arguments is required.
    ///
    /// Requires a session token, or an access token with the scope `account:read`. To read another user,
    /// the caller also needs the role `ADMIN`, unless the configuration of the server allows all users to
    /// see other users.
    async fn user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The ID of the user.")] id: Option<ID>,
        #[graphql(desc = "The username. Upper and lower case are equivalent.")] username: Option<
            String,
        >,
    ) -> Result<Option<User>> {
        let key = match (&id, &username) {
            (Some(id), None) => UserKey::Id(user_id(id)),
            (None, Some(username)) => UserKey::Name(username),
            _ => {
                let problem = "Exactly one of the arguments id and username is required.";
                return Err(bad_input(problem).into());
            }
        };
        let (caller, services) = caller(ctx)?;
        let user = Box::pin(services.users.find(caller, key)).await?;
        Ok(user.map(User::from))
    }

    /// Returns a page of all users, in the order of their creation. A page has 20 users by default. The
    /// argument `first` or `last` sets another number of users, up to 100.
    ///
    /// Requires a session token, or an access token with the scope `account:read`. Also requires the role
    /// `ADMIN`, unless the configuration of the server allows all users to see other users.
    #[graphql(complexity = "page_size(first, last) * child_complexity + 1")]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The maximum number of users to return from the start of the list (0 to 100)."
        )]
        first: Option<i32>,
        #[graphql(desc = "Return only users after the user with this cursor.")] after: Option<
            String,
        >,
        #[graphql(
            desc = "The maximum number of users to return from the end of the list (0 to 100)."
        )]
        last: Option<i32>,
        #[graphql(desc = "Return only users before the user with this cursor.")] before: Option<
            String,
        >,
    ) -> Result<UserConnection> {
        let arguments = PageArguments {
            first,
            after,
            last,
            before,
        };
        let (caller, services) = caller(ctx)?;
        let request = arguments.parse("user")?;
        let page = if selects_only_names(&ctx.look_ahead()) {
            let page = Box::pin(services.users.names(caller, request)).await?;
            page.map(|user| User(ListedUser::Name(user)))
        } else {
            let page = Box::pin(services.users.page(caller, request)).await?;
            page.map(User::from)
        };
        let total_count = TotalCount::default();
        Ok(Connection::new("user", page, total_count, |user| {
            (user.user_id().0, user)
        }))
    }

    /// Returns a page of the audit trail, newest events first. A page has 20 events by default. The
    /// argument `first` or `last` sets another number of events, up to 100.
    ///
    /// Requires the role `ADMIN`. Also requires a session token, or an access token with the scope
    /// `audit:read`.
    #[graphql(complexity = "page_size(first, last) * child_complexity + 1")]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the arguments of the field"
    )]
    async fn audit_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            name = "userId",
            desc = "Return only events that concern the user with this ID."
        )]
        user: Option<ID>,
        #[graphql(desc = "Return only events of this kind.")] kind: Option<AuditEventKind>,
        #[graphql(
            desc = "The maximum number of events to return, starting with the newest event (0 to 100)."
        )]
        first: Option<i32>,
        #[graphql(desc = "Return only events that are older than the event with this cursor.")]
        after: Option<String>,
        #[graphql(
            desc = "The maximum number of events to return from the end of the list, which has the oldest events (0 to 100)."
        )]
        last: Option<i32>,
        #[graphql(desc = "Return only events that are newer than the event with this cursor.")]
        before: Option<String>,
    ) -> Result<AuditEventConnection> {
        let filter = AuditEventFilter {
            user: user.as_ref().map(user_id),
            kind: kind.map(Into::into),
        };
        let arguments = PageArguments {
            first,
            after,
            last,
            before,
        };
        let (caller, services) = caller(ctx)?;
        let page = services
            .audit_trail
            .page(caller, filter, arguments.parse("event")?);
        let page = Box::pin(page).await?;
        Ok(Connection::new("event", page, EmptyFields, |event| {
            (-event.id, AuditEvent::from(event))
        }))
    }
}
