//! Connections to PostgreSQL: transactions of cancelled requests, locks, and TLS.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement, TransactionTrait};
use symbolon::{Config, Registration, Role, Symbolon};
use tempfile::TempDir;

use crate::support::{
    Instance, PASSWORD, Postgres, common_key, eventually, finish, shared_postgres, succeed,
    unconfigured_symbolon,
};

/// Returns the program with this database, in a folder of its own.
pub fn on(url: &str, folder: &TempDir) -> Command {
    let mut command = unconfigured_symbolon(folder.path());
    command
        .env("DATABASE_URL", url)
        .env("SYMBOLON_SECRET_KEY_FILE", common_key());
    command
}

pub async fn connect(url: &str) -> DatabaseConnection {
    Database::connect(url).await.unwrap()
}

pub async fn number(database: &DatabaseConnection, sql: &str) -> i64 {
    let fetch = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(fetch).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn a_cancelled_request_leaves_no_open_transaction() {
    let url = shared_postgres().create();
    let mut config = Config::default();
    config.database_url = url.clone().into();
    config.secret_key_file = Some(common_key().to_owned());
    config.argon2_memory = 8;
    config.argon2_iterations = 1;
    config.postgres.acquire_timeout = 20_000;
    // The statement timeout would end the transaction.
    config.postgres.statement_timeout = 600_000;
    let symbolon = Symbolon::open(config).await.unwrap();
    let operator = symbolon.operator();
    let registration = |number: u32| Registration {
        username: format!("u{number}"),
        email: None,
        password: PASSWORD.to_owned(),
    };
    let user = operator
        .add_user(&registration(0), Role::User)
        .await
        .unwrap();
    let database = connect(&url).await;
    for micros in (0..3000).step_by(10) {
        let work = operator.revoke_tokens(user.id);
        let _ = tokio::time::timeout(Duration::from_micros(micros), work).await;
        eventually("no transaction is open", async || {
            let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND state LIKE 'idle in transaction%'";
            (number(&database, idle).await == 0).then_some(())
        })
        .await;
    }
    for number in 1..20 {
        operator
            .add_user(&registration(number), Role::User)
            .await
            .unwrap();
    }
    assert_eq!(
        number(&database, "SELECT count(*) FROM symbolon_user").await,
        20
    );
    database.close().await.unwrap();
    symbolon.close().await.unwrap();
}

/// Runs openssl in a folder.
fn openssl(folder: &TempDir, arguments: &str) {
    let mut openssl = Command::new("openssl");
    openssl
        .args(arguments.split(' '))
        .current_dir(folder.path());
    succeed(openssl.stderr(Stdio::null()));
}

#[tokio::test]
#[ignore = "needs PostgreSQL and openssl, which scripts/test installs"]
async fn the_tls_certificate_of_the_server_is_verified() {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
    for name in ["ca", "other"] {
        let authority = format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.crt -subj /CN={name} -days 2"
        );
        openssl(&files, &authority);
    }
    for step in [
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server",
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
            -out server.crt -extfile names",
    ] {
        let words: Vec<_> = step.split_whitespace().collect();
        openssl(&files, &words.join(" "));
    }
    let path = |name: &str| files.path().join(name).display().to_string();
    let server = Postgres::with_files(
        &["ssl=on"],
        &[
            ("ssl_cert_file", &files.path().join("server.crt")),
            ("ssl_key_file", &files.path().join("server.key")),
        ],
    );
    let url = server.create();
    let named = url.replace("127.0.0.1", "localhost");
    let (ca, other) = (path("ca.crt"), path("other.crt"));
    let folder = tempfile::tempdir().unwrap();
    for (url, is_right) in [
        (format!("{url}?sslmode=verify-full&sslrootcert={ca}"), true),
        (
            format!("{url}?sslmode=verify-full&sslrootcert={other}"),
            false,
        ),
        // No well-known authority has signed the certificate.
        (format!("{url}?sslmode=verify-full"), false),
        (
            format!("{named}?sslmode=verify-full&sslrootcert={ca}"),
            false,
        ),
        (format!("{named}?sslmode=verify-ca&sslrootcert={ca}"), true),
        (format!("{url}?sslmode=require"), true),
    ] {
        let (code, _, error) = finish(on(&url, &folder).arg("migrate"));
        assert_eq!(code, Some(i32::from(!is_right)), "{url}: {error}");
    }
    let instance = Instance::start(&format!("{url}?sslmode=verify-full&sslrootcert={ca}"));
    instance.register("ada").await;
    assert!(instance.accepts(&instance.sign_in("ada").await).await);
    let database = connect(&url).await;
    let open = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
        WHERE application_name = 'symbolon' AND NOT ssl";
    assert_eq!(number(&database, open).await, 0);
    database.close().await.unwrap();
}

#[tokio::test]
#[ignore = "needs PostgreSQL, which scripts/test installs"]
async fn a_long_row_lock_is_answered_with_503_and_does_not_block_others() {
    let url = shared_postgres().create();
    let one = Instance::configured(&url, |command| {
        command.env("SYMBOLON_POSTGRES_STATEMENT_TIMEOUT", "500");
    });
    one.register("ada").await;
    one.register("bob").await;
    let (ada, bob) = (one.sign_in("ada").await, one.sign_in("bob").await);
    let database = connect(&url).await;
    let holding = database.begin().await.unwrap();
    holding
        .execute_unprepared("SELECT * FROM symbolon_user WHERE username = 'ada' FOR UPDATE")
        .await
        .unwrap();
    let started = Instant::now();
    let (revoked, others) = tokio::join!(one.mutate(&ada, "revokeToken"), async {
        for _ in 0..10 {
            assert!(one.accepts(&ada).await && one.accepts(&bob).await);
        }
        one.mutate(&bob, "revokeToken").await
    });
    assert_eq!(others.at("/data/revokeToken"), true);
    assert_eq!(revoked.error(), ("SERVICE_UNAVAILABLE", ""));
    // Before the statement timeout of 10 s.
    let waited = started.elapsed();
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    holding.rollback().await.unwrap();
    let revoked = one.mutate(&ada, "revokeToken").await;
    assert_eq!(revoked.at("/data/revokeToken"), true);
    database.close().await.unwrap();
}
