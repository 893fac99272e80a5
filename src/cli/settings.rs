//! The settings of the server: the option, the environment variable and the help text of each setting.

mod from_arguments;
mod setting;
mod value;

pub(super) use self::from_arguments::Settings;
use self::setting::Setting;
pub(super) use self::setting::Source;
pub(super) use self::value::Host;
use super::environment::WITHOUT_OPTION;

/// Creates the [`Setting`] of a field from the names of the option and of the environment variable, the
/// placeholder of the value, the summary that `-h` prints, and the details that only `--help` prints.
macro_rules! setting {
    ($($field:ident).+, $flag:literal, $variable:literal, $value:literal, $summary:literal, $details:literal) => {
        Setting::new(
            stringify!($($field).+),
            |values| &mut values.config.$($field).+,
            ($flag, $variable, $value),
            $summary,
            $details,
        )
    };
}

/// Returns all settings, grouped under the headings of the help.
#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "a table")]
fn settings() -> [(&'static str, Vec<Setting>); 8] {
    [
        ("Server", server_settings()),
        ("Database", vec![
            setting!(database_url, "database-url", "DATABASE_URL", "URL",
                "URL of the database",
                "The URL of an SQLite database is sqlite://FILE. The server creates the file if it does not exist. The URL \
                 of a PostgreSQL database is postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full&sslrootcert=FILE."),
            setting!(postgres.readers, "postgres-readers", "SYMBOLON_POSTGRES_READERS", "N",
                "Maximum number of PostgreSQL connections for reading", ""),
            setting!(postgres.writers, "postgres-writers", "SYMBOLON_POSTGRES_WRITERS", "N",
                "Maximum number of PostgreSQL connections for writing",
                "In addition, the server opens two connections to check continuously that PostgreSQL answers and delivers \
                 notifications."),
            setting!(postgres.acquire_timeout, "postgres-acquire-timeout", "SYMBOLON_POSTGRES_ACQUIRE_TIMEOUT", "MS",
                "Maximum time to wait for a PostgreSQL connection, in milliseconds",
                "A database server that does not answer within this time plus 500 ms is considered unreachable."),
            setting!(postgres.statement_timeout, "postgres-statement-timeout", "SYMBOLON_POSTGRES_STATEMENT_TIMEOUT", "MS",
                "Maximum duration of one PostgreSQL statement, in milliseconds", ""),
        ]),
        ("Tokens", vec![
            setting!(secret_key_file, "secret-key-file", "SYMBOLON_SECRET_KEY_FILE", "FILE",
                "File that contains the server key",
                "The key consists of 32 random bytes, encoded in base64. The variable SYMBOLON_SECRET_KEY sets the key \
                 without a file. Only one of the two can be set. If neither is set, a key file is created beside the SQLite \
                 database. With PostgreSQL, one of the two is required, and all instances must use the same key."),
            setting!(token_lifetime, "token-lifetime", "SYMBOLON_TOKEN_LIFETIME", "SECONDS",
                "Lifetime of a new session token, in seconds", ""),
            setting!(reuse, "reuse", "SYMBOLON_REUSE", "ON|OFF",
                "Return the existing session token on sign-in",
                "With `on`, a sign-in returns the session token of the user if this token is valid for more than 60 s. \
                 With `off`, each sign-in replaces the session token of the user."),
            setting!(session_max_age, "session-max-age", "SYMBOLON_SESSION_MAX_AGE", "DAYS",
                "Maximum time from a sign-in to the expiration of a renewed session token, in days",
                "With 0, session tokens cannot be renewed."),
            setting!(identity_cache, "identity-cache", "SYMBOLON_IDENTITY_CACHE", "MIB",
                "Size of the cache of verified tokens and their users, in MiB",
                "A size of 0 disables the cache. Without the cache, each authenticated request reads the database, and a \
                 revocation by another instance takes effect immediately."),
        ]),
        ("Users", vec![
            setting!(registration, "registration", "SYMBOLON_REGISTRATION", "ON|OFF",
                "Allow users to register themselves",
                "With `off`, only admins can register users."),
            setting!(user_list, "user-list", "SYMBOLON_USER_LIST", "admins|members",
                "Users who can list all users",
                "With `admins`, only admins can list users. With `members`, every user can list all users, but users who are \
                 not admins see only the ids and usernames of other users."),
            setting!(public_url, "public-url", "SYMBOLON_PUBLIC_URL", "URL",
                "Public URL of this server, with which one-time links begin",
                "An example is https://login.example.org. Reset links and invitations require this setting, because the \
                 server does not derive links from requests. The URL has no credentials, no query and no fragment."),
            setting!(reset_page, "reset-page", "SYMBOLON_RESET_PAGE", "URL",
                "URL of your own page for reset links",
                "The page reads `token` and `username` from the fragment of the link, and sends the token and the new \
                 password with the mutation `resetPassword`. If the page is on another origin, --cors-origins must list this \
                 origin. The default is the page /reset below the public URL."),
            setting!(reset_link_lifetime, "reset-link-lifetime", "SYMBOLON_RESET_LINK_LIFETIME", "SECONDS",
                "Lifetime of a link to reset a password, in seconds", ""),
            setting!(invitation_lifetime, "invitation-lifetime", "SYMBOLON_INVITATION_LIFETIME", "SECONDS",
                "Lifetime of an invitation, in seconds", ""),
            setting!(audit_days, "audit-days", "SYMBOLON_AUDIT_DAYS", "DAYS",
                "Retention period of audit events, in days",
                "With 0, each event is deleted within ten minutes after it was recorded."),
        ]),
        ("Passwords", vec![
            setting!(password_min, "password-min", "SYMBOLON_PASSWORD_MIN", "CHARACTERS",
                "Minimum length of a new password, in characters",
                "NIST SP 800-63B-4 requires 15 characters if the password is the only factor."),
            setting!(argon2_memory, "argon2-memory", "SYMBOLON_ARGON2_MEMORY", "KIB",
                "Memory for computing one Argon2id hash, in KiB", ""),
            setting!(argon2_iterations, "argon2-iterations", "SYMBOLON_ARGON2_ITERATIONS", "N",
                "Number of Argon2id passes over the memory", ""),
            setting!(argon2_parallelism, "argon2-parallelism", "SYMBOLON_ARGON2_PARALLELISM", "N",
                "Number of Argon2id lanes",
                "--argon2-memory must be at least 8 KiB for each lane."),
            setting!(max_hash_memory, "max-hash-memory", "SYMBOLON_MAX_HASH_MEMORY", "KIB",
                "Maximum memory for verifying one stored hash, in KiB",
                "Imported hashes, and hashes from before a change of --argon2-memory, can require more memory than new \
                 hashes. Users whose hashes exceed the limit cannot sign in. The minimum is --argon2-memory."),
            setting!(hash_threads, "hash-threads", "SYMBOLON_HASH_THREADS", "N",
                "Number of threads that hash passwords",
                "The default is the number of processor cores."),
            setting!(hash_queue, "hash-queue", "SYMBOLON_HASH_QUEUE", "N",
                "Maximum number of requests that wait for a thread that hashes passwords",
                "If the queue is full, a request that requires a hash is refused immediately. Requests from one client \
                 address take at most a quarter of the places in the queue. With 0, no request waits."),
        ]),
        ("Throttling", vec![
            setting!(throttle.enabled, "throttle", "SYMBOLON_THROTTLE", "ON|OFF",
                "Limit the rate of password attempts, registrations and profile changes",
                "With `off`, clients can guess passwords without limit. Use `off` only for load tests."),
            setting!(throttle.account, "throttle-account", "SYMBOLON_THROTTLE_ACCOUNT", "BURST/HOUR",
                "Maximum number of wrong passwords for one username: at once, and per hour",
                "Attempts are counted whether or not the user exists. Attempts from an address where the user signed \
                 in during the last 30 days are counted separately for this address. Setting a new password for the \
                 user resets all counts of the user. Each number can be from 1 to 1,000,000."),
            setting!(throttle.address, "throttle-address", "SYMBOLON_THROTTLE_ADDRESS", "BURST/HOUR",
                "Maximum number of wrong passwords from one address: at once, and per hour",
                "An IPv6 network of size /64 counts as one address. A wrong password is not counted if the user signed in \
                 from this address during the last 30 days. Each number can be from 1 to 1,000,000."),
            setting!(throttle.registrations, "throttle-registration", "SYMBOLON_THROTTLE_REGISTRATION", "BURST/HOUR",
                "Maximum number of registrations and profile changes: at once, and per hour",
                "Registrations, invitations, profile changes and uses of one-time links are counted both per address and per \
                 user. Each number can be from 1 to 1,000,000."),
        ]),
        ("HTTP", vec![
            setting!(http.trusted_proxies, "trusted-proxies", "SYMBOLON_TRUSTED_PROXIES", "NETS",
                "Reverse proxies that send the address of the client in a header",
                "The value is a comma-separated list of IP addresses and networks, such as 10.0.0.0/8. All clients behind a proxy \
                 that is not listed count as one client."),
            setting!(http.client_address_header, "client-address-header", "SYMBOLON_CLIENT_ADDRESS_HEADER", "HEADER",
                "Header with the address of the client, x-forwarded-for or forwarded",
                "The header is read only in requests from trusted proxies. The other header is ignored. `forwarded` is the \
                 header of RFC 7239."),
            setting!(http.cors_origins, "cors-origins", "SYMBOLON_CORS_ORIGINS", "ORIGINS",
                "Other origins whose pages can use the API in a browser (CORS)",
                "The value is a comma-separated list of origins, such as https://app.example.org."),
            setting!(http.cors_headers, "cors-headers", "SYMBOLON_CORS_HEADERS", "NAMES",
                "Additional request headers that these pages can send",
                "The value is a comma-separated list of names, such as x-tenant. Pages of the listed origins can always \
                 send the headers that Symbolon reads, and the headers that Apollo Client and tracing libraries add."),
            setting!(http.cors_credentials, "cors-credentials", "SYMBOLON_CORS_CREDENTIALS", "ON|OFF",
                "Let these pages send cookies and other credentials of the browser",
                "Symbolon uses no cookies. `on` is necessary only if a proxy in front of Symbolon requires cookies."),
            setting!(http.explorer, "explorer", "SYMBOLON_EXPLORER", "ON|OFF",
                "Serve the API explorer at /", ""),
            setting!(http.max_connections, "max-connections", "SYMBOLON_MAX_CONNECTIONS", "N",
                "Maximum number of HTTP connections",
                "The server accepts fewer connections if the limit on open files (ulimit -n) is too low. One address \
                 can use at most a quarter of all connections. The WebSockets of one address can use at most an \
                 eighth of all connections, and the WebSockets of one user at most a sixteenth."),
            setting!(http.body_limit, "body-limit", "SYMBOLON_BODY_LIMIT", "BYTES",
                "Maximum size of a request body, in bytes", ""),
            setting!(http.read_timeout, "read-timeout", "SYMBOLON_READ_TIMEOUT", "SECONDS",
                "Maximum time to receive the head of a request, in seconds",
                "The same maximum applies separately to the body of the request. The server also disconnects a client that \
                 reads no part of its response for this long."),
            setting!(http.request_timeout, "request-timeout", "SYMBOLON_REQUEST_TIMEOUT", "SECONDS",
                "Maximum time to compute a response, in seconds",
                "After this time, the client gets an error. A mutation that has already started still runs to completion."),
        ]),
        ("GraphQL limits", vec![
            setting!(limits.introspection, "introspection", "SYMBOLON_INTROSPECTION", "ON|OFF",
                "Allow introspection of the schema",
                "With `off`, clients cannot query the schema."),
            setting!(document_cache, "document-cache", "SYMBOLON_DOCUMENT_CACHE", "MIB",
                "Size of the cache of parsed documents, in MiB",
                "A size of 0 disables the cache."),
            setting!(limits.document_bytes, "limit-document-bytes", "SYMBOLON_LIMIT_DOCUMENT_BYTES", "N",
                "Maximum size of a document, in bytes",
                "Also limits each operation with its fragments expanded."),
            setting!(limits.tokens, "limit-tokens", "SYMBOLON_LIMIT_TOKENS", "N",
                "Maximum number of lexical tokens in a document",
                "The variables of a request can contain at most the same number of values."),
            setting!(limits.nesting, "limit-nesting", "SYMBOLON_LIMIT_NESTING", "N",
                "Maximum nesting depth of brackets in a document, and of lists and objects in its variables", ""),
            setting!(limits.selections, "limit-selections", "SYMBOLON_LIMIT_SELECTIONS", "N",
                "Maximum number of selections in an operation, with fragments expanded",
                "A directive counts as a selection."),
            setting!(limits.depth, "limit-depth", "SYMBOLON_LIMIT_DEPTH", "N",
                "Maximum nesting depth of fields", ""),
            setting!(limits.root_fields, "limit-root-fields", "SYMBOLON_LIMIT_ROOT_FIELDS", "N",
                "Maximum number of fields at the root of an operation", ""),
            setting!(limits.complexity, "limit-complexity", "SYMBOLON_LIMIT_COMPLEXITY", "N",
                "Maximum complexity of an operation",
                "The complexity is the number of fields to resolve if each list has its maximum length. Each field of a \
                 list element is therefore counted once for each element that the list can have."),
        ]),
    ]
}

/// Returns the settings that are not part of [`Config`].
fn server_settings() -> Vec<Setting> {
    vec![
        Setting::new(
            "host",
            |values| &mut values.host,
            ("host", "SYMBOLON_HOST", "HOST"),
            "Address or host name to listen on",
            "The server listens on one address. If a host name has several addresses, the server listens on the first IPv4 \
             address, or on the first IPv6 address if there is no IPv4 address. SYMBOLON_HOST takes precedence over HOST.",
        )
        .or_variable("HOST"),
        Setting::new(
            "port",
            |values| &mut values.port,
            ("port", "SYMBOLON_PORT", "PORT"),
            "Port to listen on",
            "With 0, the system selects a free port. SYMBOLON_PORT takes precedence over PORT.",
        )
        .or_variable("PORT"),
        Setting::new(
            "metrics_port",
            |values| &mut values.metrics_port,
            ("metrics-port", "SYMBOLON_METRICS_PORT", "PORT"),
            "Port at which the server provides /metrics for Prometheus",
            "If no port is set, the server provides no metrics.",
        ),
        Setting::new(
            "metrics_host",
            |values| &mut values.metrics_host,
            ("metrics-host", "SYMBOLON_METRICS_HOST", "HOST"),
            "Address or host name at which the server provides /metrics",
            "Metrics require no authentication. Use an address that only Prometheus can reach.",
        ),
    ]
}

fn all_settings() -> impl Iterator<Item = Setting> {
    settings().into_iter().flat_map(|(_, settings)| settings)
}

/// Returns the names of all environment variables.
pub(super) fn variables() -> Vec<&'static str> {
    let with_option = all_settings().flat_map(|setting| setting.variables);
    with_option.chain(WITHOUT_OPTION).collect()
}

/// Returns the options of some settings.
pub(super) fn options(flags: &[&str]) -> Vec<clap::Arg> {
    let settings = all_settings().filter(|setting| flags.contains(&setting.flag));
    settings.map(|setting| setting.argument).collect()
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};
    use symbolon::Config;

    use super::*;

    #[test]
    fn the_help_shows_the_range_of_every_number() {
        let mut help = Settings::augment_args(Command::new("symbolon"));
        let help = help.render_long_help().to_string();
        let numbers = Config::default().numbers();
        let ranges = numbers
            .iter()
            .filter(|number| !number.field.starts_with("throttle."));
        // The ports are not numbers of the configuration.
        assert_eq!(
            help.matches("[range: ").count(),
            ranges.count() + 2,
            "{help}"
        );
    }
}
