//! A row of a source of users.

use symbolon::ImportedUser;

/// A user in the source, or the reason why the row cannot be imported.
pub(super) struct Row {
    /// The line in a CSV file, the `rowid` in a database, or the number of the user in a JSON file.
    pub(super) position: i64,
    pub(super) user: Result<ImportedUser, String>,
}
