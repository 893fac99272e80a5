//! An axum application that embeds Symbolon, with notes for each user.
//!
//! ```sh
//! cargo run --example axum
//! ```
//!
//! The first argument sets the address to listen on (`-- 127.0.0.1:9000`). The default is `127.0.0.1:8000`.
//!
//! - `POST /sign-in` returns a session token for HTTP Basic credentials.
//! - `GET /whoami` is a plain route that requires a token.
//! - `POST /graphql` executes queries and mutations, and `GET /graphql` opens a WebSocket. `addNote` and the subscription
//!   `noteAdded` require a token.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::env;
use std::net::SocketAddr;

use async_graphql_axum::{GraphQLProtocol, GraphQLResponse, GraphQLWebSocket};
use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequestParts, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use symbolon::async_graphql::http::ALL_WEBSOCKET_PROTOCOLS;
use symbolon::async_graphql::{
    self, Context, Data, Executor as _, MergedObject, Object, Subscription,
};
use symbolon::{
    Authenticated, Client, Config, ContextExt, Error, Executor, Requester, Symbolon, TokenOptions,
    UserId,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::{self, error::RecvError};

/// The greatest length of a request body and of a message of a WebSocket, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

type Notes = broadcast::Sender<(UserId, String)>;

#[derive(Default)]
struct NotesMutation;

#[Object]
impl NotesMutation {
    /// Sends a note to the subscriptions of the user.
    #[graphql(guard = "Authenticated")]
    async fn add_note(&self, ctx: &Context<'_>, text: String) -> async_graphql::Result<bool> {
        let id = ctx.current_user().await?.id;
        // Sending fails only if there is no subscription.
        Ok(ctx.data::<Notes>()?.send((id, text)).is_ok())
    }
}

struct NotesSubscription;

#[Subscription]
impl NotesSubscription {
    /// Emits each new note of the user.
    #[graphql(guard = "Authenticated")]
    async fn note_added(
        &self,
        ctx: &Context<'_>,
    ) -> async_graphql::Result<impl Stream<Item = String> + use<>> {
        let id = ctx.current_user().await?.id;
        let added = ctx.data::<Notes>()?.subscribe();
        Ok(stream::unfold(added, move |mut added| async move {
            loop {
                match added.recv().await {
                    Ok((owner, text)) if owner == id => return Some((text, added)),
                    // The note belongs to another user, or the channel has overflowed.
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        }))
    }
}

#[derive(MergedObject, Default)]
struct Query(symbolon::Query);

#[derive(MergedObject, Default)]
struct Mutation(symbolon::Mutation, NotesMutation);

/// The state of the application.
#[derive(Clone)]
struct App {
    symbolon: Symbolon,
    executor: Executor<Query, Mutation, NotesSubscription>,
}

/// The extractor of the client with its credentials, which are not verified yet.
struct Caller(Requester);

impl FromRequestParts<App> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
        let authorization = values
            .next()
            .map(|value| value.to_str().unwrap_or("invalid"));
        if values.next().is_some() {
            let message = "The request has several Authorization headers.";
            return Err(Refusal(Error::BadRequest(message.to_owned())));
        }
        Ok(Self(app.symbolon.requester(authorization, client(parts))))
    }
}

/// Returns the client of a request. Behind a reverse proxy, use the address that the proxy reports.
fn client(parts: &Parts) -> Client {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let client = Client::new(peer.map(|ConnectInfo(peer)| peer.ip()));
    let user_agent = parts.headers.get(header::USER_AGENT);
    match user_agent.and_then(|value| value.to_str().ok()) {
        Some(user_agent) => client.with_user_agent(user_agent),
        None => client,
    }
}

/// The response to a request that fails. It has the same form as the responses of Symbolon.
struct Refusal(Error);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(error) = self;
        if let Error::Internal(cause) = &error {
            eprintln!("internal error: {cause}");
        }
        let status = StatusCode::from_u16(error.status());
        let mut headers = HeaderMap::new();
        if let Some(challenge) = error.challenge() {
            let challenge = HeaderValue::from_static(challenge);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = error.retry_after() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, headers, Json(error.body())).into_response()
    }
}

async fn sign_in(Caller(requester): Caller) -> Result<impl IntoResponse, Refusal> {
    let session = requester.sign_in(&TokenOptions::new()).await?;
    let body = json!({
        "token": session.token(),
        "expiresAt": session.expires_at.to_rfc3339(),
    });
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)))
}

async fn whoami(Caller(requester): Caller) -> Result<String, Refusal> {
    let identity = requester.identity().await?;
    Ok(format!("You are {}.\n", identity.user().username))
}

/// Executes a query or a mutation. The extractor `Json` requires the media type `application/json`, which pages of other
/// origins cannot send without the permission of the server.
async fn graphql(
    State(app): State<App>,
    Caller(requester): Caller,
    Json(request): Json<async_graphql::Request>,
) -> GraphQLResponse {
    app.executor.execute(request.data(requester)).await.into()
}

/// Opens a WebSocket. Clients send the token in the payload of `connection_init`.
async fn subscriptions(
    State(app): State<App>,
    protocol: GraphQLProtocol,
    parts: Parts,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let upgrade = upgrade
        .protocols(ALL_WEBSOCKET_PROTOCOLS)
        .max_message_size(BODY_LIMIT);
    upgrade.on_upgrade(move |socket| {
        let executor = app.executor.clone();
        GraphQLWebSocket::new(socket, executor, protocol)
            .on_connection_init(move |payload: Value| async move {
                let authorization = payload["authorization"].as_str();
                let requester = app.symbolon.requester(authorization, client(&parts));
                let mut session = Data::default();
                session.insert(requester);
                Ok(session)
            })
            .serve()
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    if let Ok(url) = env::var("DATABASE_URL") {
        config.database_url = url.into();
    }
    config.secret_key_file = env::var_os("SYMBOLON_SECRET_KEY_FILE").map(Into::into);
    let symbolon = Symbolon::open(config).await?;
    let schema = symbolon
        .schema(Query::default(), Mutation::default(), NotesSubscription)
        .data(Notes::new(64))
        .finish();
    let app = App {
        executor: symbolon.executor(schema),
        symbolon: symbolon.clone(),
    };
    let router = Router::new()
        .route("/sign-in", post(sign_in))
        .route("/whoami", get(whoami))
        .route("/graphql", post(graphql).get(subscriptions))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(app)
        .into_make_service_with_connect_info::<SocketAddr>();
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8000")).await?;
    println!("The axum app listens on http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown)
        .await?;
    symbolon.close().await?;
    Ok(())
}
