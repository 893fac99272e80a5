//! `/` and `/explorer/`: the page that explores the API.

use std::io::Read;

use explorer::{Asset, CONTENT_SECURITY_POLICY, PAGE};
use flate2::read::GzDecoder;
use poem::http::{HeaderMap, header};
use poem::web::{Html, Path};
use poem::{IntoResponse, Response, error::NotFoundError, handler};

use crate::error::Error;

/// The page.
#[handler]
pub(super) fn page() -> impl IntoResponse {
    Html(PAGE)
        .with_header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)
        .with_header(header::REFERRER_POLICY, "no-referrer")
        .with_header(header::CACHE_CONTROL, "no-cache")
}

/// A file of the page; its name changes with its content, so browsers may keep it.
#[handler]
pub(super) fn asset(Path(name): Path<String>, headers: &HeaderMap) -> poem::Result<Response> {
    let Asset {
        media_type, gzip, ..
    } = explorer::asset(&name).ok_or(NotFoundError)?;
    let accepted = headers.get(header::ACCEPT_ENCODING);
    let accepted = accepted
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let compressed = accepted.contains("gzip");
    let mut response = if compressed {
        gzip.with_header(header::CONTENT_ENCODING, "gzip")
            .into_response()
    } else {
        let mut plain = Vec::new();
        let decoded = GzDecoder::new(*gzip).read_to_end(&mut plain);
        decoded.map_err(Error::internal)?;
        plain.into_response()
    };
    response = response
        .with_content_type(*media_type)
        .with_header(header::CACHE_CONTROL, "public, max-age=31536000, immutable")
        .with_header(header::VARY, "Accept-Encoding")
        .into_response();
    Ok(response)
}
