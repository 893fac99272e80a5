//! The URLs and lifetimes of one-time links.

use chrono::TimeDelta;

use crate::config::Config;
use crate::error::StartError;
use crate::model::one_time_link::{LinkSettings, parse_page};

impl Config {
    /// Returns the pages and the lifetimes of one-time links.
    pub(crate) fn link_settings(&self) -> Result<LinkSettings, StartError> {
        // The messages do not contain the URLs, which may contain passwords.
        let refuse = |message: &str| StartError::Configuration(message.into());
        let public = self.public_url.as_deref().map(|text| {
            let url = parse_page(text).filter(|url| url.query().is_none());
            url.ok_or_else(|| {
                refuse(
                    "the public URL is not an http or https URL without credentials, query and fragment, \
                     such as https://login.example.org",
                )
            })
        });
        let own = self.reset_page.as_deref().map(|text| {
            parse_page(text).ok_or_else(|| {
                refuse(
                    "the URL of the reset page is not an http or https URL without credentials and fragment, \
                     such as https://app.example.org/new-password",
                )
            })
        });
        let (public, own) = (public.transpose()?, own.transpose()?);
        let page = |path: &str| {
            let url = public.as_ref()?;
            Some(format!("{}{path}", url.as_str().trim_end_matches('/')))
        };
        let (own, included) = (own.map(String::from), page("/reset"));
        Ok(LinkSettings {
            has_own_reset_page: own.is_some() && own != included,
            reset_page: own.or(included),
            invitation_page: page("/invite"),
            reset_lifetime: TimeDelta::seconds(self.reset_link_lifetime.into()),
            invitation_lifetime: TimeDelta::seconds(self.invitation_lifetime.into()),
        })
    }
}
