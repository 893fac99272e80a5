//! A server as in tutorials for these libraries. The token is a column of the user's row, which SeaORM looks up
//! for each request. Each sign-in hashes in newly allocated memory on a thread for blocking work.

use argon2::Argon2;
use argon2::password_hash::{PasswordVerifier, phc::PasswordHash};
use async_graphql::{Context, EmptySubscription, Error, ID, Object, Result, Schema, SimpleObject};
use async_graphql_poem::{GraphQLRequest, GraphQLResponse};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use chrono::{TimeDelta, Utc};
use poem::http::{HeaderMap, header};
use poem::listener::TcpListener;
use poem::web::Data;
use poem::{EndpointExt, Route, Server, handler, post};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectOptions, Database, DatabaseConnection,
    EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

mod user {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "user")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub username: String,
        pub email: String,
        pub password_hash: String,
        pub token: Option<String>,
        pub token_expiration: Option<DateTime>,
    }

    #[derive(Clone, Copy, Debug, DeriveRelation, EnumIter)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

struct Authorization(String);

impl Authorization {
    fn bearer(&self) -> Option<&str> {
        self.0.strip_prefix("Bearer ")
    }

    fn basic(&self) -> Option<(String, String)> {
        let decoded = BASE64_STANDARD
            .decode(self.0.strip_prefix("Basic ")?)
            .ok()?;
        let decoded = String::from_utf8(decoded).ok()?;
        let (username, password) = decoded.split_once(':')?;
        Some((username.to_owned(), password.to_owned()))
    }
}

fn unauthorized() -> Error {
    Error::new("Unauthorized")
}

async fn current_user(context: &Context<'_>) -> Result<user::Model> {
    let database = context.data::<DatabaseConnection>()?;
    let authorization = context.data_opt::<Authorization>();
    let token = authorization
        .and_then(Authorization::bearer)
        .ok_or_else(unauthorized)?;
    user::Entity::find()
        .filter(user::Column::Token.eq(token))
        .one(database)
        .await?
        .filter(|user| user.token_expiration > Some(Utc::now().naive_utc()))
        .ok_or_else(unauthorized)
}

#[derive(SimpleObject)]
struct User {
    id: ID,
    username: String,
    email: String,
}

impl From<user::Model> for User {
    fn from(user: user::Model) -> Self {
        Self {
            id: user.id.into(),
            username: user.username,
            email: user.email,
        }
    }
}

#[derive(SimpleObject)]
struct Users {
    nodes: Vec<User>,
}

struct Query;

#[Object]
impl Query {
    async fn me(&self, context: &Context<'_>) -> Result<User> {
        Ok(current_user(context).await?.into())
    }

    async fn users(&self, context: &Context<'_>, first: u64) -> Result<Users> {
        current_user(context).await?;
        let users = user::Entity::find()
            .order_by_asc(user::Column::Id)
            .limit(first)
            .all(context.data::<DatabaseConnection>()?)
            .await?;
        Ok(Users {
            nodes: users.into_iter().map(User::from).collect(),
        })
    }
}

#[derive(SimpleObject)]
struct Token {
    token: String,
}

struct Mutation;

#[Object]
impl Mutation {
    async fn create_token(&self, context: &Context<'_>) -> Result<Token> {
        let database = context.data::<DatabaseConnection>()?;
        let authorization = context.data_opt::<Authorization>();
        let (username, password) = authorization
            .and_then(Authorization::basic)
            .ok_or_else(unauthorized)?;
        let user = user::Entity::find()
            .filter(user::Column::Username.eq(username))
            .one(database)
            .await?
            .ok_or_else(unauthorized)?;
        let hash = user.password_hash.clone();
        tokio::task::spawn_blocking(move || {
            let hash = PasswordHash::new(&hash).map_err(|_| unauthorized())?;
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .map_err(|_| unauthorized())
        })
        .await??;
        let now = Utc::now().naive_utc();
        if let (Some(token), Some(expiration)) = (&user.token, user.token_expiration)
            && expiration > now + TimeDelta::seconds(60)
        {
            return Ok(Token {
                token: token.clone(),
            });
        }
        let token = BASE64_STANDARD.encode(rand::random::<[u8; 24]>());
        let mut changed = user::ActiveModel::from(user);
        changed.token = Set(Some(token.clone()));
        changed.token_expiration = Set(Some(now + TimeDelta::hours(1)));
        changed.update(database).await?;
        Ok(Token { token })
    }
}

#[handler]
async fn graphql(
    Data(schema): Data<&Schema<Query, Mutation, EmptySubscription>>,
    headers: &HeaderMap,
    request: GraphQLRequest,
) -> GraphQLResponse {
    let mut request = request.0;
    if let Some(value) = headers.get(header::AUTHORIZATION)
        && let Ok(value) = value.to_str()
    {
        request = request.data(Authorization(value.to_owned()));
    }
    schema.execute(request).await.into()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: tutorial ADDRESS")?;
    let mut options = ConnectOptions::new(std::env::var("DATABASE_URL")?);
    options.sqlx_logging(false);
    let database = Database::connect(options).await?;
    let schema = Schema::build(Query, Mutation, EmptySubscription)
        .data(database)
        .finish();
    let app = Route::new().at("/graphql", post(graphql)).data(schema);
    Server::new(TcpListener::bind(address)).run(app).await?;
    Ok(())
}
