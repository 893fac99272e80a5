//! The page that explores Symbolon's API: GraphiQL behind a bar to sign in with, and nothing from
//! anywhere else.
//!
//! The page expects to be served at `/`, its assets below `/explorer/`, and the API at `/graphql`.

/// The page itself, in HTML.
pub const PAGE: &str = include_str!(concat!(env!("OUT_DIR"), "/page.html"));

/// What the page may load and do, as a `Content-Security-Policy`: its own files only. The digest is
/// that of the one style that GraphiQL's editor inserts by itself.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self' 'sha256-nzTgYzXYDNe6BAHiiI7NNlfK8n/auuOAhh2t92YvuXo='; connect-src 'self'; \
    img-src 'self' data:; font-src 'self' data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// A file that the page loads. Its name changes with its content.
#[derive(Debug)]
pub struct Asset {
    /// Its name below `/explorer/`.
    pub name: &'static str,
    /// What it is.
    pub media_type: &'static str,
    /// Its content, compressed with gzip.
    pub gzip: &'static [u8],
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The file of this name.
#[must_use]
pub fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}
