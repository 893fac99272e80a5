//! The longest texts that are read from a client, in bytes.
//!
//! PRECIS and Unicode normalization cost more than their input is long: `precis-core` 0.2 walks the whole
//! text for each U+30FB or U+0660 in it, and normalization sorts runs of combining marks. So each text is
//! compared with its limit here before anything else is done with it. A character has at most four bytes in
//! UTF-8; no valid text is refused for its bytes alone, except one whose decomposed form is longer than that.
//!
//! A whole document, body or request head has limits of its own, in the configuration.

/// A username of 64 characters.
pub(crate) const USERNAME: usize = 4 * 64;

/// A password of 128 characters. A longer attempt is not prepared, and is hashed as it was sent, which takes
/// time in proportion to its length.
pub(crate) const PASSWORD: usize = 4 * 128;

/// An e-mail address (RFC 5321, section 4.5.3.1.3, without the angle brackets).
pub(crate) const EMAIL: usize = 254;

/// The name of an access token: 64 characters.
pub(crate) const TOKEN_NAME: usize = 4 * 64;

/// One scope. Its characters are ASCII.
pub(crate) const SCOPE: usize = 64;

/// The number of scopes of a token, which are sorted.
pub(crate) const SCOPES: usize = 32;

/// An id: the digits and the sign of a 64-bit number.
pub(crate) const ID: usize = 20;

/// The cursor of a connection: base64 of a word and an id.
pub(crate) const CURSOR: usize = 64;

/// The value of an `Authorization` header, and of the field of that name that a WebSocket sends. Basic
/// credentials of the longest username and password take 1,040 bytes; the rest is for passwords of other
/// systems, which may have been longer.
pub(crate) const AUTHORIZATION: usize = 8192;

/// The id that a client or a proxy gives a request.
pub(crate) const REQUEST_ID: usize = 64;
