//! Imports of the exports of other systems, which `scripts/import-exports` created.

use std::path::Path;

use sea_orm::EntityTrait;
use tempfile::TempDir;

use crate::cli_user_import::{import, signs_in, users, with_database};
use crate::support::{Server, database_in, succeed, symbolon};

fn export(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exports");
    folder.join(name).display().to_string()
}

/// Returns the stored hashes by username.
async fn hashes(folder: &TempDir) -> Vec<(String, String)> {
    let database = database_in(folder.path()).await;
    let rows = entity::user::Entity::find().all(&database).await.unwrap();
    database.close().await.unwrap();
    let hashes = rows
        .into_iter()
        .map(|row| (row.username, row.password_hash));
    hashes.collect()
}

#[tokio::test]
async fn the_users_of_other_systems_sign_in_and_get_new_hashes() {
    let folder = with_database();
    for (name, summary) in [
        (
            "django.csv",
            "9 added (1 without a password, 6 with a weak hash, which is wrapped in Argon2id)",
        ),
        (
            "werkzeug.csv",
            "8 added (7 with a weak hash, which is wrapped in Argon2id)",
        ),
        (
            "passlib.csv",
            "8 added (7 with a weak hash, which is wrapped in Argon2id)",
        ),
        ("laravel.csv", "2 added"),
        (
            "keycloak.json",
            "5 added (1 disabled, 1 without a password, 2 with a weak hash, which is wrapped in Argon2id)",
        ),
    ] {
        let (code, output, error) = import(folder.path(), &[&export(name)]);
        let expected = format!("{summary}, 0 skipped because they exist, 0 refused\n");
        assert_eq!((code, output), (Some(0), expected), "{name}: {error}");
    }
    let stored = hashes(&folder).await;
    assert!(stored.iter().all(|(_, hash)| {
        let is_strong = hash.starts_with("imported:") || hash == "!";
        is_strong || hash.starts_with("wrapped:$argon2id$")
    }));
    // The output of a weak hash is not stored.
    let old = &stored
        .iter()
        .find(|(name, _)| name == "werkzeug_old_md5")
        .unwrap()
        .1;
    assert!(
        old.ends_with(&format!(":md5$Zx81Ab9q${}", "A".repeat(32))),
        "{old}"
    );
    let listed = users(folder.path());
    assert_eq!(listed[0]["createdAt"], "2021-03-04T05:06:07.123Z");
    let server = Server::start(folder.path());
    for (name, hash) in &stored {
        assert!(!signs_in(&server, name, "wrong").await, "{name}");
        let has_password = hash != "!";
        for _ in 0..2 {
            assert_eq!(
                signs_in(&server, name, "correct horse").await,
                has_password,
                "{name}"
            );
        }
        assert!(!signs_in(&server, name, "wrong").await, "{name}");
    }
    drop(server);
    let is_new = |(_, hash): &(String, String)| hash == "!" || hash.starts_with("$argon2id$");
    assert!(hashes(&folder).await.iter().all(is_new));
    succeed(symbolon(folder.path()).args(["user", "enable", "keycloak_disabled"]));
    let mut link = symbolon(folder.path());
    link.env("SYMBOLON_PUBLIC_URL", "https://login.example.org");
    succeed(link.args(["user", "reset-link", "keycloak_disabled"]));
}
