//! The use cases, one per file, and the code that they share.

pub(crate) mod access_token_verifier;
pub(crate) mod access_tokens;
mod all_tokens_revocation;
mod application_sign_in;
pub(crate) mod audit_trail;
pub(crate) mod authenticator;
pub(crate) mod authorization;
pub(crate) mod device_sessions;
mod hash_computation;
pub(crate) mod hash_metrics;
mod hash_queue;
mod hash_threads;
pub(crate) mod hook_runner;
pub(crate) mod hooks;
pub(crate) mod identity_cache;
mod identity_cache_check;
mod impersonation;
#[cfg(feature = "server")]
pub(crate) mod import;

pub(crate) mod issued_token;
pub(crate) mod named_input;
pub(crate) mod one_time_links;
mod own_token;
mod password_change;
mod password_reset;
pub(crate) mod passwords;
pub(crate) mod profile;
pub(crate) mod refused_attempts;
pub(crate) mod registration;
pub(crate) mod request_authentication;
pub(crate) mod requester;
mod revocation_steps;
mod run_to_completion;
pub(crate) mod server_key;
mod services;
mod session_revocation;
pub(crate) mod sessions;
mod shared_sessions;
pub(crate) mod sign_in;
pub(crate) mod sign_in_metrics;
pub(crate) mod similar_usernames_report;
pub(crate) mod throttle;
pub(crate) mod throttle_metrics;
mod throttle_subject;
pub(crate) mod token_options;
pub(crate) mod token_uses;
pub(crate) mod token_watch;
mod uniqueness;
mod user_administration;
mod user_change;
mod user_deletion;
pub(crate) mod users;
pub(crate) mod visible_user;

pub(crate) use self::run_to_completion::run_to_completion;
pub(crate) use self::services::Services;
