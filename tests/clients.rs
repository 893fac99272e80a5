//! Client libraries against the program.

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
