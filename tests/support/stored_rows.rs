//! The files and the rows of an SQLite database.

use std::fs;
use std::path::{Path, PathBuf};

use entity::{access_token, one_time_token, session, user};
use sea_orm::{
    ColumnTrait, ConnectionTrait, Database, DatabaseConnection, EntityTrait, QueryFilter,
    QueryOrder,
};
use sha2::{Digest, Sha256};

/// The rows of a user.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredUser {
    pub user: Option<user::Model>,
    /// The access tokens, without the times of their last use.
    pub access_tokens: Vec<access_token::Model>,
    /// The device sessions and the details of the shared session, without the times of their last use.
    pub sessions: Vec<session::Model>,
    pub one_time_tokens: Vec<one_time_token::Model>,
}

impl StoredUser {
    /// Reads the committed rows of each user, in the order of `names`.
    pub async fn of_each(file: &Path, names: &[&str]) -> Vec<Self> {
        let database = connect(file).await;
        let mut states = Vec::new();
        for name in names {
            let by_name = user::Column::UsernameCanonical.eq(*name);
            let user = user::Entity::find().filter(by_name).one(&database).await;
            let user = user.unwrap();
            let of_user = access_token::Column::UserId.eq(user.as_ref().map_or(0, |user| user.id));
            let tokens = access_token::Entity::find()
                .filter(of_user)
                .order_by_asc(access_token::Column::Id);
            let mut access_tokens = tokens.all(&database).await.unwrap();
            for token in &mut access_tokens {
                token.last_used_at = None;
            }
            let id = user.as_ref().map_or(0, |user| user.id);
            let of_user = session::Column::UserId.eq(id);
            let sessions = session::Entity::find()
                .filter(of_user)
                .order_by_asc(session::Column::Id);
            let mut sessions = sessions.all(&database).await.unwrap();
            for session in &mut sessions {
                session.last_used_at = None;
            }
            let of_user = one_time_token::Column::UserId.eq(id);
            let one_time_tokens = one_time_token::Entity::find()
                .filter(of_user)
                .order_by_asc(one_time_token::Column::Id);
            states.push(Self {
                user,
                access_tokens,
                sessions,
                one_time_tokens: one_time_tokens.all(&database).await.unwrap(),
            });
        }
        database.close().await.unwrap();
        states
    }

    pub async fn of(file: &Path, name: &str) -> Self {
        Self::of_each(file, &[name]).await.remove(0)
    }

    /// Returns whether the user has a live session and is not disabled.
    pub fn has_session(&self) -> bool {
        let user = self.user.as_ref();
        user.is_some_and(|user| user.token_nonce.is_some() && user.disabled_at.is_none())
    }

    /// Returns whether this is the live session token of the user.
    pub fn has_live_session(&self, session: &str) -> bool {
        let digest = Sha256::digest(session).to_vec();
        let user = self.user.as_ref();
        let own = user.and_then(|user| user.token_digest.as_ref());
        self.has_session() && own == Some(&digest)
    }
}

/// Returns the files of an SQLite database, except the key.
pub fn database_files(file: &Path) -> Vec<PathBuf> {
    let name = file.file_name().unwrap().to_str().unwrap();
    let beside = fs::read_dir(file.parent().unwrap()).unwrap();
    let beside = beside.map(|entry| entry.unwrap().path());
    let belongs = |path: &PathBuf| {
        let other = path.file_name().unwrap().to_str().unwrap();
        other.starts_with(name) && path.extension().is_none_or(|extension| extension != "key")
    };
    let mut files: Vec<_> = beside.filter(belongs).collect();
    files.sort();
    files
}

/// Copies the journal of an SQLite database into the database file and truncates it, so that the next
/// write must extend the journal.
pub async fn empty_the_journal(file: &Path) {
    let database = connect(file).await;
    super::eventually("the journal is empty", async || {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        database.execute_unprepared(checkpoint).await.unwrap();
        let mut journal = file.as_os_str().to_owned();
        journal.push("-wal");
        (fs::metadata(journal).unwrap().len() == 0).then_some(())
    })
    .await;
    database.close().await.unwrap();
}

async fn connect(file: &Path) -> DatabaseConnection {
    let url = format!("sqlite://{}", file.display());
    Database::connect(url).await.unwrap()
}
