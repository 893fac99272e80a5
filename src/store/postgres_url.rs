//! The parser of PostgreSQL URLs. It accepts the URLs that libpq accepts, and the parameters that hosting services add.
//!
//! docs/database-urls.md describes all parameters. An unknown parameter is refused, because a misspelt `sslmode` would
//! make the connection insecure.

use std::ffi::OsString;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use sea_orm::sqlx::postgres::PgConnectOptions;
use url::form_urlencoded::Serializer;

use crate::store::postgres_variables::{Variable, variables};
use crate::store::url_error::{ParameterName, ParameterSource, UrlError};

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
const CHECKED: &[&str] = &["channel_binding", "gssencmode", "target_session_attrs"];

/// The parameters that change neither the security nor the meaning of a connection.
const IGNORED: &[&str] = &[
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
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

/// Parses the part of a URL after the scheme. Variables of libpq apply to the parts that the URL lacks. `read` returns
/// the value of a variable.
pub(super) fn parse_postgres(
    url: &str,
    read: impl Fn(&str) -> Option<OsString>,
) -> Result<PgConnectOptions, UrlError> {
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
        parameters.set(ParameterSource::Url(known), known, decode(value)?)?;
        // The text after an unencoded & in a password would be taken for a parameter.
        may_be_password |= name == "password";
    }
    let from_url = parameters.names.clone();
    // The host and its address are the same part.
    let is_in_url = |name: &str| match name {
        "host" | "hostaddr" => from_url.contains(&"host") || from_url.contains(&"hostaddr"),
        name => from_url.contains(&name),
    };
    for Variable {
        source,
        name,
        value,
    } in variables(is_in_url, read)?
    {
        parameters.set(source, name, value)?;
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

/// A parameter that is passed to sqlx.
struct Applied {
    source: ParameterSource,
    name: &'static str,
    value: String,
}

/// The parameters of a connection, in the order in which they take effect.
#[derive(Default)]
struct Parameters {
    applied: Vec<Applied>,
    /// The names of all parameters.
    names: Vec<&'static str>,
    /// The parameter that requires TLS.
    needs_tls: Option<ParameterSource>,
}

impl Parameters {
    fn set_unless_empty(&mut self, name: &'static str, value: String) -> Result<(), UrlError> {
        if value.is_empty() {
            return Ok(());
        }
        self.set(ParameterSource::Url(name), name, value)
    }

    fn set(
        &mut self,
        source: ParameterSource,
        name: &'static str,
        value: String,
    ) -> Result<(), UrlError> {
        let refuse = |reason| Err(UrlError::Value(source, reason));
        match name {
            "host" | "hostaddr" | "port" if value.contains(',') => {
                return refuse("names several servers; Symbolon connects to one server");
            }
            "host"
                if value.contains(['@', ':', '?', '#', '&', ' '])
                    && !value.starts_with('/')
                    && value.parse::<IpAddr>().is_err() =>
            {
                return match source {
                    // Such a host is a part of a password.
                    ParameterSource::Url(_) => Err(UrlError::Unencoded),
                    ParameterSource::Variable(_) => refuse("is not a host name"),
                };
            }
            "port" if !value.parse().is_ok_and(|port: u16| port > 0) => {
                return refuse("is not a number from 1 to 65535");
            }
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
                "require" => self.needs_tls = Some(source),
                "prefer" | "disable" => {}
                _ => return refuse("is not require, prefer or disable"),
            },
            "gssencmode" => match &*value {
                "prefer" | "disable" => {}
                "require" => return refuse("requires GSSAPI encryption, which is not supported"),
                _ => return refuse("is not prefer or disable"),
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
        self.names.push(name);
        if APPLIED.contains(&name) {
            self.applied.push(Applied {
                source,
                name,
                value,
            });
        }
        Ok(())
    }

    fn last(&self, name: &str) -> Option<&Applied> {
        self.applied
            .iter()
            .rev()
            .find(|applied| applied.name == name)
    }

    /// Returns the mode of TLS that libpq would use.
    fn ssl_mode(&self) -> Result<Option<&'static str>, UrlError> {
        // libpq ignores `sslmode` for Unix sockets.
        if self
            .last("host")
            .is_some_and(|host| host.value.starts_with('/'))
        {
            return match self.needs_tls {
                Some(source) => Err(UrlError::Value(
                    source,
                    "is `require`, which requires TLS, but a Unix socket has no TLS",
                )),
                None => Ok(Some("disable")),
            };
        }
        let given = self.last("sslmode").map(|mode| mode.value.as_str());
        let mode = SSL_MODES.into_iter().find(|mode| Some(*mode) == given);
        let roots = self.last("sslrootcert");
        match (mode, roots, self.needs_tls) {
            (None | Some("verify-full"), Some(roots), _) if roots.is_system() => {
                Ok(Some("verify-full"))
            }
            (_, Some(roots), _) if roots.is_system() => Err(UrlError::Value(
                roots.source,
                "is `system`, which requires sslmode=verify-full",
            )),
            // A root certificate has the same effect if another parameter requires TLS.
            (Some("require"), Some(_), _) | (None | Some("allow" | "prefer"), Some(_), Some(_)) => {
                Ok(Some("verify-ca"))
            }
            (None | Some("allow" | "prefer"), None, Some(_)) => Ok(Some("require")),
            (Some("disable"), _, Some(source)) => Err(UrlError::Value(
                source,
                "is `require`, which requires TLS, but sslmode is `disable`",
            )),
            (mode, ..) => Ok(mode),
        }
    }

    fn into_options(self) -> Result<PgConnectOptions, UrlError> {
        let ssl_mode = self.ssl_mode()?;
        let roots = self.last("sslrootcert");
        // The roots of the system are those that sqlx contains.
        let has_other_roots = roots.is_some_and(|roots| !roots.is_system());
        let mut query = Serializer::new(String::new());
        for applied in &self.applied {
            if applied.name != "sslmode" && !applied.is_system() && !applied.is_read_by_sqlx() {
                query.append_pair(applied.name, &applied.value);
            }
        }
        // sqlx must not read the variable PGSSLMODE.
        query.append_pair("sslmode", ssl_mode.unwrap_or("prefer"));
        let url = format!("postgres://?{}", query.finish());
        let mut options: PgConnectOptions = url.parse().map_err(UrlError::Malformed)?;
        if !has_other_roots {
            // Otherwise, sqlx would take an empty variable PGSSLROOTCERT, or the value `system`, for a file.
            options = options.ssl_root_cert_from_pem(Vec::new());
        }
        Ok(match options.get_application_name() {
            Some(name) if !name.is_empty() => options,
            _ => options.application_name("symbolon"),
        })
    }
}

impl Applied {
    fn is_system(&self) -> bool {
        self.name == "sslrootcert" && self.value == "system"
    }

    /// Returns whether sqlx reads the same variable by itself. sqlx would append `options` a second time, and accepts
    /// certificates themselves in place of paths only in variables.
    fn is_read_by_sqlx(&self) -> bool {
        let is_variable = matches!(self.source, ParameterSource::Variable(_));
        is_variable && matches!(self.name, "options" | "sslcert" | "sslkey" | "sslrootcert")
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
