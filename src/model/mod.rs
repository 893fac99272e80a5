//! Nouns: what Symbolon talks about. Nothing here does I/O or knows a protocol.

pub(crate) mod credentials;
pub(crate) mod form;
pub(crate) mod hash_format;
pub(crate) mod identity;
pub(crate) mod password;
pub(crate) mod token;
pub(crate) mod user;
