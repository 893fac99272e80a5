//! The explorer, the page at `/`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use async_graphql::{EmptyMutation, EmptySubscription, MergedObject};
use reqwest::Method;
use symbolon::graphql::{Omit, OmittedFields};
use symbolon::{Mutation, Query, Symbolon};

use crate::support::{
    Answer, PASSWORD, Server, TestApp, finish_with, node_in, succeed, symbolon, unthrottled,
};

/// Returns the addresses that the page refers to.
fn addresses(page: &str) -> Vec<&str> {
    let pieces = page.split('"');
    pieces
        .filter(|piece| piece.starts_with("explorer/"))
        .collect()
}

#[tokio::test]
async fn the_content_security_policy_allows_own_files_only() {
    let app = TestApp::start().await;
    let page = Answer::of(app.request(Method::GET, "/")).await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert_eq!(page.header("cache-control"), "no-cache");
    let policy = page.header("content-security-policy");
    for rule in [
        "default-src 'none'",
        "script-src 'self' 'sha256-",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(
        !policy.contains("unsafe") && !policy.contains("http"),
        "{policy}"
    );
    let text = page.body.as_str().unwrap();
    assert!(
        !text.contains("http://") && !text.contains("https://"),
        "{text}"
    );
    assert!(text.contains("id=\"sign-in\""), "{text}");
}

#[tokio::test]
async fn assets_are_compressed_and_cacheable() {
    let app = TestApp::start().await;
    let page = Answer::of(app.request(Method::GET, "/")).await;
    let page = page.body.as_str().unwrap();
    assert!(addresses(page).len() >= 2, "{page}");
    for address in addresses(page) {
        let path = format!("/{address}");
        let plain = Answer::of(app.request(Method::GET, &path)).await;
        assert_eq!(plain.status, 200, "{address}");
        assert_eq!(plain.header("content-encoding"), "");
        assert!(
            plain.header("cache-control").contains("immutable"),
            "{address}"
        );
        assert_eq!(plain.header("vary"), "Accept-Encoding");
        let gzip = app
            .request(Method::GET, &path)
            .header("accept-encoding", "gzip, br");
        let gzip = gzip.send().await.unwrap();
        assert_eq!(gzip.headers()["content-encoding"], "gzip", "{address}");
        let compressed = gzip.bytes().await.unwrap();
        assert!(compressed.starts_with(&[0x1f, 0x8b]), "{address}");
        let text = plain
            .body
            .as_str()
            .map_or_else(|| plain.body.to_string(), str::to_owned);
        assert!(compressed.len() < text.len(), "{address}");
    }
    let unknown = Answer::of(app.request(Method::GET, "/explorer/nothing.js")).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn the_explorer_can_be_disabled() {
    let app = TestApp::configured(|config| config.http.explorer = false).await;
    assert_eq!(Answer::of(app.request(Method::GET, "/")).await.status, 404);
    assert_eq!(app.register("ada").await, 1);
}

struct Registration;

impl OmittedFields for Registration {
    const NAMES: &'static [&'static str] = &["createUser"];
}

#[derive(MergedObject)]
struct WithoutRegistration(Omit<Mutation, Registration>);

#[tokio::test]
async fn the_page_has_a_form_for_registration_only_if_users_can_register() {
    let open = TestApp::start().await;
    let closed = TestApp::configured(|config| config.registration = false).await;
    let omitted = |symbolon: &Symbolon| {
        let mutation = WithoutRegistration(Omit::new(Mutation));
        symbolon.routes(symbolon.schema(Query, mutation, EmptySubscription).finish())
    };
    let omitted = TestApp::with_routes(|_| {}, omitted).await;
    let read_only = |symbolon: &Symbolon| {
        let schema = symbolon.schema(Query, EmptyMutation, EmptySubscription);
        symbolon.routes(schema.finish())
    };
    let read_only = TestApp::with_routes(|_| {}, read_only).await;
    for (app, expected) in [
        (open, true),
        (closed, false),
        (omitted, false),
        (read_only, false),
    ] {
        let page = Answer::of(app.request(Method::GET, "/")).await;
        let page = page.body.as_str().unwrap();
        assert!(page.contains("id=\"sign-in\""), "{page}");
        assert!(!page.contains("<!-- registration -->"), "{page}");
        for part in ["id=\"register\"", "id=\"registration\"", "name=\"email\""] {
            assert_eq!(page.contains(part), expected, "{part}: {page}");
        }
        assert_eq!(
            page.matches("<dialog").count(),
            page.matches("</dialog>").count()
        );
    }
}

/// Runs the browser test of the explorer against a server. `root` is an administrator with the common password.
pub fn run_browser_test(base: &str) {
    let mut node = node_in("tests/web/browser");
    node.arg("explorer.mjs")
        .env("SYMBOLON_URL", base)
        .env("ADMIN", "root")
        .env("ADMIN_PASSWORD", PASSWORD);
    let printed = succeed(&mut node);
    let script = include_str!("web/browser/explorer.mjs");
    let tests = script.matches("\n  await test('").count();
    let expected = format!("{tests} passed, 0 failed");
    assert!(printed.contains(&expected), "{expected}: {printed}");
}

#[test]
#[ignore = "needs Node.js and Chromium, which scripts/test installs"]
fn the_explorer_works_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), unthrottled);
    let mut add = symbolon(folder.path());
    add.args(["user", "add", "root", "--admin"]);
    let (code, _, error) = finish_with(&mut add, PASSWORD);
    assert_eq!(code, Some(0), "{error}");
    run_browser_test(&server.base);
}

#[test]
#[ignore = "builds the server once more, and needs Node.js and Chromium, which scripts/test installs"]
fn a_build_without_npm_is_installed_warns_once_and_has_the_sign_in_bar() {
    let folder = tempfile::tempdir().unwrap();
    // An npm that fails.
    let npm = folder.path().join("npm");
    fs::write(&npm, "#!/bin/sh\necho 'npm error network' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).unwrap();
    // A target folder of its own for the crate, so that its dependencies are not built again.
    let target = folder.path().join("target");
    fs::create_dir_all(target.join("debug")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_symbolon"));
    let parts = [".fingerprint", "build", "deps"].map(|part| program.with_file_name(part));
    let mut copy = Command::new("cp");
    copy.arg("--archive").args(parts).arg(target.join("debug"));
    assert!(copy.status().unwrap().success());
    // Removes the files that npm fetched.
    for build in fs::read_dir(target.join("debug/build")).unwrap() {
        let build = build.unwrap();
        let name = build.file_name().into_string().unwrap();
        if name.starts_with("symbolon-explorer-") {
            fs::remove_dir_all(build.path()).unwrap();
        }
    }
    // The installation reuses the copy, because it has the same profile.
    let mut install = Command::new(env!("CARGO"));
    install
        .args([
            "install",
            "--path",
            ".",
            "--locked",
            "--offline",
            "--debug",
            "--root",
        ])
        .arg(folder.path())
        .arg("--target-dir")
        .arg(&target)
        .env("SYMBOLON_EXPLORER_NPM", &npm)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    // `cargo test` sets these variables. The crate ring is built again if they change, and with it all crates that use it.
    for (name, _) in env::vars()
        .filter(|(name, _)| name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_"))
    {
        install.env_remove(name);
    }
    let build = install.output().unwrap();
    let output = String::from_utf8_lossy(&build.stderr);
    assert!(build.status.success(), "{output}");
    let warnings = output
        .lines()
        .filter(|line| line.starts_with("warning: symbolon-explorer"));
    assert_eq!(warnings.count(), 1, "{output}");
    assert!(output.contains("without GraphiQL"), "{output}");
    let server = Server::from_build(&folder.path().join("bin/symbolon"), folder.path());
    let mut node = node_in("tests/web/browser");
    node.arg("explorer-without-graphiql.mjs");
    let printed = succeed(node.env("SYMBOLON_URL", &server.base));
    assert!(printed.contains("1 passed, 0 failed"), "{printed}");
}
