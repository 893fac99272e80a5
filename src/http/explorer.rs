//! `/` and `/explorer/`: the API explorer, a page with which users try out the API in a browser.

use std::io::Read;

use explorer::{Asset, CONTENT_SECURITY_POLICY};
use flate2::read::GzDecoder;
use poem::endpoint::make_sync;
use poem::http::{HeaderMap, header};
use poem::web::{Html, Path, Redirect};
use poem::{Endpoint, IntoResponse, Response, error::NotFoundError, handler};

use crate::error::Error;

/// Returns the endpoint of the page of the API explorer. The URLs in the page are relative, so the path of the page must end
/// with a slash. If the application has mounted the routes at `/accounts`, redirects `/accounts` to `/accounts/`.
pub(super) fn page(has_registration: bool) -> impl Endpoint<Output = Response> {
    let html = explorer::page(has_registration);
    make_sync(move |request| {
        let uri = request.original_uri();
        if let Some((_, name)) = uri.path().rsplit_once('/')
            && !name.is_empty()
        {
            // A proxy may have removed a part of the path, so the address is relative.
            let query = uri.query().map(|query| format!("?{query}"));
            let address = format!("./{name}/{}", query.unwrap_or_default());
            return Redirect::temporary(address).into_response();
        }
        Html(html.clone())
            .with_header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)
            .with_header(header::REFERRER_POLICY, "no-referrer")
            .with_header(header::CACHE_CONTROL, "no-cache")
            .into_response()
    })
}

/// Returns a file that the page loads. The name of the file contains a hash of the content, so browsers
/// can cache the file indefinitely.
#[handler]
pub(super) fn asset(Path(name): Path<String>, headers: &HeaderMap) -> poem::Result<Response> {
    let Asset {
        media_type, gzip, ..
    } = explorer::asset(&name).ok_or(NotFoundError)?;
    let accepted = headers.get(header::ACCEPT_ENCODING);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    let response = if accepted.is_some_and(|encodings| encodings.contains("gzip")) {
        gzip.with_header(header::CONTENT_ENCODING, "gzip")
            .into_response()
    } else {
        let mut decoded = Vec::new();
        GzDecoder::new(*gzip)
            .read_to_end(&mut decoded)
            .map_err(Error::internal)?;
        decoded.into_response()
    };
    Ok(response
        .with_content_type(*media_type)
        .with_header(header::CACHE_CONTROL, "public, max-age=31536000, immutable")
        .with_header(header::VARY, "Accept-Encoding")
        .into_response())
}
