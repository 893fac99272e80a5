//! One of several instances on a PostgreSQL database.

use std::process::Command;

use tempfile::TempDir;

use super::{Server, common_key, unthrottled};

/// An instance on a database, in a folder of its own.
pub struct Instance {
    pub server: Server,
    _folder: TempDir,
}

impl std::ops::Deref for Instance {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Instance {
    pub fn start(url: &str) -> Self {
        Self::configured(url, |_| {})
    }

    /// Starts an instance with the default acquire timeout.
    pub fn with_default_acquire_timeout(url: &str) -> Self {
        Self::configured(url, |command| {
            command.env_remove("SYMBOLON_POSTGRES_ACQUIRE_TIMEOUT");
        })
    }

    pub fn configured(url: &str, configure: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::configured(folder.path(), |command| {
            unthrottled(command);
            command
                .env("DATABASE_URL", url)
                .env("SYMBOLON_SECRET_KEY_FILE", common_key());
            configure(command);
        });
        Self {
            server,
            _folder: folder,
        }
    }
}
