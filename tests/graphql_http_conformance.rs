//! The conformance of GraphQL over HTTP, checked by the audit of graphql-http.

use crate::support::{Server, node_in, succeed};

#[test]
#[ignore = "needs Node.js, which scripts/test installs"]
fn the_graphql_over_http_audit_passes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let url = format!("{}/graphql", server.base);
    let output = succeed(node_in("tests/web").args(["graphql-http-audit.mjs", &url]));
    assert_eq!(output.lines().last(), Some("61 passed, 0 failed"));
}
