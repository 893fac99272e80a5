//! The environment variables of the program. Only this module reads settings from the environment.

use std::env;

/// The server key. The key has no option, because other users of the machine can read command lines.
pub(crate) const SECRET_KEY: &str = "SYMBOLON_SECRET_KEY";
/// The log filter.
pub(crate) const LOG: &str = "SYMBOLON_LOG";
/// The log format.
pub(crate) const LOG_FORMAT: &str = "SYMBOLON_LOG_FORMAT";
/// The URL of the target of `symbolon copy`. The URL has no option, because it can contain a password.
pub(super) const COPY_TO: &str = "SYMBOLON_COPY_TO";

/// The variables without an option.
pub(super) const WITHOUT_OPTION: [&str; 4] = [SECRET_KEY, LOG, LOG_FORMAT, COPY_TO];

/// The prefix of the variables that belong to Symbolon.
const PREFIX: &str = "SYMBOLON_";

/// The maximum number of edits between an unknown name and the name that is suggested for it.
const MAX_EDITS: usize = 3;

/// Returns the value of a variable without surrounding white space. An empty value counts as unset, because tools such
/// as Docker Compose and systemd set a variable to an empty value instead of unsetting it. A Kubernetes service link
/// also counts as unset.
///
/// # Errors
///
/// Returns a message if the value is not valid UTF-8.
pub(crate) fn variable(name: &str) -> Result<Option<String>, String> {
    let Some(value) = env::var_os(name) else {
        return Ok(None);
    };
    let value = value
        .to_str()
        .ok_or_else(|| format!("{name} requires valid UTF-8"))?;
    let value = value.trim();
    let is_unset = value.is_empty() || is_service_link(name, value);
    Ok((!is_unset).then(|| value.to_owned()))
}

/// The variables that begin with the prefix of Symbolon and are not used.
#[derive(Debug, Default)]
pub(super) struct UnusedVariables {
    /// The variables that Kubernetes sets for services whose name begins with `symbolon`.
    pub(super) service_links: Vec<String>,
    /// Each unknown variable, with the most similar known variable.
    pub(super) unknown: Vec<(String, Option<&'static str>)>,
}

impl UnusedVariables {
    /// Compares the environment with the known variables.
    pub(super) fn find(known: &[&'static str]) -> Self {
        let mut unused = Self::default();
        let mut variables: Vec<_> = env::vars_os()
            .map(|(name, value)| (lossy(&name), lossy(&value)))
            .filter(|(name, value)| name.starts_with(PREFIX) && !value.trim().is_empty())
            .collect();
        variables.sort();
        for (name, value) in variables {
            if is_service_link(&name, value.trim()) {
                unused.service_links.push(name);
            } else if !known.contains(&&*name) {
                let similar = most_similar(&name, known);
                unused.unknown.push((name, similar));
            }
        }
        unused
    }

    /// Logs one line for each unknown variable, and one line for all service links.
    pub(super) fn log(&self) {
        for (name, similar) in &self.unknown {
            tracing::warn!("{}", describe(name, *similar));
        }
        if !self.service_links.is_empty() {
            tracing::info!(
                "ignoring service links of Kubernetes: {}; `enableServiceLinks: false` in the specification of \
                 the pod removes them",
                self.service_links.join(", ")
            );
        }
    }
}

/// Returns the message about an unknown variable.
pub(super) fn describe(name: &str, similar: Option<&str>) -> String {
    let name = name.escape_default();
    match similar {
        Some(similar) => format!("ignoring the unknown variable {name}; did you mean {similar}?"),
        None => format!("ignoring the unknown variable {name}"),
    }
}

fn lossy(text: &std::ffi::OsStr) -> String {
    text.to_string_lossy().into_owned()
}

/// Returns whether Kubernetes sets a variable for a service with the name `symbolon` or a name such as
/// `symbolon-metrics` ([service links](https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables)).
fn is_service_link(name: &str, value: &str) -> bool {
    let schemes = ["tcp://", "udp://", "sctp://"];
    let is_url = schemes.iter().any(|scheme| value.starts_with(scheme));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // For example, SYMBOLON_PORT_8000_TCP_ADDR.
    let is_port_variable = name.match_indices("_PORT_").any(|(at, separator)| {
        let rest = &name[at + separator.len()..];
        let mut words = rest.split('_');
        let is_port = words.next().is_some_and(is_number);
        is_port && matches!(words.next(), Some("TCP" | "UDP" | "SCTP"))
    });
    name.starts_with(PREFIX)
        && (name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || is_port_variable
            || (name.ends_with("_PORT") && is_url))
}

/// Returns the known variable whose name differs least from `name`, if the difference is small.
fn most_similar(name: &str, known: &[&'static str]) -> Option<&'static str> {
    // The common prefix would make short names look similar.
    let end = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let own_end = end(name).to_ascii_uppercase();
    let edits = |known: &str| strsim::damerau_levenshtein(&own_end, &end(known));
    let closest = known.iter().copied().min_by_key(|known| edits(known))?;
    let max = MAX_EDITS.min(end(closest).len() / 3);
    (edits(closest) <= max).then_some(closest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_links_are_recognized() {
        for (name, value) in [
            ("SYMBOLON_PORT", "tcp://10.96.0.7:8000"),
            ("SYMBOLON_SERVICE_HOST", "10.96.0.7"),
            ("SYMBOLON_SERVICE_PORT", "8000"),
            ("SYMBOLON_SERVICE_PORT_HTTP", "8000"),
            ("SYMBOLON_PORT_8000_TCP", "tcp://10.96.0.7:8000"),
            ("SYMBOLON_PORT_8000_TCP_ADDR", "10.96.0.7"),
            ("SYMBOLON_PORT_8000_TCP_PORT", "8000"),
            ("SYMBOLON_PORT_53_UDP_PROTO", "udp"),
            ("SYMBOLON_METRICS_PORT", "tcp://10.96.0.8:9090"),
            ("SYMBOLON_METRICS_PORT_9090_TCP_PROTO", "tcp"),
        ] {
            assert!(is_service_link(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("SYMBOLON_PORT", "8000"),
            ("SYMBOLON_METRICS_PORT", "9090"),
            ("SYMBOLON_METRICS_PORT", "ftp://10.96.0.8:9090"),
            ("SYMBOLON_PORT_TCP", "1"),
            ("SYMBOLON_PUBLIC_URL", "tcp://10.96.0.8:9090"),
            ("DATABASE_PORT", "tcp://10.96.0.8:5432"),
        ] {
            assert!(!is_service_link(name, value), "{name}={value}");
        }
    }

    #[test]
    fn only_similar_names_are_suggested() {
        let known = [
            "DATABASE_URL",
            "SYMBOLON_PORT",
            "SYMBOLON_LOG",
            "SYMBOLON_TOKEN_LIFETIME",
        ];
        for (name, similar) in [
            ("SYMBOLON_TOKEN_LIFTIME", Some("SYMBOLON_TOKEN_LIFETIME")),
            ("SYMBOLON_TOKEN_LIFETIMES", Some("SYMBOLON_TOKEN_LIFETIME")),
            ("SYMBOLON_token_lifetime", Some("SYMBOLON_TOKEN_LIFETIME")),
            ("SYMBOLON_DATABASE_URL", Some("DATABASE_URL")),
            ("SYMBOLON_PROT", Some("SYMBOLON_PORT")),
            ("SYMBOLON_LOGS", Some("SYMBOLON_LOG")),
            ("SYMBOLON_VERSION", None),
            ("SYMBOLON_X", None),
            ("SYMBOLON_", None),
        ] {
            assert_eq!(most_similar(name, &known), similar, "{name}");
        }
    }
}
