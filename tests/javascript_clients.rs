//! JavaScript client libraries, and a frontend in a browser.

use std::net::TcpListener;

use crate::support::{Server, node_in, succeed};

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
#[ignore = "needs Node.js and Chromium, which scripts/test installs"]
fn the_apollo_example_signs_in_again_in_a_browser() {
    // A free port, which the frontend requires.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", free.local_addr().unwrap());
    drop(free);
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
    succeed(&mut suite);
}
