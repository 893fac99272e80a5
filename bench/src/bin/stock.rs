//! Symbolon's schema behind the stock endpoint and server: what `symbolon serve` is measured against.
//! No limits before parsing, no request id, no log, no counters, no timeouts.

use async_graphql::{EmptySubscription, MergedObject};
use async_graphql_poem::GraphQL;
use poem::listener::TcpListener;
use poem::{Route, Server, post};
use symbolon::Symbolon;

// Under the names that they have in the product, so that the answers are the same to the byte.
#[derive(Default, MergedObject)]
struct Query(symbolon::Query);

#[derive(Default, MergedObject)]
struct Mutation(symbolon::Mutation);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: stock ADDRESS")?;
    let symbolon = Symbolon::open(symbolon_bench::config()).await?;
    let schema = symbolon
        .schema(Query::default(), Mutation::default(), EmptySubscription)
        .finish();
    let app = Route::new().at("/graphql", post(GraphQL::new((*schema).clone())));
    Server::new(TcpListener::bind(address)).run(app).await?;
    Ok(())
}
