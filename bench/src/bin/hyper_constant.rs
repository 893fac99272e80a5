//! The upper limit: hyper reads the body and answers a constant, with the headers that poem sends.

use std::convert::Infallible;
use std::error::Error;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

async fn constant(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    request.into_body().collect().await?;
    let body = r#"{"data":{"me":{"id":"4242","username":"user4242"}}}"#;
    let mut response = Response::new(Full::from(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

#[tokio::main]
async fn main() -> Result<Infallible, Box<dyn Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("usage: hyper_constant ADDRESS")?;
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A client that disconnects ends only its own connection.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(constant))
                .await;
        });
    }
}
