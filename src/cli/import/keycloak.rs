//! JSON exports of Keycloak.

use chrono::DateTime;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use symbolon::{ImportedPassword, ImportedUser};

use super::row::Row;

#[derive(Deserialize)]
struct Realm {
    users: Vec<Entry>,
}

/// An element of the list of users.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    User(User),
    Malformed(Value),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    /// The users of a realm, if the file is a list of realms.
    users: Option<IgnoredAny>,
    username: Option<String>,
    email: Option<String>,
    enabled: Option<bool>,
    created_timestamp: Option<i64>,
    credentials: Option<Vec<Credential>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credential {
    r#type: Option<String>,
    secret_data: Option<String>,
    #[serde(rename = "credentialData")]
    data: Option<String>,
    /// A password in plain text, in files that are written by hand.
    value: Option<String>,
}

#[derive(Deserialize)]
struct SecretData {
    value: String,
    #[serde(default)]
    salt: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CredentialData {
    hash_iterations: u32,
    algorithm: String,
    #[serde(default)]
    additional_parameters: Parameters,
}

/// The parameters of Argon2. Each is a list with one element.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters {
    r#type: Vec<String>,
    version: Vec<String>,
    memory: Vec<String>,
    parallelism: Vec<String>,
}

/// Returns the users in a realm or in a list of users.
pub(super) fn users(text: &str) -> Result<Vec<Row>, String> {
    let users = if text.trim_start().starts_with('[') {
        serde_json::from_str(text)
    } else {
        serde_json::from_str(text).map(|realm: Realm| realm.users)
    };
    let users: Vec<Entry> = users.map_err(|error| {
        format!("the file is not an export of Keycloak that contains users: {error}")
    })?;
    let rows = users.into_iter().zip(1..).map(|(user, position)| Row {
        position,
        user: match user {
            Entry::User(user) => imported(user),
            Entry::Malformed(value) => Err(format!(
                "The user {} has a field whose type differs from an export of Keycloak.",
                value.get("username").unwrap_or(&Value::Null)
            )),
        },
    });
    Ok(rows.collect())
}

fn imported(user: User) -> Result<ImportedUser, String> {
    if user.users.is_some() {
        return Err(
            "The file is a list of realms. Import the users of each realm as a file of its own."
                .to_owned(),
        );
    }
    let username = user.username.unwrap_or_default();
    let created_at = user.created_timestamp.map(|timestamp| {
        DateTime::from_timestamp_millis(timestamp).ok_or_else(|| {
            let name = username.escape_debug();
            format!("The creation time of the user {name} is out of range.")
        })
    });
    let mut credentials = user.credentials.into_iter().flatten();
    let password = credentials.find(|credential| credential.r#type.as_deref() == Some("password"));
    let password = password.map_or(Ok(ImportedPassword::Unset), password_of)?;
    let mut imported = ImportedUser::new(username.trim().to_owned(), password);
    imported.email = user.email.filter(|email| !email.is_empty());
    imported.is_disabled = user.enabled == Some(false);
    imported.created_at = created_at.transpose()?;
    Ok(imported)
}

fn password_of(credential: Credential) -> Result<ImportedPassword, String> {
    let malformed = |_| "The credential is malformed.".to_owned();
    match credential {
        Credential {
            secret_data: Some(secret),
            data: Some(data),
            ..
        } => {
            let secret: SecretData = serde_json::from_str(&secret).map_err(malformed)?;
            let data: CredentialData = serde_json::from_str(&data).map_err(malformed)?;
            hash(&secret, &data).map(ImportedPassword::Hash)
        }
        Credential {
            value: Some(value), ..
        } => Ok(ImportedPassword::from_password_or_hash(value)),
        _ => Err("The credential of the type password contains no password.".to_owned()),
    }
}

/// Converts a hash to the format of passlib or to a PHC string.
fn hash(secret: &SecretData, data: &CredentialData) -> Result<String, String> {
    let unpadded = |text: &str| text.trim_end_matches('=').to_owned();
    let (salt, output) = (unpadded(&secret.salt), unpadded(&secret.value));
    let iterations = data.hash_iterations;
    match data.algorithm.as_str() {
        algorithm @ ("pbkdf2" | "pbkdf2-sha256" | "pbkdf2-sha512") => {
            Ok(format!("${algorithm}${iterations}${salt}${output}"))
        }
        "argon2" => {
            let parameters = &data.additional_parameters;
            let [kind, version, memory, lanes] = [
                &parameters.r#type,
                &parameters.version,
                &parameters.memory,
                &parameters.parallelism,
            ]
            .map(|values| values.first().map_or("", String::as_str));
            let version = if version == "1.0" { 16 } else { 19 };
            Ok(format!(
                "$argon2{kind}$v={version}$m={memory},t={iterations},p={lanes}${salt}${output}"
            ))
        }
        other => Err(format!(
            "The hash algorithm {} of Keycloak is not supported. Import the user without a password, and create a \
             reset link.",
            other.escape_debug()
        )),
    }
}
