//! What others say a GraphQL server has to do over HTTP: the public audit of graphql-http.

use std::path::Path;
use std::process::Command;

use crate::support::{Server, finish};

#[test]
#[ignore = "needs Node.js, which scripts/test installs"]
fn the_public_audit_passes() {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web");
    // npm writes this file last of all: an install that was cut off is done again.
    if !web.join("node_modules/.package-lock.json").exists() {
        let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        let (code, output, errors) = finish(Command::new("npm").args(install).current_dir(&web));
        assert_eq!(code, Some(0), "{output}{errors}");
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let url = format!("{}/graphql", server.base.trim_end_matches('/'));
    let audit = finish(
        Command::new("node")
            .args(["audit.mjs", &url])
            .current_dir(&web),
    );
    let (code, output, errors) = audit;
    assert_eq!(code, Some(0), "{output}{errors}");
    assert_eq!(output.lines().last(), Some("61 passed, 0 failed"));
}
