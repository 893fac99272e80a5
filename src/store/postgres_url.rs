//! The parser of PostgreSQL URLs. It accepts the URLs that libpq accepts, and the parameters that hosting services add.
//!
//! docs/database-urls.md describes all parameters. An unknown parameter is refused, because a misspelt `sslmode` would
//! make the connection insecure.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use sea_orm::sqlx::postgres::PgConnectOptions;
use url::form_urlencoded::Serializer;

use crate::store::database_url::{ParameterName, UrlError};

/// The parameters that are passed to sqlx, after the checks in [`Parameters::set`].
const APPLIED: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// The parameters whose effect Symbolon has by itself for each connection, and which are checked.
const CHECKED: &[&str] = &["channel_binding", "target_session_attrs"];

/// The parameters that change neither the security nor the meaning of a connection.
const IGNORED: &[&str] = &[
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "pgbouncer",
    "sslcompression",
    "sslnegotiation",
    "sslsni",
    "supa",
    "tcp_user_timeout",
];

/// The modes of TLS, from the weakest to the strongest.
const SSL_MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

/// Parses the part of a URL after the scheme.
pub(super) fn parse_postgres(url: &str) -> Result<PgConnectOptions, UrlError> {
    let end = url.find(['/', '?', '#']).unwrap_or(url.len());
    let (authority, rest) = url.split_at(end);
    // A part of an unencoded password could be taken for a host, a database or a parameter, and appear in messages.
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if rest.contains(['@', '#']) || path.contains("%40") {
        return Err(UrlError::Unencoded);
    }
    let (user, server) = match authority.rsplit_once('@') {
        Some((user, server)) => (Some(user), server),
        None => (None, authority),
    };
    let mut parameters = Parameters::default();
    if let Some((user, password)) = user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
        parameters.set_unless_empty("user", decode(user)?)?;
        parameters.set_unless_empty("password", decode(password)?)?;
    }
    let (host, port) = split_port(server);
    parameters.set_unless_empty("host", decode(host)?)?;
    parameters.set_unless_empty("port", decode(port)?)?;
    parameters.set_unless_empty("dbname", decode(path.trim_start_matches('/'))?)?;
    // If the password contains an unencoded ?, the @ after the password is encoded or missing.
    let mut may_be_password =
        user.is_none() && (query.contains("%40") || (path.is_empty() && !port.is_empty()));
    for parameter in query.split('&').filter(|text| !text.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let all = [APPLIED, CHECKED, IGNORED];
        let Some(&known) = all.iter().copied().flatten().find(|known| **known == name) else {
            let is_named = parameter.contains('=') && !may_be_password;
            let name = is_named.then(|| name.escape_default().to_string());
            return Err(UrlError::Parameter(ParameterName(name)));
        };
        parameters.set(known, decode(value)?)?;
        // The text after an unencoded & in a password would be taken for a parameter.
        may_be_password |= name == "password";
    }
    parameters.into_options()
}

/// Splits a server into the host and the port. The host of an IPv6 address is without brackets.
fn split_port(server: &str) -> (&str, &str) {
    if let Some((host, port)) = server
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return (host, port.strip_prefix(':').unwrap_or(port));
    }
    server.rsplit_once(':').unwrap_or((server, ""))
}

fn decode(text: &str) -> Result<String, UrlError> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.ok().filter(|decoded| !decoded.contains('\0'));
    let decoded = decoded.ok_or(UrlError::Encoding)?;
    Ok(decoded.into_owned())
}

/// The parameters of a connection, in the order in which they take effect.
#[derive(Default)]
struct Parameters {
    applied: Vec<(&'static str, String)>,
    needs_tls: bool,
}

impl Parameters {
    fn set_unless_empty(&mut self, name: &'static str, value: String) -> Result<(), UrlError> {
        if value.is_empty() {
            return Ok(());
        }
        self.set(name, value)
    }

    fn set(&mut self, name: &'static str, value: String) -> Result<(), UrlError> {
        let refuse = |reason| Err(UrlError::Value(name, reason));
        match name {
            "host" | "hostaddr" | "port" if value.contains(',') => {
                return Err(UrlError::SeveralHosts);
            }
            // Such a host is a part of a password.
            "host"
                if value.contains(['@', ':', '?', '#', '&', ' '])
                    && !value.starts_with('/')
                    && value.parse::<IpAddr>().is_err() =>
            {
                return Err(UrlError::Unencoded);
            }
            "port" if !value.parse().is_ok_and(|port: u16| port > 0) => return Err(UrlError::Port),
            "hostaddr" if value.parse::<IpAddr>().is_err() => {
                return refuse("is not an IP address");
            }
            "sslmode" if !SSL_MODES.contains(&&*value) => {
                return refuse("is not disable, allow, prefer, require, verify-ca or verify-full");
            }
            "statement-cache-capacity" if value.parse::<usize>().is_err() => {
                return refuse("is not a whole number");
            }
            "channel_binding" => match &*value {
                "require" => self.needs_tls = true,
                "prefer" | "disable" => {}
                _ => return refuse("is not require, prefer or disable"),
            },
            "target_session_attrs" => match &*value {
                // Symbolon uses no connection to a server that is a standby or read-only.
                "any" | "read-write" | "primary" | "prefer-standby" => {}
                "read-only" | "standby" => {
                    return refuse("requires a server that Symbolon cannot write to");
                }
                _ => return refuse("is not any, read-write or primary"),
            },
            _ => {}
        }
        if APPLIED.contains(&name) {
            self.applied.push((name, value));
        }
        Ok(())
    }

    fn last(&self, name: &str) -> Option<&str> {
        let mut values = self.applied.iter().rev();
        let value = values.find(|(applied, _)| *applied == name)?;
        Some(&value.1)
    }

    /// Returns the mode of TLS that libpq would use.
    fn ssl_mode(&self) -> Result<Option<&'static str>, UrlError> {
        // libpq ignores `sslmode` for Unix sockets.
        if self.last("host").is_some_and(|host| host.starts_with('/')) {
            return Ok(Some("disable"));
        }
        let given = self.last("sslmode");
        let mode = SSL_MODES.into_iter().find(|mode| Some(*mode) == given);
        match (mode, self.last("sslrootcert")) {
            (None | Some("verify-full"), Some("system")) => Ok(Some("verify-full")),
            (_, Some("system")) => Err(UrlError::Value(
                "sslrootcert",
                "is `system`, which requires sslmode=verify-full",
            )),
            (Some("require"), Some(_)) => Ok(Some("verify-ca")),
            (None | Some("allow" | "prefer"), _) if self.needs_tls => Ok(Some("require")),
            (Some("disable"), _) if self.needs_tls => Err(UrlError::Value(
                "channel_binding",
                "is `require`, which requires TLS, but sslmode is `disable`",
            )),
            (mode, _) => Ok(mode),
        }
    }

    fn into_options(self) -> Result<PgConnectOptions, UrlError> {
        let ssl_mode = self.ssl_mode()?;
        let mut query = Serializer::new(String::new());
        for (name, value) in &self.applied {
            // The roots of the system are those that sqlx contains.
            let is_system = *name == "sslrootcert" && value == "system";
            if *name != "sslmode" && !is_system {
                query.append_pair(name, value);
            }
        }
        if let Some(mode) = ssl_mode {
            query.append_pair("sslmode", mode);
        }
        let url = format!("postgres://?{}", query.finish());
        let options: PgConnectOptions = url.parse().map_err(UrlError::Malformed)?;
        Ok(match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("symbolon"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database_url::Location;

    fn refusal(url: &str) -> String {
        Location::parse(url).unwrap_err().to_string()
    }

    #[test]
    fn the_document_lists_every_parameter() {
        let document = include_str!("../../docs/database-urls.md");
        for name in [APPLIED, CHECKED, IGNORED].concat() {
            assert!(document.contains(&format!("`{name}`")), "{name}");
        }
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
