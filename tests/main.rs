//! The tests of Symbolon from outside: real HTTP, a real database, and a clock that the tests move.
//!
//! The function below is a complete test. It starts an app in this process and sends requests through
//! `support::Client`, which all harnesses share: `Server` (the program as a process), `Instance` (one of several on a
//! PostgreSQL database) and the others in `support`.
//!
//! All tests run on both databases: `SYMBOLON_TEST_DATABASE=postgres cargo test` starts a PostgreSQL server, and the
//! default is SQLite. Tests in a module `sqlite` or `postgres` run on that database only. Tests that need more than Rust
//! are ignored with the reason; `scripts/test` installs what they need and runs them.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::unused_async,
    clippy::unwrap_used,
    clippy::wildcard_imports
)]

use chrono::TimeDelta;

use support::TestApp;

#[tokio::test]
async fn a_session_token_is_accepted_until_it_expires() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    assert_eq!(app.me(&token).await.at("/data/me/username"), "ada");
    app.advance(TimeDelta::hours(1));
    let refused = app.me(&token).await;
    assert_eq!(refused.error(), ("UNAUTHENTICATED", "TOKEN_EXPIRED"));
}

mod support;

mod access_tokens;
mod application_sign_in;
mod architecture;
mod audit_event_aggregation;
mod audit_trail;
mod authority_of_requesters;
mod authorization_header;
mod authorization_requirements;
mod axum_example;
mod browser_security;
mod changes_during_a_hash;
mod cli_backup;
mod cli_check;
mod cli_commands;
mod cli_completions;
mod cli_copy;
mod cli_database_selection;
mod cli_healthcheck;
mod cli_restore;
mod cli_revoke_all;
mod cli_terminal_prompts;
mod cli_user_import;
mod client_address;
mod configuration_sources;
mod connection_limits;
mod database_upgrades;
mod deploy;
mod device_sessions;
mod direct_execution;
mod document_and_identity_caches;
mod document_limits;
mod documentation;
mod durability;
mod embedded_schemas;
mod embedding;
mod embedding_types;
mod error_responses;
mod events;
mod executor;
mod explorer;
mod federation;
mod forward_auth;
mod graphql_execution;
mod graphql_http_conformance;
mod graphql_js_comparison;
mod graphql_resolver_errors;
mod graphql_schema;
mod hash_queue;
mod hashes_per_request;
mod health_endpoints;
mod hooks;
mod host_header;
mod http_connections;
mod import_exports;
mod import_files;
mod import_hashes;
mod javascript_clients;
mod list_complexity;
mod log_secrecy;
mod migrations;
mod models;
mod monitoring;
mod one_time_tokens;
mod openapi;
mod own_tables;
mod pages;
mod password_hashing;
mod path_prefix;
mod postgres;
mod privilege_escalation;
mod proxies;
mod readme;
mod registration;
mod request_log_and_metrics;
mod request_size_limits;
mod requester;
mod rest_tokens;
mod revocation;
mod row_limits;
mod run_to_completion;
mod schema_builder;
mod security_md_references;
mod server_key;
mod server_start_and_stop;
mod session_renewal;
mod session_tokens;
mod setting_ranges;
mod several_instances_in_one_process;
mod sign_in;
mod sign_in_flood;
mod sign_in_methods_example;
mod similar_usernames_report;
mod slow_clients;
mod sqlite;
mod testing_module;
mod text_inputs;
mod text_processing_cost;
mod throttle;
mod throttle_before_hash_queue;
mod token_look_ups;
mod user_administration;
mod user_queries;
mod user_self_service;
mod username_and_password_rules;
mod websocket_handshake;
mod websocket_limits;
mod websocket_protocol;
mod websocket_subscriptions;
