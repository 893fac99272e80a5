//! Types for the schemas of applications: users as fields, users with fields of the application, errors in the input, roots
//! without some fields, and ids as columns.

use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};
use symbolon::async_graphql::dataloader::{DataLoader, Loader};
use symbolon::async_graphql::{
    self, Context, EmptySubscription, ID, MergedObject, Object, ObjectType, Result, SimpleObject,
};
use symbolon::graphql::{Omit, OmittedFields, User, UserError};
use symbolon::{Config, ContextExt, FieldErrorCode, Symbolon, UserId};

use crate::direct_execution::Idle;
use crate::support::{Answer, PASSWORD, TestApp};

/// Reads what the application stores about users, and counts the reads.
#[derive(Clone, Default)]
struct Profiles(Arc<AtomicUsize>);

impl Loader<UserId> for Profiles {
    type Value = String;
    type Error = Infallible;

    async fn load(
        &self,
        users: &[UserId],
    ) -> std::result::Result<HashMap<UserId, String>, Infallible> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let name = |user: &UserId| (*user, format!("User {user}"));
        Ok(users.iter().map(name).collect())
    }
}

struct Profile(UserId);

#[Object]
impl Profile {
    async fn display_name(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        let profiles = ctx.data::<DataLoader<Profiles>>()?;
        Ok(profiles.load_one(self.0).await.unwrap_or_default())
    }
}

#[derive(MergedObject)]
struct Account(User, Profile);

impl From<User> for Account {
    fn from(user: User) -> Self {
        let profile = Profile(user.user_id());
        Self(user, profile)
    }
}

struct Note(UserId);

#[Object]
impl Note {
    async fn author(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        User::load(ctx, self.0).await
    }

    async fn account(&self, ctx: &Context<'_>) -> Result<Option<Account>> {
        Ok(User::load(ctx, self.0).await?.map(Account::from))
    }
}

struct Notes;

#[Object]
impl Notes {
    /// Notes by the users with the ids 1 to `count`.
    #[graphql(complexity = "1 + child_complexity")]
    async fn notes(&self, count: i64) -> Vec<Note> {
        (1..=count).map(|id| Note(UserId::from(id))).collect()
    }

    async fn note(&self, author: ID) -> Result<Note> {
        Ok(Note(UserId::try_from(author)?))
    }

    async fn me(&self, ctx: &Context<'_>) -> Result<Account> {
        Ok(User::current(ctx).await?.into())
    }
}

#[derive(SimpleObject)]
struct Payload {
    user_errors: Vec<UserError>,
}

struct NotesMutation;

#[Object]
impl NotesMutation {
    async fn add_note(&self) -> Payload {
        Payload {
            user_errors: vec![
                UserError::new(FieldErrorCode::Blank, "text", "The note is empty."),
                UserError::new(FieldErrorCode::LimitReached, None, "Too many notes."),
            ],
        }
    }

    /// Changes the name of a user and reads the user.
    async fn rename(&self, ctx: &Context<'_>, author: i64) -> Result<Option<User>> {
        User::load(ctx, UserId::from(author)).await
    }
}

struct Me;

impl OmittedFields for Me {
    const NAMES: &'static [&'static str] = &["me"];
}

struct Creation;

impl OmittedFields for Creation {
    const NAMES: &'static [&'static str] = &["createUser", "inviteUser"];
}

#[derive(MergedObject)]
struct Query(Omit<symbolon::Query, Me>, Notes);

#[derive(MergedObject)]
struct Mutation(symbolon::Mutation, NotesMutation);

/// Starts an app that executes operations directly, or by async-graphql.
async fn start(profiles: &Profiles, is_direct: bool) -> TestApp {
    let loader = DataLoader::new(profiles.clone(), tokio::spawn);
    TestApp::with_routes(
        |config: &mut Config| config.throttle.enabled = false,
        |symbolon| {
            let query = Query(Omit::new(symbolon::Query), Notes);
            let mutation = Mutation(symbolon::Mutation, NotesMutation);
            let schema = symbolon.schema(query, mutation, EmptySubscription);
            let schema = schema.data(loader);
            let schema = if is_direct {
                schema
            } else {
                schema.extension(Idle)
            };
            let metrics = symbolon.metrics();
            symbolon.routes(schema.finish()).at("/metrics", metrics)
        },
    )
    .await
}

/// Returns the number of statements that have read from the database.
pub async fn reads(app: &TestApp) -> u64 {
    let metrics = Answer::of(app.request(Method::GET, "/metrics")).await;
    let metrics = metrics.body.as_str().unwrap();
    let name = r#"symbolon_database_pool_wait_seconds_count{pool="readers"} "#;
    let count = metrics.lines().find_map(|line| line.strip_prefix(name));
    count.unwrap().parse().unwrap()
}

/// Asserts that a request reads with one statement. Repeats the request up to 5 times, because a late heartbeat of
/// PostgreSQL causes a read of the identity. Returns the last answer.
pub async fn with_one_read(app: &TestApp, mut send: impl AsyncFnMut() -> Answer) -> Answer {
    let mut counts = Vec::new();
    while counts.len() < 5 {
        let before = reads(app).await;
        let answer = send().await;
        let count = reads(app).await - before;
        if count == 1 {
            return answer;
        }
        counts.push(count);
    }
    panic!("{counts:?} statements");
}

#[tokio::test]
async fn one_query_reads_the_authors_of_100_notes() {
    for is_direct in [true, false] {
        let profiles = Profiles::default();
        let app = start(&profiles, is_direct).await;
        for number in 1..=20 {
            app.register(&format!("user{number}")).await;
        }
        for document in [
            "{ notes(count: 100) { author { id username email } } }",
            "{ notes(count: 100) { account { id username email displayName } } }",
        ] {
            let before = profiles.0.load(Ordering::SeqCst);
            let answer = app.graphql(document).send().await;
            assert_eq!(answer.at("/errors"), &Value::Null, "{answer:?}");
            let after_one = profiles.0.load(Ordering::SeqCst);
            let answer = with_one_read(&app, || app.graphql(document).send()).await;
            let field = if document.contains("account") {
                assert_eq!(after_one - before, 1);
                assert_eq!(
                    answer.at("/data/notes/6/account/displayName"),
                    "User 7",
                    "{answer:?}"
                );
                "account"
            } else {
                "author"
            };
            let notes = answer.at("/data/notes").as_array().unwrap();
            assert_eq!(notes.len(), 100);
            for (index, note) in notes.iter().enumerate() {
                let number = index + 1;
                if number <= 20 {
                    assert_eq!(note[field]["id"], number.to_string());
                    assert_eq!(note[field]["username"], format!("user{number}"));
                } else {
                    assert_eq!(note[field], Value::Null);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_looked_up_once_for_100_notes() {
    let app = start(&Profiles::default(), true).await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    app.revoke(&token).await;
    let document = "{ notes(count: 100) { author { username email } } }";
    let before = reads(&app).await;
    let answer = app.graphql(document).bearer(&token).send().await;
    let count = reads(&app).await - before;
    assert!(count <= 4, "{count} statements");
    assert_eq!(answer.at("/data/notes/0/author/username"), "ada");
    assert_eq!(answer.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
}

/// The private fields of a user.
const PRIVATE: [&str; 7] = [
    "role",
    "createdAt",
    "email",
    "lastSignInAt",
    "disabledAt",
    "accessTokens { name }",
    "sessions { nodes { id } }",
];

#[tokio::test]
async fn the_private_fields_of_an_author_depend_on_the_credentials() {
    let app = start(&Profiles::default(), true).await;
    for name in ["ada", "bob", "eve", "old"] {
        app.register(name).await;
    }
    app.make_admin(3).await;
    app.mutate_as(
        "ada",
        r#"updateUser(input: { email: "ada@example.org" }) { user { id } }"#,
    )
    .await;
    let old = app.sign_in("old").await;
    app.advance(TimeDelta::hours(2));
    let access_token = async |name: &str, label: &str, scope: &str| {
        let input = json!({ "name": label, "scopes": [scope] });
        app.access_token(name, input).await
    };
    let bearer = |token: String| format!("Bearer {token}");
    let basic = |password: &str| {
        use base64::Engine;
        let credentials = format!("ada:{password}");
        format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(credentials)
        )
    };
    let ada_without = access_token("ada", "without", "notes:read").await;
    let ada_with = access_token("ada", "with", "account:read").await;
    let bob_with = access_token("bob", "with", "account:read").await;
    let eve_without = access_token("eve", "without", "notes:read").await;
    let eve_with = access_token("eve", "with", "account:read").await;
    let viewers = [
        ("anonymous", None, "null"),
        ("unknown", Some(bearer("x".repeat(32))), "TOKEN_INVALID"),
        ("expired", Some(bearer(old)), "TOKEN_EXPIRED"),
        ("malformed", Some("Token x".to_owned()), "MISSING"),
        ("password", Some(basic(PASSWORD)), "MISSING"),
        ("wrong password", Some(basic("wrong")), "MISSING"),
        ("other", Some(bearer(app.sign_in("bob").await)), "null"),
        ("other with", Some(bearer(bob_with)), "null"),
        ("same", Some(bearer(app.sign_in("ada").await)), "value"),
        ("same with", Some(bearer(ada_with)), "value"),
        ("same without", Some(bearer(ada_without)), "SCOPE_REQUIRED"),
        ("admin", Some(bearer(app.sign_in("eve").await)), "value"),
        ("admin with", Some(bearer(eve_with)), "value"),
        ("admin without", Some(bearer(eve_without)), "SCOPE_REQUIRED"),
    ];
    for (viewer, authorization, expected) in &viewers {
        for field in PRIVATE {
            for author in ["author", "account"] {
                let document =
                    format!("{{ note(author: 1) {{ {author} {{ id username {field} }} }} }}");
                let request = app.graphql(&document);
                let answer = match authorization {
                    Some(value) => request.authorization(value.as_bytes()).send().await,
                    None => request.send().await,
                };
                let user = answer.at(&format!("/data/note/{author}"));
                assert_eq!(user["id"], "1", "{viewer} {field}: {answer:?}");
                assert_eq!(user["username"], "ada", "{viewer} {field}: {answer:?}");
                let name = field.split(' ').next().unwrap();
                let found = match (&user[name], answer.at("/errors")) {
                    (Value::Null, Value::Null) => "null",
                    (Value::Null, _) => {
                        let path = answer.at("/errors/0/path");
                        assert_eq!(path, &json!(["note", author, name]));
                        answer.error().1
                    }
                    _ => "value",
                };
                let expected = match (*viewer, field, *expected) {
                    // The caller's own role needs no scope, and an enabled user has no such time.
                    ("same without", "role", _) => "value",
                    (_, "disabledAt", "value") => "null",
                    (_, _, expected) => expected,
                };
                assert_eq!(found, expected, "{viewer} {field}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_caller_has_the_fields_of_the_application() {
    let app = start(&Profiles::default(), true).await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    let document = "{ me { __typename id username role displayName } }";
    let me = app.graphql(document).bearer(&token).send().await;
    let expected = json!({
        "__typename": "Account", "id": "1", "username": "ada", "role": "USER", "displayName": "User 1",
    });
    assert_eq!(me.at("/data/me"), &expected, "{me:?}");
    let anonymous = app.graphql(document).send().await;
    assert_eq!(anonymous.error(), ("UNAUTHENTICATED", "MISSING"));
    app.revoke(&token).await;
    let revoked = app.graphql(document).bearer(&token).send().await;
    assert_eq!(revoked.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
}

#[tokio::test]
async fn a_user_is_read_again_after_a_mutation_of_the_same_request() {
    let app = start(&Profiles::default(), true).await;
    app.register("ada").await;
    let document = r#"mutation { a: rename(author: 1) { username }
        updateUser(input: { username: "lovelace" }) { userErrors { code } }
        b: rename(author: 1) { username } }"#;
    let answer = app.graphql(document).basic("ada", PASSWORD).send().await;
    assert_eq!(answer.at("/data/a/username"), "ada", "{answer:?}");
    assert_eq!(answer.at("/data/b/username"), "lovelace", "{answer:?}");
}

#[tokio::test]
async fn an_id_of_an_argument_is_a_number() {
    let app = start(&Profiles::default(), true).await;
    app.register("ada").await;
    for (id, expected) in [("1", json!({ "id": "1" })), ("2", Value::Null)] {
        let document = format!("{{ note(author: {id}) {{ author {{ id }} }} }}");
        let answer = app.graphql(&document).send().await;
        assert_eq!(answer.at("/data/note/author"), &expected);
    }
    let answer = app.graphql(r#"{ note(author: "ada") { author { id } } }"#);
    assert_eq!(answer.send().await.error(), ("BAD_USER_INPUT", ""));
}

struct SignUp;

#[Object]
impl SignUp {
    async fn sign_up(&self, ctx: &Context<'_>, username: String) -> async_graphql::Result<User> {
        let new = symbolon::Registration {
            email: Some(format!("{username}@example.org")),
            username,
            password: PASSWORD.to_owned(),
        };
        let user = ctx.requester()?.register(&new).await?;
        Ok(User::with_all_fields(user))
    }
}

#[derive(MergedObject)]
struct SignUpMutation(symbolon::Mutation, SignUp);

#[derive(MergedObject, Default)]
struct SignUpQuery(symbolon::Query);

#[tokio::test]
async fn a_registration_of_the_application_returns_the_new_user() {
    let app = TestApp::with_routes(
        |_| {},
        |symbolon| {
            let mutation = SignUpMutation(symbolon::Mutation, SignUp);
            let schema = symbolon.schema(SignUpQuery::default(), mutation, EmptySubscription);
            symbolon.routes(schema.finish())
        },
    )
    .await;
    let document = r#"mutation { signUp(username: "ada") { username email } }"#;
    let expected = json!({ "username": "ada", "email": "ada@example.org" });
    // A client can still send an old token.
    let answer = app.graphql(document).bearer("old").send().await;
    assert_eq!(answer.at("/data/signUp"), &expected);
}

#[tokio::test]
async fn payloads_of_an_application_contain_user_errors() {
    let app = start(&Profiles::default(), true).await;
    let answer = app.graphql("mutation { addNote { userErrors { code field message } } }");
    let errors = json!([
        { "code": "BLANK", "field": "text", "message": "The note is empty." },
        { "code": "LIMIT_REACHED", "field": null, "message": "Too many notes." },
    ]);
    let answer = answer.send().await;
    assert_eq!(answer.at("/data/addNote/userErrors"), &errors, "{answer:?}");
}

#[derive(MergedObject)]
struct Restricted(Omit<symbolon::Mutation, Creation>);

#[derive(Default, MergedObject)]
struct Own(Omit<symbolon::Mutation, Creation>, OwnCreation);

#[derive(Default, MergedObject)]
struct OwnFirst(OwnCreation, Omit<symbolon::Mutation, Creation>);

#[derive(Default)]
struct OwnCreation;

#[Object]
impl OwnCreation {
    async fn create_user(&self) -> &str {
        "own"
    }
}

#[derive(MergedObject)]
struct Standard(symbolon::Query);

#[tokio::test]
async fn omitted_fields_are_not_in_the_schema() {
    let mut sdl = String::new();
    let app = TestApp::with_routes(
        |_| {},
        |symbolon| {
            let mutation = Restricted(Omit::new(symbolon::Mutation));
            let query = Standard(symbolon::Query);
            let schema = symbolon.schema(query, mutation, EmptySubscription);
            let schema = schema.finish();
            sdl = schema.sdl();
            symbolon.routes(schema)
        },
    )
    .await;
    for absent in [
        "createUser(",
        "inviteUser(",
        "CreateUserPayload",
        "CreateUserInput",
        "InviteUserInput",
        "SymbolonMutation",
        "_without_",
    ] {
        assert!(!sdl.contains(absent), "{absent}: {sdl}");
    }
    for present in ["createToken(", "deleteUser(", "type UserError"] {
        assert!(sdl.contains(present), "{present}: {sdl}");
    }
    let types = app.graphql("{ __schema { mutationType { fields { name } } types { name } } }");
    let types = types.send().await.body.to_string();
    assert!(types.contains("createToken") && !types.contains("reateUser"));
    let create = app.registration("ada").send().await;
    assert_eq!(create.error().0, "GRAPHQL_VALIDATION_FAILED");
    let users = app.operator().users(None).await.unwrap();
    assert!(users.is_empty());
}

/// Starts an app with these mutations.
async fn with_mutation<M: ObjectType + Default + 'static>() -> TestApp {
    let routes = |symbolon: &Symbolon| {
        let query = Standard(symbolon::Query);
        let schema = symbolon.schema(query, M::default(), EmptySubscription);
        symbolon.routes(schema.finish())
    };
    TestApp::with_routes(|_| {}, routes).await
}

#[tokio::test]
async fn an_application_replaces_an_omitted_field() {
    // async-graphql asks the last part of a root first.
    for app in [
        with_mutation::<Own>().await,
        with_mutation::<OwnFirst>().await,
    ] {
        let answer = app.graphql("mutation { createUser }").send().await;
        assert_eq!(answer.at("/data/createUser"), "own", "{answer:?}");
    }
}

struct Misspelled;

impl OmittedFields for Misspelled {
    const NAMES: &'static [&'static str] = &["creatUser"];
}

#[derive(MergedObject)]
struct WithMisspelled(Omit<symbolon::Mutation, Misspelled>);

/// Returns the message of a panic.
pub fn panic_message<T>(work: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(work)).err().unwrap();
    let message = panic.downcast_ref::<String>().cloned();
    message.unwrap_or_else(|| (*panic.downcast_ref::<&str>().unwrap()).to_owned())
}

#[tokio::test]
async fn a_misspelled_name_of_an_omitted_field_is_an_error() {
    let app = TestApp::start().await;
    let symbolon: Symbolon = app.symbolon();
    let message = panic_message(|| {
        let mutation = WithMisspelled(Omit::new(symbolon::Mutation));
        let query = Standard(symbolon::Query);
        symbolon.schema(query, mutation, EmptySubscription)
    });
    assert!(
        message.contains("Mutation has no field creatUser"),
        "{message}"
    );
}

mod tables {
    pub mod note {
        use symbolon::UserId;
        use symbolon::sea_orm::{self, entity::prelude::*};

        #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
        #[sea_orm(table_name = "note")]
        pub struct Model {
            #[sea_orm(primary_key)]
            pub id: i64,
            pub author: UserId,
            pub reviewer: Option<UserId>,
        }

        #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
        pub enum Relation {}

        impl ActiveModelBehavior for ActiveModel {}
    }

    pub mod profile {
        use symbolon::UserId;
        use symbolon::sea_orm::{self, entity::prelude::*};

        #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
        #[sea_orm(table_name = "profile")]
        pub struct Model {
            #[sea_orm(primary_key, auto_increment = false)]
            pub user_id: UserId,
            pub display_name: String,
        }

        #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
        pub enum Relation {}

        impl ActiveModelBehavior for ActiveModel {}
    }
}

#[tokio::test]
async fn ids_are_columns_and_primary_keys() {
    use symbolon::sea_orm::ActiveValue::{NotSet, Set};
    use symbolon::sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Schema};
    use tables::{note, profile};

    let app = TestApp::start().await;
    let database = app.database().await;
    let schema = Schema::new(database.get_database_backend());
    for table in [
        schema.create_table_from_entity(note::Entity),
        schema.create_table_from_entity(profile::Entity),
    ] {
        database.execute(&table).await.unwrap();
    }
    let (ada, bob) = (UserId::from(1), UserId::from(i64::MAX));
    for (author, reviewer) in [(ada, None), (bob, Some(ada))] {
        let row = note::ActiveModel {
            id: NotSet,
            author: Set(author),
            reviewer: Set(reviewer),
        };
        note::Entity::insert(row).exec(&database).await.unwrap();
    }
    let notes = async |condition| {
        let notes = note::Entity::find().filter(condition);
        let notes = notes.all(&database).await.unwrap().into_iter();
        let notes = notes.map(|note| (note.author, note.reviewer));
        notes.collect::<Vec<_>>()
    };
    let of_ada = notes(note::Column::Author.eq(ada)).await;
    assert_eq!(of_ada, [(ada, None)]);
    let reviewed = notes(note::Column::Reviewer.eq(ada)).await;
    assert_eq!(reviewed, [(bob, Some(ada))]);
    let of_both = notes(note::Column::Author.is_in([ada, bob])).await;
    assert_eq!(of_both.len(), 2);

    let row = profile::ActiveModel {
        user_id: Set(bob),
        display_name: Set("Bob".to_owned()),
    };
    profile::Entity::insert(row).exec(&database).await.unwrap();
    let found = profile::Entity::find_by_id(bob).one(&database).await;
    assert_eq!(found.unwrap().unwrap().display_name, "Bob");
    let missing = profile::Entity::find_by_id(ada).one(&database).await;
    assert_eq!(missing.unwrap(), None);
    database.close().await.unwrap();
}

#[test]
fn an_id_is_a_number_in_json_and_an_id_in_graphql() {
    let id = UserId::from(7);
    assert_eq!(serde_json::to_value(id).unwrap(), json!(7));
    assert_eq!(serde_json::from_value::<UserId>(json!(7)).unwrap(), id);
    assert!(serde_json::from_value::<UserId>(json!("7")).is_err());
    assert_eq!(ID::from(id), "7");
    assert_eq!(UserId::try_from(&ID::from("7")).unwrap(), id);
    let errors = ["", "x", "1.5", "9223372036854775808"];
    for text in errors {
        let error = UserId::try_from(ID::from(text)).unwrap_err();
        assert!(matches!(error, symbolon::Error::BadUserInput(_)), "{text}");
    }
    assert_eq!((id.get(), i64::from(id)), (7, 7));
}
