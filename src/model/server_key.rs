//! The server key, from which session tokens are derived.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit};
use sha2::Sha256;

use crate::error::Error;
use crate::model::random_bytes::random_bytes;

/// The secret key from which all session tokens are derived.
#[derive(Clone)]
pub(crate) struct ServerKey(pub(super) [u8; 32]);

impl ServerKey {
    pub(crate) fn random() -> Result<Self, Error> {
        random_bytes().map(Self)
    }

    /// Parses a key of 32 bytes in standard base64. Ignores surrounding white space.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.trim()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Encodes the key in base64, for the key file.
    pub(crate) fn reveal(&self) -> String {
        STANDARD.encode(self.0)
    }

    pub(super) fn mac(&self) -> Hmac<Sha256> {
        // HMAC pads a key with zeros to the block size. The constructor for padded keys cannot fail.
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        block[..32].copy_from_slice(&self.0);
        Hmac::new(&block)
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKey(redacted)")
    }
}
