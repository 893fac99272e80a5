//! The maximum lengths of texts that clients send, in bytes.
//!
//! PRECIS preparation and Unicode normalization do not take linear time. The rule of PRECIS for a zero width non-joiner
//! reads all marks beside it, and normalization sorts runs of combining marks. Therefore, the length of each text is
//! checked before the text is processed. A character has at most four bytes in UTF-8. Therefore, a text with a valid
//! number of characters exceeds its limit only if the text is in decomposed form.
//!
//! The limits for GraphQL documents, request bodies and request heads are part of the configuration.

/// The maximum length of a username, which has up to 64 characters.
pub(crate) const USERNAME: usize = 4 * 64;

/// The maximum length of a password, which has up to 128 characters. A longer password at a sign-in is hashed, which
/// takes linear time, but not prepared with PRECIS.
pub(crate) const PASSWORD: usize = 4 * 128;

/// The maximum length of an e-mail address (RFC 5321, section 4.5.3.1.3, without the angle brackets).
pub(crate) const EMAIL: usize = 254;

/// The maximum length of the name of an access token or a device, which has up to 64 characters.
pub(crate) const LABEL: usize = 4 * 64;

/// The maximum length of a scope, which consists of ASCII characters.
pub(crate) const SCOPE: usize = 64;

/// The maximum number of scopes of a token.
pub(crate) const SCOPES: usize = 32;

/// The maximum length of an id: the sign and the digits of a 64-bit number.
pub(crate) const ID: usize = 20;

/// The maximum length of a cursor in a GraphQL connection. A cursor is the base64 encoding of `kind:position`.
pub(crate) const CURSOR: usize = 64;

/// The maximum length of an `Authorization` header, and of the field `Authorization` in a WebSocket message. Basic
/// credentials with the longest username and password have 1,040 bytes. Imported passwords can be longer.
pub(crate) const AUTHORIZATION: usize = 8192;

/// The maximum length of a request id that a client or a proxy sends.
pub(crate) const REQUEST_ID: usize = 64;

/// The maximum length of a stored `User-Agent` header. Longer headers are truncated.
pub(crate) const USER_AGENT: usize = 256;

/// The maximum length of the name of a sign-in method, which consists of ASCII characters.
pub(crate) const SIGN_IN_METHOD: usize = 32;
