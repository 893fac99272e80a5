//! `/reset` and `/invite`: the pages of one-time links, for applications without such pages. A user who opens a link
//! chooses a password there. The pages exist only if the public URL of the server is configured.
//!
//! The token of a link is in the fragment of its URL, which browsers do not send. A `GET` request therefore contains
//! no token and changes nothing. All URLs in the pages are relative, so that the routes work below any path.

use poem::endpoint::make_sync;
use poem::http::header;
use poem::web::Html;
use poem::{Endpoint, IntoResponse, Response};

/// Both pages. A line with a comment such as `<!-- reset -->` is only part of a page with this marker.
const TEMPLATE: &str = include_str!("pages/page.html");
const SCRIPT: &str = include_str!("pages/password.js");
const STYLES: &str = include_str!("pages/password.css");

/// Allows only the files of the pages and requests to this server. Scripts cannot insert HTML.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// The purpose of a page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    /// Sets a new password for a user who has forgotten the password.
    Reset,
    /// Sets the first password of an invited user.
    Invite,
}

/// Returns the endpoint of a page. The page links to `./` for the sign-in if the explorer is available there.
pub(super) fn page(purpose: Purpose, has_explorer: bool) -> impl Endpoint<Output = Response> {
    let html = html(purpose, has_explorer);
    make_sync(move |_| {
        Html(html.clone())
            .with_header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)
            .with_header(header::REFERRER_POLICY, "no-referrer")
            .with_header(header::CACHE_CONTROL, "no-store")
            .into_response()
    })
}

/// Returns the endpoint of the script of both pages.
pub(super) fn script() -> impl Endpoint<Output = Response> {
    file(SCRIPT, "text/javascript; charset=utf-8")
}

/// Returns the endpoint of the styles of both pages.
pub(super) fn styles() -> impl Endpoint<Output = Response> {
    file(STYLES, "text/css; charset=utf-8")
}

/// Returns the endpoint of a file. Its name is the same in all versions, so a browser may not use an old copy.
fn file(content: &'static str, media_type: &'static str) -> impl Endpoint<Output = Response> {
    make_sync(move |_| {
        content
            .with_content_type(media_type)
            .with_header(header::CACHE_CONTROL, "no-cache")
            .into_response()
    })
}

/// Returns the lines of the template that have no marker or a marker of this page.
fn html(purpose: Purpose, has_explorer: bool) -> String {
    let markers = [
        ("<!-- reset -->", purpose == Purpose::Reset),
        ("<!-- invite -->", purpose == Purpose::Invite),
        ("<!-- explorer -->", has_explorer),
    ];
    let mut html = String::with_capacity(TEMPLATE.len());
    for line in TEMPLATE.lines() {
        let marker = markers.iter().find(|(marker, _)| line.ends_with(marker));
        let (text, is_included) = marker.map_or((line, true), |(marker, is_included)| {
            (line.trim_end_matches(marker), *is_included)
        });
        if is_included {
            html.push_str(text);
            html.push('\n');
        }
    }
    html
}
