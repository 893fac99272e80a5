//! Reads or creates the server key.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::model::server_key::ServerKey;
use crate::store::folder_of;

/// The reason why the server key cannot be read or created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error(
        "{0} does not contain a server key: 32 bytes in base64, as printed by `openssl rand -base64 32`"
    )]
    Malformed(String),
    #[error("the key file {0} cannot be read: {1}")]
    Read(PathBuf, #[source] io::Error),
    #[error("the key file {0} can be read by other users; run `chmod 600` on it")]
    Exposed(PathBuf),
    #[error("the key file {0} is a symbolic link to a file that does not exist")]
    Dangling(PathBuf),
    #[error("the key file {0} cannot be created: {1}")]
    Create(PathBuf, #[source] io::Error),
    #[error("no random bytes are available for a server key: {0}")]
    Random(#[source] Error),
}

/// The source of the server key.
pub(crate) enum KeySource {
    /// The text of the key, from the configuration.
    Given(String),
    /// A file that the configuration names.
    GivenFile(PathBuf),
    /// A file beside the database. Symbolon creates the file if it does not exist.
    OwnFile(PathBuf),
    /// A random key, for a process that issues no tokens.
    Unused,
}

impl KeySource {
    /// Returns the key, or `None` if the source is [`Self::OwnFile`] and the file does not exist.
    pub(crate) fn find(&self) -> Result<Option<ServerKey>, KeyError> {
        match self {
            Self::Given(text) => {
                let name = || KeyError::Malformed("SYMBOLON_SECRET_KEY".to_owned());
                Ok(Some(ServerKey::parse(text).ok_or_else(name)?))
            }
            Self::GivenFile(path) => read(path).map(Some),
            Self::OwnFile(path) => match exposed(path) {
                Ok(false) => read(path).map(Some),
                Ok(true) => Err(KeyError::Exposed(path.clone())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    match fs::symlink_metadata(path) {
                        Ok(_) => Err(KeyError::Dangling(path.clone())),
                        Err(_) => Ok(None),
                    }
                }
                Err(error) => Err(KeyError::Read(path.clone(), error)),
            },
            Self::Unused => ServerKey::random().map(Some).map_err(KeyError::Random),
        }
    }

    /// Returns a warning if other users can read a file that the configuration names.
    pub(crate) fn warning(&self) -> Option<KeyError> {
        match self {
            Self::GivenFile(path) if exposed(path).is_ok_and(|exposed| exposed) => {
                Some(KeyError::Exposed(path.clone()))
            }
            _ => None,
        }
    }

    /// Creates the key file if the source is [`Self::OwnFile`], and reads the key. If several processes start
    /// at once, one of them creates the file, and all of them read the key from the file.
    pub(crate) fn create(&self) -> Result<ServerKey, KeyError> {
        if let Self::OwnFile(path) = self {
            create(path)?;
        }
        let missing = || KeyError::Malformed("the new key file".to_owned());
        self.find()?.ok_or_else(missing)
    }
}

fn read(path: &Path) -> Result<ServerKey, KeyError> {
    let text = fs::read_to_string(path).map_err(|error| KeyError::Read(path.to_owned(), error))?;
    ServerKey::parse(&text).ok_or_else(|| KeyError::Malformed(path.display().to_string()))
}

fn exposed(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.mode() & 0o077 != 0)
}

/// Creates a key file atomically, and syncs the file to disk. An existing file is not replaced.
fn create(path: &Path) -> Result<(), KeyError> {
    let key = ServerKey::random().map_err(KeyError::Random)?;
    let folder = folder_of(path);
    let written = || {
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(folder)?;
        writeln!(file, "{}", key.reveal())?;
        file.as_file().sync_all()?;
        match fs::hard_link(file.path(), path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        file.close()?;
        File::open(folder)?.sync_all()
    };
    written().map_err(|error: io::Error| KeyError::Create(path.to_owned(), error))
}
