//! The subjects whose attempts rate limits count.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::model::user::UserId;
use crate::service::throttle_metrics as metrics;

/// The subject whose attempts are counted in a bucket.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    /// A username, even if no user has this name.
    Name(&'a str),
    /// A user and a known address of this user.
    Known(UserId, IpAddr),
    /// A signed-in user who confirms the password.
    Session(UserId),
    /// An address from which passwords are tried.
    Address(IpAddr),
    /// An address from which users are registered, profiles are changed or one-time tokens are used.
    Registration(IpAddr),
    /// A user who registers or invites users, changes profiles or sets the passwords of other users.
    Changes(UserId),
}

impl Subject<'_> {
    /// Returns the name of the limit in the metrics.
    pub(super) fn limit(self) -> &'static str {
        match self {
            Self::Name(_) => metrics::USERNAME,
            Self::Known(..) => metrics::KNOWN_ADDRESS,
            Self::Session(_) => metrics::CONFIRMATION,
            Self::Address(_) => metrics::ADDRESS,
            Self::Registration(_) => metrics::REGISTRATION_ADDRESS,
            Self::Changes(_) => metrics::REGISTRATION_USER,
        }
    }

    /// Returns the key of the bucket.
    pub(super) fn key(self) -> [u8; 32] {
        let text = match self {
            Self::Name(name) => format!("name {name}"),
            Self::Known(user, address) => format!("known {user} {address}"),
            Self::Session(user) => format!("session {user}"),
            Self::Address(address) => format!("address {address}"),
            Self::Registration(address) => format!("registration {address}"),
            Self::Changes(user) => format!("changes {user}"),
        };
        Sha256::digest(text).into()
    }
}
