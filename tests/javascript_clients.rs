//! JavaScript client libraries, the package `@symbolon/client`, and frontends in a browser.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

use crate::support::{Server, node_in, succeed, symbolon, unthrottled};

#[test]
#[ignore = "needs Node.js, which scripts/test installs"]
fn apollo_urql_and_graphql_request_handle_the_error_contract() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let mut suites = node_in("tests/web/clients");
    suites
        .args(["--test", "--test-timeout", "60000"])
        .env("SYMBOLON_URL", &server.base);
    succeed(&mut suites);
}

#[test]
#[ignore = "needs Node.js, which scripts/test installs"]
fn the_client_package_keeps_its_promises() {
    let data = tempfile::tempdir().unwrap();
    // This example has a subscription. The suites register many users.
    let server = Server::embed_example_configured(data.path(), unthrottled);
    let mut suites = in_built_client_package();
    suites
        .args(["node_modules/vitest/vitest.mjs", "run"])
        .env("SYMBOLON_URL", &server.base);
    set_operator(&mut suites, data.path());
    succeed(&mut suites);
}

#[test]
#[ignore = "needs Node.js and Chromium, which scripts/test installs"]
fn the_client_package_works_in_an_application_made_from_its_readme() {
    let origin = free_origin();
    let data = tempfile::tempdir().unwrap();
    let server = Server::configured(data.path(), |command| {
        command.env("SYMBOLON_CORS_ORIGINS", &origin);
    });
    let embed_data = tempfile::tempdir().unwrap();
    let embed = Server::embed_example_configured(embed_data.path(), unthrottled);
    in_built_client_package();
    let mut suite = node_in("tests/web/browser");
    suite
        .args(["--test", "--test-timeout", "180000", "client.mjs"])
        .env("SYMBOLON_URL", &server.base)
        .env("EMBED_URL", &embed.base)
        .env("ORIGIN", &origin);
    succeed(&mut suite);
}

#[test]
#[ignore = "needs Node.js and Chromium, which scripts/test installs"]
fn the_apollo_example_works_in_a_browser_outside_of_the_repository() {
    let origin = free_origin();
    let data = tempfile::tempdir().unwrap();
    let server = Server::configured(data.path(), |command| {
        command
            .env("SYMBOLON_CORS_ORIGINS", &origin)
            .env("SYMBOLON_USER_LIST", "members");
    });
    let mut suite = node_in("tests/web/browser");
    suite
        .args(["--test", "--test-timeout", "180000", "apollo.mjs"])
        .env("SYMBOLON_URL", &server.base)
        .env("ORIGIN", &origin);
    set_operator(&mut suite, data.path());
    succeed(&mut suite);
}

/// Returns an origin at a free port, which the frontend requires.
fn free_origin() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", free.local_addr().unwrap())
}

/// Sets the variables with which a suite runs commands of the operator.
fn set_operator(suite: &mut Command, folder: &Path) {
    let program = symbolon(folder);
    suite
        .env("SYMBOLON_PROGRAM", program.get_program())
        .env("SYMBOLON_FOLDER", folder);
    for (name, value) in program.get_envs() {
        suite.env(name, value.unwrap());
    }
}

/// Builds the client package once, and returns a command in its folder.
fn in_built_client_package() -> Command {
    static BUILD: Once = Once::new();
    let node = node_in("clients/js");
    BUILD.call_once(|| {
        succeed(node_in("clients/js").arg("node_modules/typescript/bin/tsc"));
    });
    node
}
