//! TLS between Symbolon and PostgreSQL.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{connect, number, on};
use crate::support::{Instance, Postgres, finish, succeed};

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
    // The variables of libpq have the same meaning as the parameters.
    let (good, bad) = (("PGSSLROOTCERT", &*ca), ("PGSSLROOTCERT", &*other));
    for (parameters, variables, is_right) in [
        ("", &[("PGSSLMODE", "require"), bad][..], false),
        ("", &[("PGSSLMODE", "require"), good], true),
        ("?sslmode=require", &[bad], false),
        ("", &[("PGSSLROOTCERT", "system")], false),
        ("?sslmode=require", &[("PGSSLROOTCERT", "")], true),
        ("", &[("PGSSLMODE", "requires")], false),
        ("", &[("PGCHANNELBINDING", "require")], true),
    ] {
        let mut migrate = on(&format!("{url}{parameters}"), &folder);
        let (code, _, error) = finish(migrate.envs(variables.iter().copied()).arg("migrate"));
        let expected = Some(i32::from(!is_right));
        assert_eq!(code, expected, "{parameters} {variables:?}: {error}");
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
