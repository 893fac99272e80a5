//! The database of a test: SQLite, or a PostgreSQL server of the test process if
//! `SYMBOLON_TEST_DATABASE` is `postgres`.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use sea_orm::{Database, DatabaseConnection};

use super::Postgres;

/// Returns whether tests of both databases run on PostgreSQL.
pub fn on_postgres() -> bool {
    match std::env::var("SYMBOLON_TEST_DATABASE").as_deref() {
        Err(_) | Ok("sqlite") => false,
        Ok("postgres") => true,
        Ok(other) => panic!("SYMBOLON_TEST_DATABASE is sqlite or postgres, not {other}"),
    }
}

/// Fails a test that is not in a module of this name. `scripts/test` runs the tests in modules `sqlite` and
/// `postgres` on that database only, so a test elsewhere would run on the wrong one, or twice.
pub fn require_module(name: &str) {
    let thread = std::thread::current();
    // The test program names the thread of a test after it, except with `--test-threads=1`.
    let test = thread.name().filter(|test| test.contains("::"));
    let is_inside = test.is_none_or(|test| test.split("::").any(|module| module == name));
    assert!(is_inside, "put this test into a module `{name}`");
}

/// Returns the URL of the database that belongs to a folder: the file of this name, or a database of the
/// shared server, which is created at the first call.
pub fn database_url(folder: &Path, file: &str) -> String {
    if on_postgres() {
        SHARED.server.url(&SHARED.database_of(folder))
    } else {
        format!("sqlite://{}", folder.join(file).display())
    }
}

/// Opens a connection to the database of a program that runs in a folder.
pub async fn database_in(folder: &Path) -> DatabaseConnection {
    let url = database_url(folder, "symbolon.db");
    Database::connect(url).await.unwrap()
}

/// Returns the file of the server key that all instances on PostgreSQL share.
pub fn common_key() -> &'static Path {
    &SHARED.key
}

/// Returns the server that tests share unless they stop or reconfigure it.
pub fn shared_postgres() -> &'static Postgres {
    if !on_postgres() {
        require_module("postgres");
    }
    &SHARED.server
}

struct Shared {
    server: Postgres,
    key: PathBuf,
    databases: Mutex<HashMap<PathBuf, String>>,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let server = Postgres::start(&["fsync=off", "full_page_writes=off"]);
    let key = std::env::temp_dir().join(format!("symbolon-test-{}.key", std::process::id()));
    fs::write(&key, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    Shared {
        server,
        key,
        databases: Mutex::default(),
    }
});

impl Shared {
    fn database_of(&self, folder: &Path) -> String {
        let mut databases = self
            .databases
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = databases.get(folder) {
            return name.clone();
        }
        // Drops the databases of removed folders, which take some megabytes each.
        let gone = databases.extract_if(|folder, _| !folder.exists());
        let drop = gone.map(|(_, name)| format!("DROP DATABASE {name} WITH (FORCE)"));
        let mut statements: Vec<_> = drop.collect();
        let name = self.server.new_name();
        statements.push(format!("CREATE DATABASE {name}"));
        self.server.run(&statements);
        databases.insert(folder.to_owned(), name.clone());
        name
    }
}
