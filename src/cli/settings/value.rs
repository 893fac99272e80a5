//! The types of setting values: parsing from text, and formatting of the defaults for the help.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::{OsStr, Resettable};
use ipnet::IpNet;
use symbolon::{ClientAddressHeader, Rate, Secret, UserList};

/// A type that the value of a setting can have.
pub(super) trait Value: Clone + Send + Sync + 'static {
    fn parse(text: &str) -> Result<Self, String>;

    /// Returns the text that the help prints for a default value, or `Reset` if the type has no text form.
    fn format(&self) -> Resettable<OsStr> {
        Resettable::Reset
    }
}

fn shown(text: String) -> Resettable<OsStr> {
    Resettable::Value(text.into())
}

macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl Value for $number {
            fn parse(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| "not a whole number".to_owned())
            }

            fn format(&self) -> Resettable<OsStr> {
                shown(self.to_string())
            }
        }
    )+};
}
numbers!(u32, u64, usize);

impl Value for Option<NonZeroUsize> {
    fn parse(text: &str) -> Result<Self, String> {
        let number = text.trim().parse();
        number
            .map(Some)
            .map_err(|_| "not a whole number".to_owned())
    }
}

impl Value for bool {
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "on" | "true" | "t" | "yes" | "y" | "1" => Ok(true),
            "off" | "false" | "f" | "no" | "n" | "0" => Ok(false),
            _ => Err("neither `on` nor `off`".to_owned()),
        }
    }

    fn format(&self) -> Resettable<OsStr> {
        let text = if *self { "on" } else { "off" };
        shown(text.to_owned())
    }
}

impl Value for UserList {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "admins" => Ok(Self::Admins),
            "members" => Ok(Self::Members),
            _ => Err("neither `admins` nor `members`".to_owned()),
        }
    }

    fn format(&self) -> Resettable<OsStr> {
        let is_members = *self == Self::Members;
        let text = if is_members { "members" } else { "admins" };
        shown(text.to_owned())
    }
}

impl Value for Rate {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(str::to_owned)
    }

    fn format(&self) -> Resettable<OsStr> {
        shown(self.to_string())
    }
}

impl Value for Option<PathBuf> {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the path is empty".to_owned());
        }
        Ok(Some(text.into()))
    }
}

/// A URL, which [`symbolon::Config::check`] checks.
impl Value for Option<String> {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Some(text.to_owned()))
    }
}

impl Value for Vec<IpNet> {
    fn parse(text: &str) -> Result<Self, String> {
        let network = |text: &str| {
            let address = || text.parse::<IpAddr>().map(IpNet::from);
            let network = text.parse().or_else(|_| address());
            network.map_err(|_| format!("{text:?} is not an address or a network"))
        };
        text.split(',').map(network).collect()
    }
}

/// A list of origins or header names, which [`symbolon::Config::check`] checks.
impl Value for Vec<String> {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.split(',').map(|text| text.trim().to_owned()).collect())
    }
}

impl Value for ClientAddressHeader {
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            "forwarded" => Ok(Self::Forwarded),
            _ => Err("neither `x-forwarded-for` nor `forwarded`".to_owned()),
        }
    }

    fn format(&self) -> Resettable<OsStr> {
        let is_forwarded = *self == Self::Forwarded;
        let text = if is_forwarded {
            "forwarded"
        } else {
            "x-forwarded-for"
        };
        shown(text.to_owned())
    }
}

impl Value for Secret {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn format(&self) -> Resettable<OsStr> {
        shown(self.reveal().to_owned())
    }
}
