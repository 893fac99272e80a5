//! An app of your own with Symbolon in it: notes that belong to users.
//!
//! ```sh
//! cargo run --example embed
//! ```
//!
//! It listens on port 8000 unless told otherwise (`-- 127.0.0.1:9000`). `notesCount` is for everybody,
//! `notes` and `addNote` are behind the guard, `clearNotes` is for admins, and `GET /whoami` is a plain
//! poem route that asks who is calling. Everything of Symbolon's is there beside them.

#![allow(clippy::print_stdout, clippy::unused_async)]

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_graphql::{Context, EmptySubscription, MergedObject, Object, Result};
use poem::{get, handler};
use symbolon::{Authenticated, Config, ContextExt, Identity, RequireRole, Role, Symbolon, UserId};
use tokio::net::TcpListener;

/// What this app keeps; yours will have a database.
#[derive(Default)]
struct Notebook(Mutex<HashMap<UserId, Vec<String>>>);

impl Notebook {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<UserId, Vec<String>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Default)]
struct Notes;

#[Object]
impl Notes {
    /// How many notes there are. For everybody.
    async fn notes_count(&self, ctx: &Context<'_>) -> Result<usize> {
        let notebook = ctx.data::<Notebook>()?;
        Ok(notebook.with(|notes| notes.values().map(Vec::len).sum()))
    }

    /// The notes of whoever is asking.
    #[graphql(guard = "Authenticated")]
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
    /// Takes all notes away; answers with how many there were. For admins.
    #[graphql(guard = "RequireRole(Role::Admin)")]
    async fn clear_notes(&self, ctx: &Context<'_>) -> Result<usize> {
        let notebook = ctx.data::<Notebook>()?;
        Ok(notebook.with(|notes| notes.drain().map(|(_, own)| own.len()).sum()))
    }

    /// Adds a note; answers with how many its owner has now.
    #[graphql(guard = "Authenticated")]
    async fn add_note(&self, ctx: &Context<'_>, text: String) -> Result<usize> {
        let user = ctx.current_user().await?;
        let notebook = ctx.data::<Notebook>()?;
        Ok(notebook.with(|notes| {
            let own = notes.entry(user.id).or_default();
            own.push(text);
            own.len()
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

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let symbolon = Symbolon::open(Config::from_env()?).await?;
    let schema = symbolon
        .schema(Query::default(), Mutation::default(), EmptySubscription)
        .data(Notebook::default())
        .finish();
    let app = symbolon.routes(schema).at("/whoami", get(whoami));
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8000")).await?;
    println!("The notes app listens on http://{}", listener.local_addr()?);
    let shutdown = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    symbolon.serve(app, listener, shutdown).await?;
    Ok(())
}
