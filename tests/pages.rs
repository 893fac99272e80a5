//! The pages of one-time links, `/reset` and `/invite`.

use poem::Route;
use poem::endpoint::make_sync;
use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use symbolon::Config;

use crate::support::{Answer, Server, TestApp, database_in, node_in, succeed, symbolon};

const PAGES: [&str; 2] = ["/reset", "/invite"];

async fn get(app: &TestApp, path: &str) -> Answer {
    Answer::of(app.request(Method::GET, path)).await
}

/// Returns the values of the attributes of a page that refer to files or other pages.
fn references(page: &str) -> Vec<&str> {
    let pieces = page
        .split("href=\"")
        .skip(1)
        .chain(page.split("src=\"").skip(1));
    let values = pieces.map(|piece| piece.split('"').next().unwrap());
    values.collect()
}

#[tokio::test]
async fn the_pages_allow_own_files_only_and_are_not_stored() {
    let app = TestApp::start().await;
    for path in PAGES {
        let page = get(&app, path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        let policy = page.header("content-security-policy");
        let rules: Vec<_> = policy.split("; ").collect();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(rules.contains(&rule), "{rule}: {policy}");
        }
        assert!(
            !policy.contains("unsafe") && !policy.contains("http"),
            "{policy}"
        );

        let text = page.body.as_str().unwrap();
        assert_eq!(text.matches("<h1").count(), 1, "{text}");
        for forbidden in [
            "<style",
            " style=",
            " onclick=",
            "<script>",
            "<!-- reset",
            "//",
        ] {
            assert!(!text.contains(forbidden), "{forbidden}: {text}");
        }
        assert_eq!(
            references(text),
            [
                "data:,",
                "pages/password.css",
                "./",
                "./",
                "pages/password.js"
            ]
        );
    }
    for (file, media_type) in [("js", "text/javascript"), ("css", "text/css")] {
        let file = get(&app, &format!("/pages/password.{file}")).await;
        assert_eq!(file.status, 200);
        let content_type = format!("{media_type}; charset=utf-8");
        assert_eq!(file.header("content-type"), content_type);
        assert_eq!(file.header("cache-control"), "no-cache");
        assert_eq!(file.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn a_page_exists_only_if_links_lead_to_it() {
    let pages = async |app: &TestApp| {
        let mut found = Vec::new();
        for path in PAGES.into_iter().chain(["/pages/password.js"]) {
            found.push(get(app, path).await.status == 200);
        }
        found
    };
    let app = TestApp::configured(|config| config.public_url = None).await;
    assert_eq!(pages(&app).await, [false, false, false]);
    let own = |config: &mut Config| {
        config.reset_page = Some("https://app.example.org/new-password".to_owned());
    };
    let app = TestApp::configured(own).await;
    assert_eq!(pages(&app).await, [false, true, true]);
    // The setting is the page of the server.
    let same = |config: &mut Config| {
        config.public_url = Some("https://login.example.org".to_owned());
        config.reset_page = Some("https://login.example.org/reset".to_owned());
    };
    let app = TestApp::configured(same).await;
    assert_eq!(pages(&app).await, [true, true, true]);
    // An application can have its own page with this name.
    let app = TestApp::with_routes(own, |symbolon| {
        let own_page = make_sync(|_| "own page");
        symbolon.own_routes().at("/reset", own_page)
    });
    assert_eq!(get(&app.await, "/reset").await.body, "own page");
}

#[tokio::test]
async fn the_pages_ignore_the_query_and_the_host() {
    let app = TestApp::start().await;
    for path in PAGES {
        let plain = get(&app, path).await;
        let query = format!("{path}?token=symo_secret&username=%3Cimg%3E");
        let request = app.request(Method::GET, &query);
        let other = Answer::of(request.header("x-forwarded-host", "evil.example")).await;
        assert_eq!(other.status, 200);
        assert_eq!(other.body, plain.body);
    }
}

#[tokio::test]
async fn the_pages_link_to_the_explorer_only_if_it_is_enabled() {
    let app = TestApp::configured(|config| config.http.explorer = false).await;
    for path in PAGES {
        let page = get(&app, path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!references(page.body.as_str().unwrap()).contains(&"./"));
    }
}

#[tokio::test]
async fn the_pages_and_the_explorer_work_below_a_prefix() {
    let nested = |symbolon: &symbolon::Symbolon| Route::new().nest("/id/v1", symbolon.own_routes());
    let app = TestApp::with_routes(|_| {}, nested).await;
    for path in ["reset", "invite", ""] {
        let page = get(&app, &format!("/id/v1/{path}")).await;
        assert_eq!(page.status, 200, "{path}");
        let references = references(page.body.as_str().unwrap());
        for reference in references.iter().filter(|address| **address != "data:,") {
            // A browser resolves a relative URL against the folder of the page.
            let file = get(
                &app,
                &format!("/id/v1/{}", reference.trim_start_matches("./")),
            )
            .await;
            assert_eq!(file.status, 200, "{reference}");
        }
    }
}

#[tokio::test]
async fn a_get_request_with_a_token_does_not_use_the_token() {
    let app = TestApp::configured(|config| {
        config.public_url = Some("https://login.example.org/id/".to_owned());
    })
    .await;
    app.register("ada").await;
    let session = app.sign_in("ada").await;
    let operator = app.operator();
    let user = operator.user("ada").await.unwrap().unwrap();
    let (_, link) = operator.create_reset_link(user.id).await.unwrap();
    let token = link.token();
    let fragment = format!("token={token}&username=ada");
    assert_eq!(
        link.url(),
        format!("https://login.example.org/id/reset#{fragment}")
    );
    for path in PAGES {
        for separator in ["?", "%23"] {
            get(&app, &format!("{path}{separator}{fragment}")).await;
        }
        let head = app.request(Method::HEAD, &format!("{path}?{fragment}"));
        assert_eq!(Answer::of(head).await.status, 200);
    }
    assert!(app.accepts(&session).await);
    let reset = "mutation($t: String!) {
        resetPassword(token: $t, newPassword: \"a new password\") { userErrors { message } } }";
    let answer = app.graphql_with(reset, &json!({ "t": token })).send().await;
    assert_eq!(answer.at("/data/resetPassword/userErrors"), &json!([]));
    assert!(!app.accepts(&session).await);
}

#[tokio::test]
#[ignore = "needs Node.js and Chromium, which scripts/test installs"]
async fn the_pages_work_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command| {
        command.env("SYMBOLON_PUBLIC_URL", "https://login.example.org");
    });
    let link = |arguments: &[&str]| {
        let mut command = symbolon(folder.path());
        command.args(["user", "--json"]).args(arguments);
        let output = succeed(command.env("SYMBOLON_PUBLIC_URL", &server.base));
        let row: Value = serde_json::from_str(&output).unwrap();
        row["url"].as_str().unwrap().to_owned()
    };
    server.register("zoë").await;
    server.register("eve").await;
    let expired = link(&["reset-link", "eve"]);
    let database = database_in(folder.path()).await;
    let expire = "UPDATE symbolon_one_time_token SET expires_at = created_at";
    database.execute_unprepared(expire).await.unwrap();
    database.close().await.unwrap();
    let mut node = node_in("tests/web/browser");
    node.arg("pages.mjs")
        .env("SYMBOLON_URL", &server.base)
        .env("RESET_LINK", link(&["reset-link", "zoë"]))
        .env("INVITE_LINK", link(&["invite", "grace"]))
        .env("EXPIRED_LINK", expired);
    let printed = succeed(&mut node);
    assert!(printed.contains("14 passed, 0 failed"), "{printed}");
    let log = server.log();
    assert!(log.contains("/reset") && !log.contains("symo_"), "{log}");
}
