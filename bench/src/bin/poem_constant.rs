//! An upper limit: poem reads the body and answers a constant.

use poem::listener::TcpListener;
use poem::{Body, Response, Route, Server, handler, post};

#[handler]
async fn constant(body: Body) -> poem::Result<Response> {
    body.into_bytes().await?;
    Ok(Response::builder()
        .content_type("application/json")
        .body(r#"{"data":{"me":{"id":"4242","username":"user4242"}}}"#))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("usage: poem_constant ADDRESS")?;
    let app = Route::new().at("/graphql", post(constant));
    Server::new(TcpListener::bind(address)).run(app).await?;
    Ok(())
}
