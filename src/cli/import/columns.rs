//! The columns of a CSV file, or of the table of a Flask application.

use csv::{ReaderBuilder, StringRecord};
use symbolon::{ImportedPassword, ImportedUser};

use super::values;

/// The names of the columns. The first name is used in messages.
const USERNAME: &[&str] = &["username", "user_name"];
const EMAIL: &[&str] = &["email"];
const PASSWORD: &[&str] = &["password"];
const HASH: &[&str] = &["password_hash", "hashed_password"];
const DISABLED: &[&str] = &["disabled", "active", "is_active", "enabled"];
const ROLE: &[&str] = &["role"];
const CREATED_AT: &[&str] = &["created_at", "created", "date_joined"];

/// Values by which other programs represent a missing value.
const NULL: &[&str] = &[
    "NULL", "Null", "null", "\\N", "None", "nil", "(null)", "<null>",
];

/// The indexes of the columns.
pub(super) struct Columns {
    delimiter: u8,
    count: usize,
    username: Column,
    email: Option<Column>,
    password: Option<Column>,
    hash: Option<Column>,
    disabled: Option<Column>,
    role: Option<Column>,
    created_at: Option<Column>,
    /// The names of the columns that are not imported.
    ignored: Vec<String>,
}

struct Column {
    index: usize,
    name: String,
}

impl Columns {
    pub(super) fn find(header: &str, delimiter: u8) -> Result<Self, String> {
        Self::with_names(fields(header, delimiter)?.iter(), delimiter)
    }

    /// Finds the columns by their names. The delimiter separates the fields of records.
    pub(super) fn with_names<'a>(
        names: impl Iterator<Item = &'a str>,
        delimiter: u8,
    ) -> Result<Self, String> {
        let names = names.map(|name| name.trim().to_lowercase());
        let names: Vec<_> = names.collect();
        let find = |accepted: &[&str]| {
            let mut found = names
                .iter()
                .enumerate()
                .filter(|(_, name)| accepted.contains(&name.as_str()));
            match (found.next(), found.next()) {
                (Some((_, first)), Some((_, second))) => Err(format!(
                    "the columns {first} and {second} contradict each other: delete one of them"
                )),
                (first, _) => Ok(first.map(|(index, name)| Column {
                    index,
                    name: name.clone(),
                })),
            }
        };
        let (password, hash) = (find(PASSWORD)?, find(HASH)?);
        let username = find(USERNAME)?.filter(|_| password.is_some() || hash.is_some());
        let username = username.ok_or(
            "the first line must contain the column names username, and password or password_hash",
        )?;
        let known = [USERNAME, EMAIL, PASSWORD, HASH, DISABLED, ROLE, CREATED_AT].concat();
        let is_ignored = |name: &&String| !name.is_empty() && !known.contains(&name.as_str());
        Ok(Self {
            delimiter,
            count: names.len(),
            username,
            email: find(EMAIL)?,
            password,
            hash,
            disabled: find(DISABLED)?,
            role: find(ROLE)?,
            created_at: find(CREATED_AT)?,
            ignored: names.iter().filter(is_ignored).cloned().collect(),
        })
    }

    /// Returns a sentence with the names of the columns that are not imported, if there are any.
    pub(super) fn ignored_note(&self) -> Option<String> {
        let names = self.ignored.iter();
        let names: Vec<_> = names.map(|name| name.escape_debug().to_string()).collect();
        (!names.is_empty()).then(|| format!("ignored columns: {}", names.join(", ")))
    }

    /// Returns whether a column for hashes exists.
    pub(super) fn has_hashes(&self) -> bool {
        self.hash.is_some()
    }

    /// Returns the user in a record, or `None` if all fields are empty.
    pub(super) fn user(&self, record: &str) -> Option<Result<ImportedUser, String>> {
        match fields(record, self.delimiter) {
            Ok(fields) if fields.iter().all(|field| field.trim().is_empty()) => None,
            Ok(fields) => Some(self.user_in(&fields)),
            Err(error) => Some(Err(error)),
        }
    }

    /// Returns the user in the fields of a record.
    pub(super) fn user_in<'a>(&'a self, fields: &'a StringRecord) -> Result<ImportedUser, String> {
        if fields.len() > self.count {
            let (found, count) = (fields.len(), self.count);
            return Err(format!(
                "The row has {found} fields, but the header has {count}. Put a field that contains the delimiter in \
                 quotation marks."
            ));
        }
        let text = |column: &'a Column| {
            let text = fields.get(column.index).unwrap_or_default();
            if NULL.contains(&text.trim()) {
                return Err(format!(
                    "The column {} contains {}. Export missing values as empty fields.",
                    column.name,
                    text.trim()
                ));
            }
            Ok(text)
        };
        let required = |column: &'a Column| {
            let missing = || format!("The row ends before the column {}.", column.name);
            fields.get(column.index).ok_or_else(missing)?;
            text(column)
        };
        let optional = |column: Option<&'a Column>| match column {
            Some(column) => Ok::<_, String>((text(column)?.trim(), column.name.as_str())),
            None => Ok(("", "")),
        };
        let named = |name: &str| {
            let name = name.to_owned();
            move |reason: String| format!("The column {name} {reason}.")
        };
        let hash = self.hash.as_ref().map(required).transpose()?;
        let password = self.password.as_ref().map(required).transpose()?;
        let password = match (hash.map(str::trim), password) {
            (None | Some(""), Some(password)) => {
                ImportedPassword::from_password_or_hash(password.to_owned())
            }
            (hash, _) => ImportedPassword::from_hash(hash.unwrap_or_default().to_owned()),
        };
        let mut user = ImportedUser::new(required(&self.username)?.trim().to_owned(), password);
        let email = optional(self.email.as_ref())?.0;
        user.email = Some(email.to_owned()).filter(|email| !email.is_empty());
        let (value, name) = optional(self.disabled.as_ref())?;
        let value = values::boolean(value).map_err(named(name))?;
        user.is_disabled = value.is_some_and(|value| value == (name == "disabled"));
        let (value, name) = optional(self.role.as_ref())?;
        user.role = values::role(value).map_err(named(name))?;
        let (value, name) = optional(self.created_at.as_ref())?;
        user.created_at = values::time(value).map_err(named(name))?;
        Ok(user)
    }
}

/// Splits one record into its fields.
fn fields(record: &str, delimiter: u8) -> Result<StringRecord, String> {
    let mut fields = StringRecord::new();
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .buffer_capacity(record.len().max(1))
        .from_reader(record.as_bytes());
    let read = reader.read_record(&mut fields);
    read.map_err(|error| error.to_string())?;
    Ok(fields)
}
