//! The types of setting values: parsing from text, and formatting for the help and for reports.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use symbolon::{ClientAddressHeader, Config, Rate, Secret, Symbolon, UserList};

/// The values of all settings.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Values {
    pub(in crate::cli) config: Config,
    pub(in crate::cli) host: Host,
    pub(in crate::cli) port: u16,
    pub(in crate::cli) metrics_host: Host,
    pub(in crate::cli) metrics_port: Option<u16>,
}

impl Default for Values {
    fn default() -> Self {
        Self {
            config: Config::default(),
            host: Host::Address(Ipv4Addr::LOCALHOST.into()),
            port: 8000,
            metrics_host: Host::Address(Ipv4Addr::LOCALHOST.into()),
            metrics_port: None,
        }
    }
}

/// A type that the value of a setting can have.
pub(super) trait Value: Clone + Send + Sync + 'static {
    /// Parses a text that is not empty and has no white space at its ends. The error is a predicate whose subject is
    /// the name of the option or variable, such as "requires a whole number". The error contains no part of the text,
    /// which may be a misplaced password.
    fn parse(text: &str) -> Result<Self, String>;

    /// Returns the text from which the value is parsed, or an empty text if the value is absent.
    fn format(&self) -> String;

    /// Formats the value without secrets.
    fn describe(&self) -> String {
        self.format()
    }

    /// Returns the range of the type, if the configuration does not determine the range.
    fn range() -> Option<RangeInclusive<u64>> {
        None
    }
}

/// Returns the message that a number must be in a range.
pub(super) fn requirement(range: &RangeInclusive<u64>) -> String {
    format!(
        "requires a whole number from {} to {}",
        range.start(),
        range.end()
    )
}

fn parse_number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| "requires a whole number".to_owned())
}

fn format_option(value: Option<&impl fmt::Display>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// Parses the items of a list that are not empty.
fn parse_list<T>(
    text: &str,
    requirement: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, String> {
    let items = text.split(',').map(str::trim).enumerate();
    let items = items.filter(|(_, item)| !item.is_empty());
    let items = items.map(|(index, item)| {
        parse(item).ok_or_else(|| {
            format!(
                "requires a list of {requirement}; item {} is invalid",
                index + 1
            )
        })
    });
    items.collect()
}

fn format_list(items: &[impl fmt::Display]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    items.join(",")
}

macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl Value for $number {
            fn parse(text: &str) -> Result<Self, String> {
                parse_number(text)
            }

            fn format(&self) -> String {
                self.to_string()
            }
        }
    )+};
}
numbers!(u32, u64, usize);

const PORTS: RangeInclusive<u64> = 0..=u16::MAX as u64;

impl Value for u16 {
    fn parse(text: &str) -> Result<Self, String> {
        parse_number(text)
    }

    fn format(&self) -> String {
        self.to_string()
    }

    fn range() -> Option<RangeInclusive<u64>> {
        Some(PORTS)
    }
}

impl Value for Option<u16> {
    fn parse(text: &str) -> Result<Self, String> {
        parse_number(text).map(Some)
    }

    fn format(&self) -> String {
        format_option(self.as_ref())
    }

    fn range() -> Option<RangeInclusive<u64>> {
        Some(PORTS)
    }
}

impl Value for Option<NonZeroUsize> {
    fn parse(text: &str) -> Result<Self, String> {
        parse_number(text).map(Some)
    }

    fn format(&self) -> String {
        format_option(self.as_ref())
    }
}

impl Value for bool {
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "on" | "true" | "t" | "yes" | "y" | "1" => Ok(true),
            "off" | "false" | "f" | "no" | "n" | "0" => Ok(false),
            _ => Err("requires `on` or `off`".to_owned()),
        }
    }

    fn format(&self) -> String {
        if *self { "on" } else { "off" }.to_owned()
    }
}

impl Value for UserList {
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "admins" => Ok(Self::Admins),
            "members" => Ok(Self::Members),
            _ => Err("requires `admins` or `members`".to_owned()),
        }
    }

    fn format(&self) -> String {
        let is_members = *self == Self::Members;
        if is_members { "members" } else { "admins" }.to_owned()
    }
}

impl Value for Rate {
    fn parse(text: &str) -> Result<Self, String> {
        let rate = text.parse();
        rate.map_err(|_| {
            "requires two whole numbers such as 20/80: 20 attempts at once, and 80 per hour"
                .to_owned()
        })
    }

    fn format(&self) -> String {
        self.to_string()
    }
}

/// The length of 32 bytes in base64 without padding. The same bytes are longer in hexadecimal digits.
const MIN_KEY_LENGTH: usize = 43;

/// The file of the server key.
impl Value for Option<PathBuf> {
    fn parse(text: &str) -> Result<Self, String> {
        // Messages contain the path. A key in place of the path must not appear in them.
        let has_key = text
            .split(|c: char| !c.is_ascii_alphanumeric() && !"+/-_=".contains(c))
            .any(|part| part.trim_end_matches('=').len() >= MIN_KEY_LENGTH);
        let is_path = text.contains(['/', '.']) && !has_key;
        if !is_path && !Path::new(text).exists() {
            return Err(
                "requires the path of a file, and the value is not the path of an existing file; \
                 SYMBOLON_SECRET_KEY sets the key itself"
                    .to_owned(),
            );
        }
        Ok(Some(text.into()))
    }

    fn format(&self) -> String {
        format_option(self.as_ref().map(|path| path.display()).as_ref())
    }
}

/// A URL, which [`symbolon::Config::check`] checks.
impl Value for Option<String> {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Some(text.to_owned()))
    }

    fn format(&self) -> String {
        format_option(self.as_ref())
    }
}

impl Value for Vec<IpNet> {
    fn parse(text: &str) -> Result<Self, String> {
        parse_list(
            text,
            "IP addresses and networks such as 10.0.0.0/8",
            |text| {
                let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
                text.parse().ok().or_else(address)
            },
        )
    }

    fn format(&self) -> String {
        format_list(self)
    }
}

/// A list of origins or header names, which [`symbolon::Config::check`] checks.
impl Value for Vec<String> {
    fn parse(text: &str) -> Result<Self, String> {
        parse_list(text, "names", |text| Some(text.to_owned()))
    }

    fn format(&self) -> String {
        format_list(self)
    }
}

impl Value for ClientAddressHeader {
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err("requires `x-forwarded-for` or `forwarded`".to_owned()),
        }
    }

    fn format(&self) -> String {
        let is_forwarded = *self == Self::Forwarded;
        if is_forwarded {
            "forwarded"
        } else {
            "x-forwarded-for"
        }
        .to_owned()
    }
}

/// The URL of the database, which is checked when the database is opened.
impl Value for Secret {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn format(&self) -> String {
        self.reveal().to_owned()
    }

    fn describe(&self) -> String {
        Symbolon::database_name(&Config::new(self.clone()))
            .unwrap_or_else(|error| error.to_string())
    }
}

/// The host to listen on.
#[derive(Clone, Debug)]
pub(in crate::cli) enum Host {
    Address(IpAddr),
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl Value for Host {
    fn parse(text: &str) -> Result<Self, String> {
        let in_brackets = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Ok(address) = in_brackets.unwrap_or(text).parse() {
            return Ok(Self::Address(address));
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        // An address such as 127.0.0 is a mistake.
        let has_letter = text.contains(|c: char| c.is_ascii_alphabetic());
        if text.len() <= 253 && text.chars().all(is_name) && has_letter {
            return Ok(Self::Name(text.to_owned()));
        }
        Err("requires an IP address or a host name, without a port".to_owned())
    }

    fn format(&self) -> String {
        self.to_string()
    }
}
