//! The page that explores Symbolon's API: GraphiQL with a sign-in bar. The page loads no files from other servers.
//!
//! Serve the page at `/`, its assets below `/explorer/`, and the API at `/graphql`. All URLs in the page are relative, so
//! that these paths can be below a common prefix.

/// The HTML of the page.
pub const PAGE: &str = include_str!(concat!(env!("OUT_DIR"), "/page.html"));

/// The `Content-Security-Policy` of the page, which allows only the page's own files. The digest allows a style that
/// GraphiQL's editor inserts.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self' 'sha256-nzTgYzXYDNe6BAHiiI7NNlfK8n/auuOAhh2t92YvuXo='; connect-src 'self'; \
    img-src 'self' data:; font-src 'self' data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// A file that the page loads. The name of a file changes when its content changes.
#[derive(Debug)]
pub struct Asset {
    /// The path below `/explorer/`.
    pub name: &'static str,
    /// The value of the `Content-Type` header.
    pub media_type: &'static str,
    /// The content, compressed with gzip.
    pub gzip: &'static [u8],
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Returns the asset with this name, if there is one.
#[must_use]
pub fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}
