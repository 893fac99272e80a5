//! The verdicts on documents, and the positions of errors, compared with those of graphql-js.

use crate::support::{Server, node_in, succeed, unthrottled};

#[test]
#[ignore = "needs Node.js, which scripts/test installs"]
fn documents_are_judged_as_by_graphql_js() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command| {
        // The documents contain many mutations, which are not meant to succeed.
        command.env("SYMBOLON_REGISTRATION", "off");
        unthrottled(command);
    });
    let url = format!("{}/graphql", server.base);
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");
    succeed(node_in("tests/web").args(["graphql-js-comparison.mjs", &url, schema]));
}
