//! Symbolon's schema behind the endpoint of async-graphql-poem and the server of poem, as the baseline for
//! `symbolon serve`. There are no limits before parsing, no request id, no log, no counters and no timeouts.

use async_graphql::{EmptySubscription, MergedObject};
use async_graphql_poem::GraphQL;
use poem::listener::TcpListener;
use poem::{Route, Server, post};
use symbolon::Symbolon;

// The type names of the product, so that the responses are identical.
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
