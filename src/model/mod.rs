//! Nouns: what Symbolon talks about. Nothing here does I/O or knows a protocol.

pub(crate) mod access_token;
pub(crate) mod audit;
mod common_passwords;
pub(crate) mod credentials;
pub(crate) mod form;
pub(crate) mod hash_format;
pub(crate) mod identity;
pub(crate) mod import;
pub(crate) mod page;
pub(crate) mod password;
pub(crate) mod rate;
pub(crate) mod scope;
pub(crate) mod token;
pub(crate) mod user;
