//! The pages of one-time links, `/reset` and `/invite`.

use poem::Route;
use reqwest::Method;

use crate::support::{Answer, TestApp};

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
