//! The settings of the server: the flag, the environment variable and the help of each field of [`Config`].

mod value;

use std::env;
use std::ops::RangeInclusive;

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use symbolon::{Config, Secret, StartError};

use self::value::Value;

/// The configuration from the command line and the environment.
#[derive(Debug)]
pub(super) struct Settings(pub(super) Config);

/// Describes the setting of a field: its flag, its environment variable, the name of its value, a summary for
/// `-h`, and the sentences that `--help` adds.
macro_rules! setting {
    ($($field:ident).+, $flag:literal, $variable:literal, $value:literal, $summary:literal, $details:literal) => {
        Setting::new(
            stringify!($($field).+),
            |config| &mut config.$($field).+,
            Arg::new($flag).long($flag).env($variable).value_name($value),
            $summary,
            $details,
        )
    };
}

/// Returns the settings with the headings under which the help shows them.
#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "a table")]
fn settings() -> [(&'static str, Vec<Setting>); 7] {
    [
        ("Database", vec![
            setting!(database_url, "database-url", "DATABASE_URL", "URL",
                "URL of the database",
                "sqlite://FILE for SQLite; the file is created if it does not exist. For PostgreSQL: \
                 postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full&sslrootcert=FILE."),
            setting!(postgres.readers, "postgres-readers", "SYMBOLON_POSTGRES_READERS", "N",
                "Maximum number of PostgreSQL connections that read", ""),
            setting!(postgres.writers, "postgres-writers", "SYMBOLON_POSTGRES_WRITERS", "N",
                "Maximum number of PostgreSQL connections that write",
                "Two further connections exchange heartbeats."),
            setting!(postgres.acquire_timeout, "postgres-acquire-timeout", "SYMBOLON_POSTGRES_ACQUIRE_TIMEOUT", "MS",
                "Maximum time to wait for a PostgreSQL connection, in milliseconds",
                "A database server that does not answer for this time and 500 ms is considered unreachable."),
            setting!(postgres.statement_timeout, "postgres-statement-timeout", "SYMBOLON_POSTGRES_STATEMENT_TIMEOUT", "MS",
                "Maximum time of one PostgreSQL statement, in milliseconds", ""),
        ]),
        ("Tokens", vec![
            setting!(secret_key_file, "secret-key-file", "SYMBOLON_SECRET_KEY_FILE", "FILE",
                "File with the server key",
                "The file contains base64 of 32 bytes. The variable SYMBOLON_SECRET_KEY can contain the key instead \
                 of a file. Without both, a key file is created beside the SQLite database. PostgreSQL requires one \
                 of them, and all instances require the same key."),
            setting!(token_lifetime, "token-lifetime", "SYMBOLON_TOKEN_LIFETIME", "SECONDS",
                "Lifetime of a new session token, in seconds", ""),
            setting!(reuse, "reuse", "SYMBOLON_REUSE", "ON|OFF",
                "Return the live session token at a sign-in",
                "With `off`, each sign-in replaces the session token of the user."),
            setting!(session_max_age, "session-max-age", "SYMBOLON_SESSION_MAX_AGE", "DAYS",
                "Time after a sign-in during which its session token can be renewed, in days",
                "0 disables renewal."),
            setting!(identity_cache, "identity-cache", "SYMBOLON_IDENTITY_CACHE", "MIB",
                "Size of the cache of users and tokens, in MiB",
                "0 disables the cache: each request reads the database, and a revocation by another instance takes \
                 effect at once."),
        ]),
        ("Users", vec![
            setting!(registration, "registration", "SYMBOLON_REGISTRATION", "ON|OFF",
                "Permit registration",
                "With `off`, only admins can register users."),
            setting!(user_list, "user-list", "SYMBOLON_USER_LIST", "admins|members",
                "Users that can list the users",
                "`admins`: only admins. `members`: every user; a user that is not an admin sees ids and usernames only."),
            setting!(audit_days, "audit-days", "SYMBOLON_AUDIT_DAYS", "DAYS",
                "Time for which audit events are kept, in days",
                "0 deletes events within ten minutes."),
        ]),
        ("Passwords", vec![
            setting!(password_min, "password-min", "SYMBOLON_PASSWORD_MIN", "CHARACTERS",
                "Minimum length of a new password, in characters",
                "NIST SP 800-63B-4 requires 15 where a password is the only factor."),
            setting!(argon2_memory, "argon2-memory", "SYMBOLON_ARGON2_MEMORY", "KIB",
                "Memory of one Argon2id hash, in KiB", ""),
            setting!(argon2_iterations, "argon2-iterations", "SYMBOLON_ARGON2_ITERATIONS", "N",
                "Passes of Argon2id over its memory", ""),
            setting!(argon2_parallelism, "argon2-parallelism", "SYMBOLON_ARGON2_PARALLELISM", "N",
                "Lanes of Argon2id",
                "Each lane requires 8 KiB of memory."),
            setting!(hash_threads, "hash-threads", "SYMBOLON_HASH_THREADS", "N",
                "Number of threads that hash passwords",
                "The default is the number of cores."),
            setting!(hash_queue, "hash-queue", "SYMBOLON_HASH_QUEUE", "N",
                "Number of sign-ins and registrations that can wait for a hashing thread",
                "Further ones are refused at once. One client address can use a quarter of the places. 0 disables \
                 waiting."),
        ]),
        ("Throttling", vec![
            setting!(throttle.enabled, "throttle", "SYMBOLON_THROTTLE", "ON|OFF",
                "Limit the number of attempts",
                "With `off`, passwords can be guessed without limit. Use it for load tests only."),
            setting!(throttle.account, "throttle-account", "SYMBOLON_THROTTLE_ACCOUNT", "BURST/HOUR",
                "Wrong passwords for one username, at once and per hour",
                "They are counted whether or not the user exists. An address from which the user signed in during \
                 the last 30 days has a separate count. A new password of the user resets the counts."),
            setting!(throttle.address, "throttle-address", "SYMBOLON_THROTTLE_ADDRESS", "BURST/HOUR",
                "Wrong passwords from one address, at once and per hour",
                "A /64 network of IPv6 counts as one address. Passwords of users that signed in from the address \
                 during the last 30 days are not counted."),
            setting!(throttle.registrations, "throttle-registration", "SYMBOLON_THROTTLE_REGISTRATION", "BURST/HOUR",
                "Registrations and profile changes, at once and per hour",
                "They are counted by address and by user."),
        ]),
        ("HTTP", vec![
            setting!(http.trusted_proxies, "trusted-proxies", "SYMBOLON_TRUSTED_PROXIES", "NETS",
                "Proxies whose X-Forwarded-For header is trusted",
                "A list of addresses and networks, separated by commas."),
            setting!(http.cors_origins, "cors-origins", "SYMBOLON_CORS_ORIGINS", "ORIGINS",
                "Other origins whose pages can use the API",
                "A list of origins such as https://app.example.org, separated by commas."),
            setting!(http.explorer, "explorer", "SYMBOLON_EXPLORER", "ON|OFF",
                "Serve the API explorer at /", ""),
            setting!(http.max_connections, "max-connections", "SYMBOLON_MAX_CONNECTIONS", "N",
                "Maximum number of connections",
                "The limit on open files reduces the number. One address can hold a quarter of the connections and an \
                 eighth as WebSockets. One user can hold a sixteenth as WebSockets."),
            setting!(http.body_limit, "body-limit", "SYMBOLON_BODY_LIMIT", "BYTES",
                "Maximum size of a request body, in bytes", ""),
            setting!(http.read_timeout, "read-timeout", "SYMBOLON_READ_TIMEOUT", "SECONDS",
                "Maximum time to receive the head or the body of a request, in seconds",
                "A client that stops reading a response is disconnected after the same time."),
            setting!(http.request_timeout, "request-timeout", "SYMBOLON_REQUEST_TIMEOUT", "SECONDS",
                "Maximum time of a response, in seconds",
                "A mutation that takes longer is completed nevertheless."),
        ]),
        ("GraphQL limits", vec![
            setting!(limits.introspection, "introspection", "SYMBOLON_INTROSPECTION", "ON|OFF",
                "Permit introspection of the schema",
                "With `off`, error messages suggest no names either."),
            setting!(document_cache, "document-cache", "SYMBOLON_DOCUMENT_CACHE", "MIB",
                "Size of the cache of parsed documents, in MiB",
                "0 disables the cache."),
            setting!(limits.document_bytes, "limit-document-bytes", "SYMBOLON_LIMIT_DOCUMENT_BYTES", "N",
                "Maximum size of a document, in bytes", ""),
            setting!(limits.tokens, "limit-tokens", "SYMBOLON_LIMIT_TOKENS", "N",
                "Maximum number of lexical tokens of a document",
                "Values in the variables are counted, too."),
            setting!(limits.nesting, "limit-nesting", "SYMBOLON_LIMIT_NESTING", "N",
                "Maximum depth of nested brackets in a document and its variables", ""),
            setting!(limits.selections, "limit-selections", "SYMBOLON_LIMIT_SELECTIONS", "N",
                "Maximum number of selections, after fragments are expanded", ""),
            setting!(limits.depth, "limit-depth", "SYMBOLON_LIMIT_DEPTH", "N",
                "Maximum depth of nested fields", ""),
            setting!(limits.root_fields, "limit-root-fields", "SYMBOLON_LIMIT_ROOT_FIELDS", "N",
                "Maximum number of fields at the root of an operation", ""),
            setting!(limits.complexity, "limit-complexity", "SYMBOLON_LIMIT_COMPLEXITY", "N",
                "Maximum number of fields to resolve",
                "The fields of a list are multiplied by its maximum length."),
        ]),
    ]
}

type Apply = Box<dyn Fn(&mut Config, &ArgMatches)>;

/// A setting with its argument of the command line.
struct Setting {
    /// The path of the field in [`Config`].
    field: &'static str,
    argument: Arg,
    /// Sets the field to the parsed value of the argument, if it has one.
    apply: Apply,
}

impl Setting {
    fn new<T: Value>(
        field: &'static str,
        access: fn(&mut Config) -> &mut T,
        argument: Arg,
        summary: &str,
        details: &str,
    ) -> Self {
        let mut defaults = Config::default();
        let mut numbers = defaults.numbers().into_iter();
        let range = numbers.find(|number| number.field == field);
        let range = range.map(|number| number.range);
        let variable = variable(&argument);
        let notes = match &range {
            Some(range) => format!(
                "[env: {variable}] [range: {} to {}]",
                range.start(),
                range.end()
            ),
            None => format!("[env: {variable}]"),
        };
        let details = if details.is_empty() {
            ""
        } else {
            &format!("\n\n{details}")
        };
        let parse = move |text: &str| {
            let checked = T::parse(text).and_then(|value| {
                let mut config = Config::default();
                *access(&mut config) = value.clone();
                config.check().map_err(|error| error.to_string())?;
                Ok(value)
            });
            checked.map_err(|error| match &range {
                Some(range) => requirement(&variable, range),
                None => error,
            })
        };
        let id = argument.get_id().clone();
        Self {
            field,
            argument: argument
                .help(summary.to_owned())
                .long_help(format!("{summary}.{details}\n\n{notes}"))
                // The long help has the variable. Its value can contain a password.
                .hide_env(true)
                .default_value(access(&mut defaults).format())
                .value_parser(parse),
            apply: Box::new(move |config, matches| {
                if let Some(value) = matches.get_one::<T>(id.as_str()) {
                    access(config).clone_from(value);
                }
            }),
        }
    }
}

fn variable(argument: &Arg) -> String {
    let variable = argument.get_env().unwrap_or_default();
    variable.display().to_string()
}

fn requirement(variable: &str, range: &RangeInclusive<u64>) -> String {
    let (min, max) = (range.start(), range.end());
    format!("{variable} requires a whole number from {min} to {max}")
}

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        let arguments = settings().into_iter().flat_map(|(heading, settings)| {
            let arguments = settings.into_iter().map(|setting| setting.argument);
            arguments.map(move |argument| argument.help_heading(heading))
        });
        command.args(arguments)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut config = Config::default();
        // Other users of the machine can read a command line.
        config.secret_key = env::var("SYMBOLON_SECRET_KEY").ok().map(Secret::from);
        let settings = settings().into_iter().flat_map(|(_, settings)| settings);
        let settings: Vec<_> = settings.collect();
        for setting in &settings {
            (setting.apply)(&mut config, matches);
        }
        // The range of a number can depend on other settings.
        if let Err(StartError::OutOfRange { field, range, .. }) = config.check()
            && let Some(setting) = settings.iter().find(|setting| setting.field == field)
        {
            let error = requirement(&variable(&setting.argument), &range);
            return Err(clap::Error::raw(ErrorKind::ValueValidation, error));
        }
        Ok(Self(config))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_shows_the_range_of_every_number() {
        let mut help = Settings::augment_args(Command::new("symbolon"));
        let help = help.render_long_help().to_string();
        let numbers = Config::default().numbers();
        let ranges = numbers
            .iter()
            .filter(|number| !number.field.starts_with("throttle."));
        assert_eq!(help.matches("[range: ").count(), ranges.count(), "{help}");
    }
}
