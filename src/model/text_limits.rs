//! The limits of texts from clients, in bytes.
//!
//! The time of PRECIS and of Unicode normalization is not linear: `precis-core` 0.2 reads the whole text for each
//! U+30FB or U+0660 in it, and normalization sorts runs of combining marks. So the length of each text is checked
//! before the text is processed. A character has at most four bytes in UTF-8. So a text with a valid number of
//! characters does not exceed its limit, unless it is in decomposed form.
//!
//! The configuration limits documents, bodies and request heads.

/// A username of 64 characters.
pub(crate) const USERNAME: usize = 4 * 64;

/// A password of 128 characters. A longer password of a sign-in is hashed without preparation, in linear time.
pub(crate) const PASSWORD: usize = 4 * 128;

/// An e-mail address (RFC 5321, section 4.5.3.1.3, without angle brackets).
pub(crate) const EMAIL: usize = 254;

/// The name of an access token: 64 characters.
pub(crate) const TOKEN_NAME: usize = 4 * 64;

/// A scope, which consists of ASCII characters.
pub(crate) const SCOPE: usize = 64;

/// The number of scopes of a token.
pub(crate) const SCOPES: usize = 32;

/// An id: the sign and the digits of a 64-bit number.
pub(crate) const ID: usize = 20;

/// The cursor of a GraphQL connection: base64 of a word and an id.
pub(crate) const CURSOR: usize = 64;

/// The value of an `Authorization` header, and of the field with this name in a WebSocket message. Basic credentials
/// with the longest username and password have 1,040 bytes. Passwords from other systems may be longer.
pub(crate) const AUTHORIZATION: usize = 8192;

/// The request id that a client or a proxy sends.
pub(crate) const REQUEST_ID: usize = 64;
