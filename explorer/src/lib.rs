//! The page that explores Symbolon's API: GraphiQL with a bar for the sign-in. The page loads no files from other servers.
//!
//! Serve the page at `/`, its assets below `/explorer/`, and the API at `/graphql`. All URLs in the page are relative, so
//! that these paths can be below a common prefix.

/// The HTML of the page. The lines with [`REGISTRATION`] are the form with which users register.
const PAGE: &str = include_str!(concat!(env!("OUT_DIR"), "/page.html"));
const REGISTRATION: &str = "<!-- registration -->";

/// Returns the HTML of the page, with or without a form for the registration of users.
#[must_use]
pub fn page(has_registration: bool) -> String {
    let lines = PAGE.lines();
    lines
        .filter(|line| has_registration || !line.ends_with(REGISTRATION))
        .flat_map(|line| [line.trim_end_matches(REGISTRATION), "\n"])
        .collect()
}

/// The `Content-Security-Policy` of the page, which allows only the page's own files. The digests allow the script in
/// the page, and a style that GraphiQL's editor inserts.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; \
    script-src 'self' 'sha256-FP0hWNmtHmMm+HnRS1pijjE+H7QVUNWbJTbdbzojLt4='; \
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
