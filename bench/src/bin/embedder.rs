//! Symbolon in an application with its own guarded type, whose data is in memory.

use async_graphql::{Context, EmptySubscription, ID, MergedObject, Object, Result, SimpleObject};
use symbolon::{Authenticated, ContextExt, Symbolon};
use tokio::net::TcpListener;

#[derive(SimpleObject)]
struct Note {
    id: ID,
    text: String,
}

#[derive(Default)]
struct Notes;

#[Object]
impl Notes {
    #[graphql(guard = "Authenticated")]
    async fn notes(&self, context: &Context<'_>) -> Result<Vec<Note>> {
        let user = context.current_user().await?;
        let note = |number: usize| Note {
            id: number.into(),
            text: format!("note {number} of {}", user.username),
        };
        Ok((1..=3).map(note).collect())
    }
}

#[derive(Default, MergedObject)]
struct Query(symbolon::Query, Notes);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: embedder ADDRESS")?;
    let symbolon = Symbolon::open(symbolon_bench::config()).await?;
    let schema = symbolon
        .schema(Query::default(), symbolon::Mutation, EmptySubscription)
        .finish();
    let app = symbolon.routes(schema);
    let listener = TcpListener::bind(address).await?;
    symbolon
        .serve(app, listener, std::future::pending())
        .await?;
    Ok(())
}
