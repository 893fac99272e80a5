//! The values of all settings, from the command line and the environment.

use clap::error::{Error, ErrorKind};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use symbolon::StartError;

use super::setting::{Setting, Source};
use super::value::{Values, requirement};
use super::{all_settings, settings};
use crate::cli::environment::{SECRET_KEY, variable};

/// A setting for the report of `symbolon check`.
#[derive(Debug)]
pub(in crate::cli) struct Effective {
    /// The environment variable that takes precedence.
    pub(in crate::cli) variable: &'static str,
    /// The value without secrets.
    pub(in crate::cli) value: String,
    pub(in crate::cli) source: Source,
}

/// The values of settings from the command line and the environment, and their sources.
#[derive(Debug)]
pub(in crate::cli) struct Settings {
    pub(in crate::cli) values: Values,
    /// The source of each setting that was read, by the name of the option.
    sources: Vec<(&'static str, Source)>,
}

impl Settings {
    /// Reads the settings that `is_read` selects by the name of the option. The other settings have their defaults.
    ///
    /// # Errors
    ///
    /// Returns an error that names the option or the variable that has an invalid value.
    pub(in crate::cli) fn read(
        matches: &ArgMatches,
        is_read: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        let (mut values, mut sources) = (Values::default(), Vec::new());
        let settings: Vec<_> = all_settings()
            .filter(|setting| is_read(setting.flag))
            .collect();
        for setting in &settings {
            let source = setting.read(matches, &mut values).map_err(invalid)?;
            sources.push((setting.flag, source));
        }
        let key = variable(SECRET_KEY).map_err(invalid)?;
        values.config.secret_key = key.map(Into::into);
        let file = sources.iter().find(|(flag, _)| *flag == "secret-key-file");
        if let (Some(_), Some((_, file))) = (&values.config.secret_key, file)
            && *file != Source::Default
        {
            return Err(invalid(format!(
                "{SECRET_KEY} and {file} are both set; remove one of them"
            )));
        }
        // The range of a number may depend on another setting.
        if let Err(StartError::OutOfRange { field, range, .. }) = values.config.check()
            && let Some((_, (_, source))) = settings
                .iter()
                .zip(&sources)
                .find(|(setting, _)| setting.field == field)
        {
            return Err(invalid(format!("{source} {}", requirement(&range))));
        }
        Ok(Self { values, sources })
    }

    /// Returns the source of the setting with this option.
    pub(in crate::cli) fn source(&self, flag: &str) -> Source {
        let source = self.sources.iter().find(|(name, _)| *name == flag);
        source.map_or(Source::Default, |(_, source)| *source)
    }

    /// Returns the value and the source of each setting that has an option.
    pub(in crate::cli) fn effective(&self) -> Vec<Effective> {
        let effective = |setting: Setting| Effective {
            variable: setting.variables.first().copied().unwrap_or_default(),
            value: setting.describe(&self.values),
            source: self.source(setting.flag),
        };
        all_settings().map(effective).collect()
    }
}

fn invalid(message: String) -> Error {
    Error::raw(ErrorKind::ValueValidation, message)
}

/// The settings that only some subcommands read, by their options. These subcommands have the options themselves.
const READ_BY_SUBCOMMANDS: [&str; 5] = [
    "host",
    "port",
    "metrics-host",
    "metrics-port",
    "database-url",
];

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

/// The settings of a subcommand that has no options for them come from the environment.
impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        match matches.subcommand_name() {
            None => Self::read(matches, |_| true),
            // These subcommands have all options that they require.
            Some("serve" | "check" | "schema" | "completions" | "healthcheck") => {
                Self::read(matches, |_| false)
            }
            Some(_) => Self::read(matches, |flag| !READ_BY_SUBCOMMANDS.contains(&flag)),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
