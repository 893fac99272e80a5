//! The database files contain no secrets.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::{PASSWORD, Server};

#[tokio::test]
async fn the_database_files_contain_no_token_and_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::on_sqlite(folder.path());
    server.register("ada").await;
    let token = server.sign_in("ada").await;
    let bytes = STANDARD.decode(&token).unwrap();
    let key = fs::read_to_string(folder.path().join("symbolon.db.key")).unwrap();
    let key_bytes = STANDARD.decode(key.trim()).unwrap();
    for stopped in [false, true] {
        if stopped {
            server.process.signal("TERM");
            assert!(server.process.wait(Duration::from_secs(10)).success());
        }
        let files = files(folder.path());
        // The search finds text that is stored.
        assert!(contains(&files, b"ada") && contains(&files, b"$argon2id$"));
        for secret in [
            token.as_bytes(),
            &bytes,
            PASSWORD.as_bytes(),
            key.trim().as_bytes(),
            &key_bytes,
        ] {
            assert!(!contains(&files, secret));
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

fn files(folder: &Path) -> Vec<u8> {
    ["symbolon.db", "symbolon.db-wal"]
        .iter()
        .flat_map(|name| fs::read(folder.join(name)).unwrap_or_default())
        .collect()
}
