//! The module `symbolon::testing`.

use async_graphql::{Context, EmptySubscription, Executor, MergedObject, Object, Request, Result};
use chrono::TimeDelta;
use poem::http::StatusCode;
use poem::{Endpoint, Request as HttpRequest};
use sea_orm::{ConnectionTrait, Statement};
use symbolon::sea_orm_migration::prelude::*;
use symbolon::testing::{PASSWORD, TestSymbolon, TestUser};
use symbolon::{
    Authenticated, Client, ContextExt, HookError, HookTransaction, Hooks, Mutation, Requester,
    Role, TokenOptions, User, async_trait,
};

#[derive(Default)]
struct Notes;

#[Object]
impl Notes {
    #[graphql(guard = "Authenticated")]
    async fn notes(&self, ctx: &Context<'_>) -> Result<Vec<String>> {
        Ok(vec![format!("by {}", ctx.current_user().await?.username)])
    }

    #[graphql(guard = "symbolon::RequireRole(Role::Admin)")]
    async fn secret(&self) -> &str {
        "secret"
    }
}

#[derive(MergedObject, Default)]
struct Query(symbolon::Query, Notes);

/// Executes a document, and returns its data or the code of the first error.
async fn execute(symbolon: &TestSymbolon, document: &str, requester: Requester) -> String {
    let schema = symbolon.schema(Query::default(), Mutation, EmptySubscription);
    let executor = symbolon.executor(schema.finish());
    let response = executor
        .execute(Request::new(document).data(requester))
        .await;
    match response.errors.first() {
        None => response.data.to_string(),
        Some(error) => {
            let code = error.extensions.as_ref().unwrap().get("code").unwrap();
            code.to_string()
        }
    }
}

#[tokio::test]
async fn guards_are_tested_without_http() {
    let symbolon = TestSymbolon::open().await;
    let (ada, root) = (
        symbolon.as_user("ada").await,
        symbolon.as_admin("root").await,
    );
    let notes = async |requester| execute(&symbolon, "{ notes }", requester).await;
    let secret = async |requester| execute(&symbolon, "{ secret }", requester).await;
    assert_eq!(notes(ada.requester()).await, r#"{notes: ["by ada"]}"#);
    assert_eq!(notes(symbolon.anonymous()).await, r#""UNAUTHENTICATED""#);
    assert_eq!(secret(ada.requester()).await, r#""FORBIDDEN""#);
    assert_eq!(secret(root.requester()).await, r#"{secret: "secret"}"#);
    symbolon.clock().advance(TimeDelta::hours(2));
    assert_eq!(notes(ada.requester()).await, r#""UNAUTHENTICATED""#);
    // A new sign-in of the same user.
    let again = symbolon.as_user("ada").await;
    assert_eq!(again.user().id, ada.user().id);
    assert_ne!(again.token(), ada.token());
    assert_eq!(notes(again.requester()).await, r#"{notes: ["by ada"]}"#);
}

#[tokio::test]
async fn users_are_created_once_and_can_become_admins() {
    let symbolon = TestSymbolon::open().await;
    let ada = symbolon.as_user("ada").await;
    assert_eq!(ada.user().role, Role::User);
    assert_eq!(symbolon.as_user("ada").await.token(), ada.token());
    let admin = symbolon.as_admin("ada").await;
    assert_eq!(
        (admin.user().id, admin.user().role),
        (ada.user().id, Role::Admin)
    );
    assert_eq!(symbolon.as_user("ada").await.user().role, Role::Admin);
    assert_eq!(symbolon.operator().users(None).await.unwrap().len(), 1);
    assert!(!format!("{ada:?}").contains(ada.token()));
}

#[tokio::test]
async fn routes_are_tested_without_a_listener() {
    let symbolon = TestSymbolon::open().await;
    let ada = symbolon.as_user("ada").await;
    let routes = symbolon.own_routes();
    let call = async |authorization: &str| {
        let request = HttpRequest::builder()
            .uri_str("/auth")
            .header("host", "localhost")
            .header("authorization", authorization);
        routes.get_response(request.finish()).await.status()
    };
    assert_eq!(call(ada.authorization()).await, StatusCode::OK);
    assert_eq!(call("Bearer none").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn rate_limits_can_be_enabled() {
    for is_enabled in [false, true] {
        let builder = TestSymbolon::builder();
        let symbolon = builder.config(|config| config.throttle.enabled = is_enabled);
        let symbolon = symbolon.open().await;
        symbolon.as_user("ada").await;
        let mut is_limited = false;
        for _ in 0..30 {
            let requester = symbolon.requester(None, Client::default());
            let options = TokenOptions::new();
            let refused = requester.sign_in_with("ada", "wrong", &options).await;
            is_limited |= matches!(refused, Err(symbolon::Error::RateLimited { .. }));
        }
        assert_eq!(is_limited, is_enabled);
        assert_eq!(PASSWORD.len(), 28);
    }
}

struct CreateProfile;

impl MigrationName for CreateProfile {
    fn name(&self) -> &'static str {
        "m1_create_profile"
    }
}

#[async_trait]
impl MigrationTrait for CreateProfile {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let create =
            "CREATE TABLE profile (user_id INTEGER PRIMARY KEY REFERENCES symbolon_user (id))";
        let database = manager.get_connection();
        database.execute_unprepared(create).await.map(drop)
    }
}

struct Migrations;

#[async_trait]
impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(CreateProfile)]
    }
}

struct Profiles;

#[async_trait]
impl Hooks for Profiles {
    async fn after_register(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        let insert = format!("INSERT INTO profile (user_id) VALUES ({})", user.id);
        transaction.execute_unprepared(&insert).await?;
        Ok(())
    }
}

#[tokio::test]
async fn hooks_and_migrations_of_the_application_run() {
    let builder = TestSymbolon::builder().hooks(Profiles);
    let symbolon = builder.migrations::<Migrations>().open().await;
    let ada: TestUser = symbolon.as_user("ada").await;
    let database = symbolon.connection();
    let select = Statement::from_string(
        database.get_database_backend(),
        "SELECT user_id FROM profile",
    );
    let row = database.query_one_raw(select).await.unwrap().unwrap();
    let id: i64 = row.try_get_by_index(0).unwrap();
    assert_eq!(id, i64::from(ada.user().id));
}

#[tokio::test]
async fn the_database_is_deleted_with_the_instance() {
    let symbolon = TestSymbolon::open().await;
    let file = symbolon.database();
    assert!(std::fs::exists(&file).unwrap(), "{file}");
    drop(symbolon);
    assert!(!std::fs::exists(&file).unwrap(), "{file}");
}
