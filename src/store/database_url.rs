//! The location of a database, and the parser of database URLs.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use sea_orm::sqlx::ConnectOptions;
use sea_orm::sqlx::postgres::PgConnectOptions;

use crate::store::postgres_url::parse_postgres;
use crate::store::url_error::UrlError;

/// The location of a database.
#[derive(Clone)]
pub(crate) enum Location {
    /// An SQLite file.
    File(PathBuf),
    /// A database on a PostgreSQL server, or on another server with the protocol of PostgreSQL.
    Server(Box<PgConnectOptions>),
}

impl Location {
    /// Parses a URL. Does not open or create the database.
    pub(crate) fn parse(url: &str) -> Result<Self, UrlError> {
        for scheme in ["postgres://", "postgresql://"] {
            if let Some(rest) = url.strip_prefix(scheme) {
                let options =
                    parse_postgres(rest, |name| env::var_os(name))?.disable_statement_logging();
                return Ok(Self::Server(Box::new(options)));
            }
        }
        let rest = url.strip_prefix("sqlite:").ok_or(UrlError::Unknown)?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        // Parameters are refused, because they could disable durability.
        if path.contains(['?', '#']) {
            return Err(UrlError::SqliteParameters);
        }
        // In-memory databases are refused, because each connection would open a separate database.
        if path.is_empty() || path.starts_with(":memory:") {
            return Err(UrlError::Unknown);
        }
        Ok(Self::File(PathBuf::from(path)))
    }

    /// Returns the path of the SQLite file, or `None` for PostgreSQL.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server(_) => None,
        }
    }

    /// Formats the location for messages: the absolute path of the file, or the URL without the password and the
    /// parameters.
    pub(crate) fn full_name(&self) -> String {
        let file = self.file().and_then(|file| std::path::absolute(file).ok());
        file.map_or_else(|| self.to_string(), |file| file.display().to_string())
    }
}

/// Formats the path of the file, or the URL without the password and the parameters.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(options) => {
                let user = options.get_username();
                write!(f, "postgres://{user}@")?;
                match (options.get_socket(), options.get_host()) {
                    (Some(socket), _) => socket.display().fmt(f),
                    (None, address) if address.contains(':') => write!(f, "[{address}]"),
                    (None, host) => f.write_str(host),
                }?;
                write!(f, ":{}/", options.get_port())?;
                // The default database has the name of the user.
                f.write_str(options.get_database().unwrap_or(user))
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        Location::parse(url).unwrap_err().to_string()
    }

    #[test]
    fn the_urls_of_hosting_services_are_accepted() {
        for (url, name, ssl_mode) in [
            (
                "postgresql://app:npg_s@ep-cool-1-pooler.eu-central-1.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
                "postgres://app@ep-cool-1-pooler.eu-central-1.aws.neon.tech:5432/neondb",
                "Require",
            ),
            (
                "postgres://app:s@ep-cool-1.neon.tech/neondb?options=endpoint%3Dep-cool-1&connect_timeout=10&sslrootcert=system",
                "postgres://app@ep-cool-1.neon.tech:5432/neondb",
                "VerifyFull",
            ),
            (
                "postgres://postgres.abcd:s@aws-0-eu-west-1.pooler.supabase.com:6543/postgres?pgbouncer=true&supa=base-pooler.x",
                "postgres://postgres.abcd@aws-0-eu-west-1.pooler.supabase.com:6543/postgres",
                "Prefer",
            ),
            (
                "postgres://app:s@db.c1.eu-central-1.rds.amazonaws.com:5432/app?sslmode=verify-full&sslrootcert=/etc/global-bundle.pem&target_session_attrs=read-write",
                "postgres://app@db.c1.eu-central-1.rds.amazonaws.com:5432/app",
                "VerifyFull",
            ),
            (
                "postgres://app:s@db.rds.amazonaws.com/app?sslmode=require&sslrootcert=/etc/global-bundle.pem",
                "postgres://app@db.rds.amazonaws.com:5432/app",
                "VerifyCa",
            ),
            (
                "postgresql://app:s@/app?host=/cloudsql/project:region:instance",
                "postgres://app@/cloudsql/project:region:instance:5432/app",
                "Disable",
            ),
            (
                "postgresql:///app?host=/cloudsql/project:region:instance&user=app&password=s&sslmode=require",
                "postgres://app@/cloudsql/project:region:instance:5432/app",
                "Disable",
            ),
            (
                "postgres://app:s@%2Fcloudsql%2Fproject%3Aregion%3Ainstance/app",
                "postgres://app@/cloudsql/project:region:instance:5432/app",
                "Disable",
            ),
            (
                "postgres://app%40server:s@[2001:db8::7]:6000/app?application_name=x",
                "postgres://app@server@[2001:db8::7]:6000/app",
                "Prefer",
            ),
            (
                "postgres://app@h/app?channel_binding=require",
                "postgres://app@h:5432/app",
                "Require",
            ),
        ] {
            let location = Location::parse(url).unwrap();
            assert_eq!(location.full_name(), name);
            let Location::Server(options) = location else {
                panic!("{url}")
            };
            assert_eq!(format!("{:?}", options.get_ssl_mode()), ssl_mode, "{url}");
        }
        let url = "postgres://h/db?options=endpoint%3Dep-cool-1";
        let Location::Server(options) = Location::parse(url).unwrap() else {
            panic!("{url}")
        };
        assert_eq!(options.get_options(), Some("endpoint=ep-cool-1"));
    }

    #[test]
    fn a_bad_parameter_is_named() {
        for (url, expected) in [
            ("postgres://h/db?ssl_mode=require", "ssl_mode"),
            (
                "postgres://h/db?sslmode=perhaps",
                "sslmode of the database URL is not",
            ),
            (
                "postgres://h/db?sslmode=require&sslrootcert=system",
                "sslrootcert",
            ),
            (
                "postgres://h/db?sslmode=disable&channel_binding=require",
                "channel_binding",
            ),
            (
                "postgres://h/db?channel_binding=perhaps",
                "channel_binding of the database URL is not",
            ),
            (
                "postgres://h/db?target_session_attrs=standby",
                "target_session_attrs",
            ),
            ("postgres://a:1,b:2/db", "several servers"),
            ("postgres://h/db?host=a,b", "several servers"),
            ("postgres://h:0/db", "port"),
            ("postgres://h:port/db", "port"),
            ("postgres://h/db?port=70000", "port"),
            (
                "postgres://h/db?hostaddr=h",
                "hostaddr of the database URL is not",
            ),
            (
                "postgres://h/db?statement-cache-capacity=x",
                "statement-cache-capacity",
            ),
            ("postgres://h/%ff", "%25"),
            ("postgres://h/%00", "%25"),
            ("sqlite://a.db?mode=rwc", "without parameters"),
        ] {
            let message = refusal(url);
            assert!(message.contains(expected), "{url}: {message}");
        }
    }

    /// Each message is checked for a part of the password that is at least three characters long.
    #[test]
    fn no_message_contains_a_part_of_the_password() {
        let parts = ["first", "second", "third"];
        let mut accepted = 0;
        for [a, b] in [
            "?", "@", "#", "%", "/", "&", "=", ":", " ", "+", ";", "\\", "%4", "%00", ",", "[",
            "\n",
        ]
        .iter()
        .flat_map(|a| ["", "?", "@", "#", "%", "/", "&", "=", "%40"].map(|b| [*a, b]))
        {
            for number in ["first", "123"] {
                let password = format!("{number}{a}second{b}third");
                // With an @ or a / in the password, a URL without a server is the URL of another server.
                let is_ambiguous = password.contains(['@', '/']);
                for url in [
                    format!("postgres://app:{password}@h/app"),
                    format!("postgres://app:{password}@h:5432/app?sslmode=require"),
                    format!("postgres://app:{password}%40h/app"),
                    format!("postgres://app:{password}"),
                    format!("postgres://{password}@h/app"),
                    format!("postgres://h/app?user=app&password={password}"),
                    format!("postgres://h/app?password={password}&sslmode=require"),
                    format!("postgres://h/app?password={password}&sslmod=require"),
                    format!("host=h user=app password={password}"),
                    format!("mysql://app:{password}@h/app"),
                ] {
                    let is_user = url.starts_with(&format!("postgres://{password}"));
                    if is_ambiguous && url == format!("postgres://app:{password}") {
                        continue;
                    }
                    match Location::parse(&url) {
                        Err(error) => {
                            let messages = format!("{error} {error:?}");
                            let leaks = parts.iter().any(|part| messages.contains(part));
                            assert!(!leaks, "{url}: {messages}");
                        }
                        Ok(location) => {
                            accepted += 1;
                            let text = format!("{location} {location:?} {}", location.full_name());
                            let leaks = parts.iter().any(|part| text.contains(part));
                            assert!(!leaks || is_user, "{url}: {text}");
                        }
                    }
                }
            }
        }
        assert!(accepted > 100, "{accepted}");
    }
}
