//! An application that embeds Symbolon and stores notes for each user.
//!
//! ```sh
//! cargo run --example embed
//! ```
//!
//! The first argument sets the address to listen on (`-- 127.0.0.1:9000`). The default is `127.0.0.1:8000`. The field
//! `notesCount` is public. `notes`, `addNote` and the subscription `noteAdded` require a token. `clearNotes` requires the
//! role admin. `GET /whoami` is a plain poem route that reads the identity of the request. The application also serves
//! all endpoints of Symbolon.

#![allow(clippy::print_stdout, clippy::unused_async)]

use std::collections::HashMap;
use std::env;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use async_graphql::{Context, MergedObject, Object, Result, Subscription};
use futures_util::{Stream, stream};
use poem::{get, handler};
use symbolon::{
    Authenticated, Config, ContextExt, Identity, RequireRole, RequireScope, Role, Symbolon, UserId,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::{self, error::RecvError};

/// The notes of all users, in memory. A real application uses a database.
struct Notebook {
    notes: Mutex<HashMap<UserId, Vec<String>>>,
    added: broadcast::Sender<(UserId, String)>,
}

impl Notebook {
    fn new() -> Self {
        Self {
            notes: Mutex::default(),
            added: broadcast::Sender::new(64),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<UserId, Vec<String>>) -> T) -> T {
        work(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Default)]
struct Notes;

#[Object]
impl Notes {
    /// The number of notes of all users.
    async fn notes_count(&self, ctx: &Context<'_>) -> Result<usize> {
        let notebook = ctx.data::<Notebook>()?;
        Ok(notebook.with(|notes| notes.values().map(Vec::len).sum()))
    }

    /// The notes of the user. An access token requires the scope `notes:read`.
    #[graphql(guard = "RequireScope(\"notes:read\")")]
    async fn notes(&self, ctx: &Context<'_>) -> Result<Vec<String>> {
        let user = ctx.current_user().await?;
        let notebook = ctx.data::<Notebook>()?;
        Ok(notebook.with(|notes| notes.get(&user.id).cloned().unwrap_or_default()))
    }
}

#[derive(Default)]
struct NotesMutation;

#[Object]
impl NotesMutation {
    /// Deletes the notes of all users and returns the number of deleted notes. Requires the role admin.
    #[graphql(guard = "RequireRole(Role::Admin)")]
    async fn clear_notes(&self, ctx: &Context<'_>) -> Result<usize> {
        let notebook = ctx.data::<Notebook>()?;
        Ok(notebook.with(|notes| notes.drain().map(|(_, own)| own.len()).sum()))
    }

    /// Adds a note for the user and returns the new number of notes of the user.
    #[graphql(guard = "Authenticated")]
    async fn add_note(&self, ctx: &Context<'_>, text: String) -> Result<usize> {
        let user = ctx.current_user().await?;
        let notebook = ctx.data::<Notebook>()?;
        let own = notebook.with(|notes| {
            let own = notes.entry(user.id).or_default();
            own.push(text.clone());
            own.len()
        });
        // Sending fails only if there is no subscription.
        let _ = notebook.added.send((user.id, text));
        Ok(own)
    }
}

struct NotesSubscription;

#[Subscription]
impl NotesSubscription {
    /// Emits each new note of the user.
    #[graphql(guard = "Authenticated")]
    async fn note_added(&self, ctx: &Context<'_>) -> Result<impl Stream<Item = String> + use<>> {
        let id = ctx.current_user().await?.id;
        let added = ctx.data::<Notebook>()?.added.subscribe();
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
struct Query(symbolon::Query, Notes);

#[derive(MergedObject, Default)]
struct Mutation(symbolon::Mutation, NotesMutation);

#[handler]
fn whoami(identity: Option<Identity>) -> String {
    match identity {
        Some(identity) => format!("You are {}.\n", identity.user().username),
        None => "I do not know you.\n".to_owned(),
    }
}

/// Returns the configuration. Settings that this application reads from the environment replace defaults.
fn config() -> Config {
    let mut config = Config::default();
    if let Ok(url) = env::var("DATABASE_URL") {
        config.database_url = url.into();
    }
    config.secret_key_file = env::var_os("SYMBOLON_SECRET_KEY_FILE").map(Into::into);
    config.throttle.enabled = env::var("SYMBOLON_THROTTLE").as_deref() != Ok("off");
    set_number(&mut config.argon2_memory, "SYMBOLON_ARGON2_MEMORY");
    set_number(&mut config.argon2_iterations, "SYMBOLON_ARGON2_ITERATIONS");
    set_number(&mut config.http.body_limit, "SYMBOLON_BODY_LIMIT");
    set_number(&mut config.http.max_connections, "SYMBOLON_MAX_CONNECTIONS");
    let acquire_timeout = &mut config.postgres.acquire_timeout;
    set_number(acquire_timeout, "SYMBOLON_POSTGRES_ACQUIRE_TIMEOUT");
    config
}

/// Sets `number` to the value of the environment variable if the value is a number.
fn set_number<T: FromStr>(number: &mut T, variable: &str) {
    if let Some(value) = env::var(variable).ok().and_then(|text| text.parse().ok()) {
        *number = value;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let symbolon = Symbolon::open(config()).await?;
    let schema = symbolon
        .schema(Query::default(), Mutation::default(), NotesSubscription)
        .data(Notebook::new())
        .finish();
    let app = symbolon.routes(schema).at("/whoami", get(whoami));
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8000")).await?;
    println!("The notes app listens on http://{}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    symbolon.serve(app, listener, shutdown).await?;
    Ok(())
}
