//! The environment variables of libpq, which apply to the parts that a PostgreSQL URL lacks.
//!
//! sqlx ignores invalid values of these variables, and does not know all of them. A misspelt `PGSSLMODE` would make the
//! connection insecure. Therefore, the variables become parameters, with the same checks as the parameters of the URL.

use std::ffi::OsString;

use crate::store::url_error::{ParameterSource, UrlError};

/// Each variable that is read, and its parameter.
const READ: &[(&str, &str)] = &[
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGAPPNAME", "application_name"),
    ("PGOPTIONS", "options"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGGSSENCMODE", "gssencmode"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
];

/// The variables that demand a protection that Symbolon does not support. The URL cannot contain their parameters.
const REFUSED: &[&str] = &[
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGREQUIRESSL",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLMINPROTOCOLVERSION",
];

/// The parameters for which sqlx does not take an empty variable for an unset one.
const NOT_EMPTY: &[&str] = &["host", "hostaddr", "dbname", "user", "sslcert", "sslkey"];

/// A variable that applies, its parameter and its value.
pub(super) struct Variable {
    pub(super) source: ParameterSource,
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// Returns the variables that apply. `is_in_url` returns whether the URL contains a parameter, and `read` returns the
/// value of a variable.
///
/// # Errors
///
/// Returns an error that names the variable if a variable that applies is not supported, empty or not valid UTF-8.
pub(super) fn variables(
    is_in_url: impl Fn(&str) -> bool,
    read: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<Variable>, UrlError> {
    let refuse =
        |variable, reason| Err(UrlError::Value(ParameterSource::Variable(variable), reason));
    if let Some(variable) = REFUSED
        .iter()
        .find(|variable| read(variable).is_some_and(|value| !value.is_empty()))
    {
        return refuse(
            variable,
            "is set, but is not supported; remove the variable",
        );
    }
    let mut applied = Vec::new();
    for (variable, name) in READ {
        let Some(value) = read(variable).filter(|_| !is_in_url(name)) else {
            continue;
        };
        let Ok(value) = value.into_string() else {
            return refuse(variable, "is not valid UTF-8");
        };
        if !value.is_empty() {
            applied.push(Variable {
                source: ParameterSource::Variable(variable),
                name,
                value,
            });
        } else if NOT_EMPTY.contains(name) {
            return refuse(variable, "is empty; set or remove the variable");
        }
    }
    // As in libpq, the address replaces the host.
    if applied.iter().any(|variable| variable.name == "hostaddr") {
        applied.retain(|variable| variable.name != "host");
    }
    Ok(applied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres_url::parse_postgres;

    /// Returns the mode of TLS, or the message.
    fn ssl_mode(url: &str, variables: &[(&str, &str)]) -> String {
        let read = |name: &str| {
            let variable = variables.iter().find(|(variable, _)| *variable == name);
            variable.map(|(_, value)| OsString::from(value))
        };
        match parse_postgres(url, read) {
            Ok(options) => format!("{:?}", options.get_ssl_mode()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_document_lists_every_variable() {
        let document = include_str!("../../docs/database-urls.md");
        let read = READ.iter().map(|(variable, _)| variable);
        for variable in read.chain(REFUSED) {
            assert!(document.contains(&format!("`{variable}`")), "{variable}");
        }
    }

    #[test]
    fn variables_are_checked_like_parameters() {
        let (root, url_root) = (("PGSSLROOTCERT", "/ca.crt"), "h/db?sslrootcert=/ca.crt");
        for (url, variables, expected) in [
            ("h/db", &[("PGSSLMODE", "require")][..], "Require"),
            ("h/db", &[("PGSSLMODE", "require"), root], "VerifyCa"),
            (url_root, &[("PGSSLMODE", "require")], "VerifyCa"),
            ("h/db?sslmode=require", &[root], "VerifyCa"),
            ("h/db", &[root], "Prefer"),
            ("h/db", &[("PGSSLROOTCERT", "system")], "VerifyFull"),
            ("h/db", &[("PGCHANNELBINDING", "require")], "Require"),
            ("h/db", &[("PGCHANNELBINDING", "require"), root], "VerifyCa"),
            ("h/db?sslmode=disable", &[("PGSSLMODE", "typo")], "Disable"),
            ("h:1/db", &[("PGPORT", "typo"), ("PGSSLMODE", "")], "Prefer"),
            (
                "/db",
                &[("PGHOST", "/run"), ("PGSSLMODE", "require")],
                "Disable",
            ),
            (
                "h/db",
                &[("PGHOST", "/run"), ("PGSSLMODE", "require")],
                "Require",
            ),
        ] {
            assert_eq!(ssl_mode(url, variables), expected, "{url} {variables:?}");
        }
    }

    #[test]
    fn the_message_about_a_variable_names_the_variable_and_contains_no_value() {
        let bad = [
            ("PGHOST", "a,secret"),
            ("PGHOST", "a@secret"),
            ("PGHOSTADDR", "secret"),
            ("PGPORT", "secret"),
            ("PGPORT", "0"),
            ("PGSSLMODE", "secret"),
            ("PGSSLMODE", "REQUIRE "),
            ("PGCHANNELBINDING", "secret"),
            ("PGTARGETSESSIONATTRS", "secret"),
            ("PGGSSENCMODE", "secret"),
            ("PGGSSENCMODE", "require"),
        ];
        let refused = REFUSED.iter().map(|variable| (*variable, "secret"));
        let empty = READ.iter().filter(|(_, name)| NOT_EMPTY.contains(name));
        let empty = empty.map(|(variable, _)| (*variable, ""));
        for variable in bad.into_iter().chain(refused).chain(empty) {
            let message = ssl_mode("/", &[variable]);
            let start = format!("the variable {} ", variable.0);
            assert!(message.starts_with(&start), "{variable:?}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
        let conflicts = [
            ("h/db?sslmode=require", ("PGSSLROOTCERT", "system")),
            ("h/db?sslmode=disable", ("PGCHANNELBINDING", "require")),
            ("/db?host=/run", ("PGCHANNELBINDING", "require")),
        ];
        for (url, variable) in conflicts {
            let message = ssl_mode(url, &[variable]);
            assert!(message.starts_with(&format!("the variable {} ", variable.0)));
        }
    }
}
