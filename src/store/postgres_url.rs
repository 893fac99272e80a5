//! The parser of PostgreSQL URLs. It accepts the URLs that libpq accepts, and the parameters that hosting services add.
//!
//! docs/database-urls.md describes all parameters. An unknown parameter is refused, because a misspelt `sslmode` would
//! make the connection insecure.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use sea_orm::sqlx::postgres::PgConnectOptions;
use url::form_urlencoded::Serializer;

use crate::store::url_error::{ParameterName, UrlError};

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

    #[test]
    fn the_document_lists_every_parameter() {
        let document = include_str!("../../docs/database-urls.md");
        for name in [APPLIED, CHECKED, IGNORED].concat() {
            assert!(document.contains(&format!("`{name}`")), "{name}");
        }
    }
}
