//! Where people meet it: client libraries, and a frontend in a browser.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Server, finish};

fn folder(below_root: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below_root)
}

/// Runs a program to its end, which must be a success.
fn succeed(command: &mut Command) {
    let (code, output, error) = finish(command);
    assert_eq!(code, Some(0), "{command:?}: {output}{error}");
}

/// Installs what the lockfile in `folder` names, unless it is there.
fn install(folder: &Path) {
    if !folder.join("node_modules").exists() {
        succeed(Command::new("npm").arg("ci").current_dir(folder));
    }
}

#[test]
#[ignore = "needs Node.js, which scripts/test installs"]
fn apollo_urql_and_graphql_request_see_the_error_contract() {
    let clients = folder("tests/web/clients");
    install(&clients);
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let mut suites = Command::new("node");
    suites
        .args(["--test", "--test-timeout", "60000"])
        .env("SYMBOLON_URL", &server.base);
    succeed(suites.current_dir(clients));
}

#[test]
#[ignore = "needs Node.js and Chromium, which scripts/test installs"]
fn the_apollo_example_signs_in_again_in_a_browser() {
    let browser = folder("tests/web/browser");
    install(&browser);
    // Free a moment ago: the frontend takes it, and refuses any other.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let data = tempfile::tempdir().unwrap();
    let server = Server::configured(data.path(), |command| {
        command.env("SYMBOLON_CORS_ORIGINS", &origin);
    });
    let mut suite = Command::new("node");
    suite
        .args(["--test", "--test-timeout", "180000", "apollo.mjs"])
        .env("SYMBOLON_URL", &server.base)
        .env("ORIGIN", &origin);
    succeed(suite.current_dir(browser));
}
