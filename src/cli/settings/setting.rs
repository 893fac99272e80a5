//! One setting: its option, its environment variables, and the access to its value.

use std::ffi::OsString;
use std::fmt;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, value_parser};
use symbolon::StartError;

use super::value::{Value, Values, requirement};
use crate::cli::environment::variable;

/// The source of the value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Source {
    Default,
    /// The environment variable with this name.
    Variable(&'static str),
    /// The option with this name, without the dashes.
    Option(&'static str),
}

/// Formats the name of the option or variable, or `default`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Variable(name) => f.write_str(name),
            Self::Option(name) => write!(f, "--{name}"),
        }
    }
}

type Parse = Box<dyn Fn(&str, &mut Values) -> Result<(), String>>;

/// A setting, with its command-line argument.
pub(super) struct Setting {
    /// The path of the field in [`symbolon::Config`] or in [`Values`].
    pub(super) field: &'static str,
    /// The name of the option, without the dashes.
    pub(super) flag: &'static str,
    /// The environment variables in the order of precedence.
    pub(super) variables: Vec<&'static str>,
    pub(super) argument: Arg,
    details: String,
    notes: String,
    /// Parses a text and sets the field. The error is a predicate, such as "requires a whole number".
    parse: Parse,
    describe: Box<dyn Fn(&Values) -> String>,
}

impl Setting {
    pub(super) fn new<T: Value>(
        field: &'static str,
        access: fn(&mut Values) -> &mut T,
        (flag, variable, value_name): (&'static str, &'static str, &'static str),
        summary: &'static str,
        details: &str,
    ) -> Self {
        let mut defaults = Values::default();
        let mut numbers = defaults.config.numbers().into_iter();
        let range = numbers.find(|number| number.field == field);
        let range = range.map(|number| number.range).or_else(T::range);
        let notes = match &range {
            Some(range) => format!("[range: {} to {}]", range.start(), range.end()),
            None => String::new(),
        };
        let details = match details {
            "" => format!("{summary}."),
            details => format!("{summary}.\n\n{details}"),
        };
        let parse = move |text: &str, values: &mut Values| {
            let checked = T::parse(text).and_then(|value| {
                let mut alone = Values::default();
                access(&mut alone).clone_from(&value);
                alone.config.check().map_err(|error| match error {
                    // This error concerns a number of a rate limit, which has two numbers.
                    StartError::OutOfRange { range, .. } => {
                        let (min, max) = (range.start(), range.end());
                        format!("requires two whole numbers from {min} to {max}, such as 20/80")
                    }
                    error => format!("is invalid: {error}"),
                })?;
                Ok(value)
            });
            let value = checked.map_err(|error| match &range {
                Some(range) => requirement(range),
                None => error,
            })?;
            *access(values) = value;
            Ok(())
        };
        let default = access(&mut defaults).format();
        let argument = Arg::new(flag)
            .long(flag)
            .value_name(value_name)
            .help(summary)
            .value_parser(value_parser!(OsString));
        let argument = if default.is_empty() {
            argument
        } else {
            argument.default_value(default)
        };
        let setting = Self {
            field,
            flag,
            variables: vec![variable],
            argument,
            details,
            notes,
            parse: Box::new(parse),
            describe: Box::new(move |values| access(&mut values.clone()).describe()),
        };
        setting.with_long_help()
    }

    /// Adds a variable that is read if the other variables are not set.
    pub(super) fn or_variable(mut self, variable: &'static str) -> Self {
        self.variables.push(variable);
        self.with_long_help()
    }

    fn with_long_help(self) -> Self {
        let variables = self.variables.iter().map(|name| format!("[env: {name}] "));
        let notes = variables.collect::<String>() + &self.notes;
        let help = format!("{}\n\n{}", self.details, notes.trim_end());
        Self {
            argument: self.argument.long_help(help),
            ..self
        }
    }

    /// Sets the field to the value of the option or else of a variable. Returns the source of the value.
    ///
    /// # Errors
    ///
    /// Returns a message that names the option or the variable, and contains no part of the value.
    pub(super) fn read(&self, matches: &ArgMatches, values: &mut Values) -> Result<Source, String> {
        let option = Source::Option(self.flag);
        let is_given = matches.value_source(self.flag) == Some(ValueSource::CommandLine);
        if is_given && let Some(text) = matches.get_one::<OsString>(self.flag) {
            let text = text.to_str().map(str::trim);
            let text = text.ok_or_else(|| format!("{option} requires valid UTF-8"))?;
            if text.is_empty() {
                return Err(format!(
                    "{option} requires a value; for the default, leave the option out"
                ));
            }
            return self.set(text, option, values);
        }
        for name in &self.variables {
            if let Some(text) = variable(name)? {
                return self.set(&text, Source::Variable(name), values);
            }
        }
        Ok(Source::Default)
    }

    fn set(&self, text: &str, source: Source, values: &mut Values) -> Result<Source, String> {
        (self.parse)(text, values).map_err(|error| {
            // `docker run --env-file` does not remove quotation marks.
            let is_quoted = text.starts_with(['"', '\'']) && text.ends_with(['"', '\'']);
            let hint = if is_quoted {
                "; remove the quotation marks"
            } else {
                ""
            };
            format!("{source} {error}{hint}")
        })?;
        Ok(source)
    }

    /// Formats the value without secrets.
    pub(super) fn describe(&self, values: &Values) -> String {
        (self.describe)(values)
    }
}
