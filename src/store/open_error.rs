//! Errors of opening the database.

use std::io;
use std::path::PathBuf;

use sea_orm::{DbErr, SqlxError};

use crate::store::database_url::Location;

/// The advice about a database that is missing.
const ADVICE: &str = "Name the database with --database-url or DATABASE_URL, or run the command in the \
                      working directory of the server. `symbolon migrate` creates a database and its \
                      tables";

/// The reason why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{0} does not exist, so no database can be made in it")]
    NoFolder(PathBuf),
    #[error("the database file {0} cannot be made: {1}")]
    Create(PathBuf, io::Error),
    #[error("the database file {0} cannot be read: {1}")]
    Read(PathBuf, io::Error),
    #[error(
        "the database file {0} has more than one name (hard links), under which SQLite would keep separate \
         journals and lose changes; keep one name, or make the others symbolic links"
    )]
    HardLinked(PathBuf),
    #[error("the database {0} cannot be opened: {1}")]
    Connect(Location, DbErr),
    #[error("the database {0} cannot be opened: {1}")]
    Server(Location, SqlxError),
    #[error(
        "the database {0} was written by a newer version of Symbolon (it has the migration {1}, \
         which this version does not know); upgrade Symbolon"
    )]
    Newer(Location, String),
    #[error(
        "the tables of Symbolon are in the schema {1} of {0}, but its search_path begins with the schema \
         {2}, in which others would be created; set the search_path of the role or of the URL so that it \
         begins with {1}"
    )]
    OtherSchema(Location, String, String),
    #[error("the search_path of {0} names no schema that exists")]
    NoSchema(Location),
    #[error("the tables in {0} cannot be brought up to date: {1}")]
    Migrate(Location, DbErr),
    #[error("the database {0} does not exist. {advice}", advice = ADVICE)]
    Missing(String),
    #[error(
        "this user may not open the database {0}, or create files in its folder; run the command as the \
         user of the server"
    )]
    Denied(String),
    #[error("{0} is not a database of Symbolon: {1}. {advice}", advice = ADVICE)]
    Foreign(String, &'static str),
    #[error(
        "the tables in {0} are older than this version of Symbolon. Bring them up to date with \
         `symbolon migrate`, or start the server of this version"
    )]
    Older(String),
}
