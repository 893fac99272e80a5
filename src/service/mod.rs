//! The use cases, one per file, and the code that they share.

pub(crate) mod access_token_verifier;
pub(crate) mod access_tokens;
pub(crate) mod audit_recorder;
pub(crate) mod audit_trail;
pub(crate) mod authentication;
pub(crate) mod authenticator;
pub(crate) mod authorization;
mod deletion;
mod hash_algorithms;
mod hash_queue;
pub(crate) mod identity_cache;
mod identity_cache_check;
#[cfg(feature = "server")]
pub(crate) mod import;
pub(crate) mod input;
mod paging;
mod password_change;
pub(crate) mod passwords;
pub(crate) mod profile;
pub(crate) mod registration;
mod request_tokens;
mod revocation;
mod run_to_completion;
pub(crate) mod server_key;
mod services;
pub(crate) mod sessions;
pub(crate) mod sign_in;
pub(crate) mod similar_usernames;
pub(crate) mod throttle;
pub(crate) mod token_watch;
mod uniqueness;
mod user_administration;
mod user_change;
pub(crate) mod users;
pub(crate) mod visible_user;

pub(crate) use self::run_to_completion::run_to_completion;
pub(crate) use self::services::Services;
