//! poem and async-graphql as in their documentation, answering constants of the types that the
//! other servers return. There is no authentication and no look-up.

use async_graphql::{EmptyMutation, EmptySubscription, ID, Object, Schema, SimpleObject};
use async_graphql_poem::GraphQL;
use chrono::{DateTime, Utc};
use poem::listener::TcpListener;
use poem::{Route, Server, post};

#[derive(SimpleObject)]
struct User {
    id: ID,
    username: String,
    email: Option<String>,
    last_sign_in_at: Option<DateTime<Utc>>,
}

#[derive(SimpleObject)]
struct Users {
    nodes: Vec<User>,
}

#[derive(SimpleObject)]
struct Note {
    id: ID,
    text: String,
}

fn user(number: usize) -> User {
    User {
        id: number.into(),
        username: format!("user{number}"),
        email: Some(format!("user{number}@example.org")),
        last_sign_in_at: Some(DateTime::UNIX_EPOCH),
    }
}

struct Query;

#[Object]
impl Query {
    async fn me(&self) -> User {
        user(4242)
    }

    async fn users(&self, first: usize) -> Users {
        Users {
            nodes: (1..=first).map(user).collect(),
        }
    }

    async fn notes(&self) -> Vec<Note> {
        (1..=3)
            .map(|number| Note {
                id: number.into(),
                text: format!("note {number} of user4242"),
            })
            .collect()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("usage: graphql_constant ADDRESS")?;
    let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
    let app = Route::new().at("/graphql", post(GraphQL::new(schema)));
    Server::new(TcpListener::bind(address)).run(app).await?;
    Ok(())
}
