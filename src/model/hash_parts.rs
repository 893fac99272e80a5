//! The parts of a password hash: the algorithm and its parameters, the salt, and the output.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

pub(crate) const MAX_ARGON2_ITERATIONS: u32 = 16;
/// The maximum parallelism of Argon2 and scrypt.
pub(crate) const MAX_PARALLELISM: u32 = 16;
/// The maximum product of the memory in KiB and the iterations of an imported Argon2 hash. A stored hash can exceed the
/// product, because the settings permit higher costs.
#[cfg(any(test, feature = "server"))]
const MAX_IMPORTED_ARGON2_WORK: u64 = 1 << 21;
const MAX_BCRYPT_COST: u32 = 14;
const MAX_PBKDF2_ITERATIONS: u32 = 2_000_000;
/// scrypt uses (p + 1)·r·128 bytes in addition to the memory that the configuration limits. This limit on r keeps the
/// additional memory small.
const MAX_SCRYPT_BLOCK_SIZE: u32 = 64;
/// The maximum product N·r·p of scrypt, which determines the time.
const MAX_SCRYPT_WORK: u64 = 1 << 23;

/// The reason why a hash is refused. The text does not contain the hash.
pub(crate) type HashRefusal = Cow<'static, str>;

pub(super) const MALFORMED: HashRefusal = Cow::Borrowed("it is malformed");
pub(super) const TOO_COSTLY: HashRefusal = Cow::Borrowed("its verification would take too long");

/// The parts of a password hash.
#[derive(Clone)]
pub(crate) struct HashParts {
    pub(crate) algorithm: HashAlgorithm,
    pub(crate) salt: Vec<u8>,
    pub(crate) output: Vec<u8>,
}

/// A hash algorithm and its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashAlgorithm {
    Argon2(Argon2),
    Bcrypt {
        cost: u32,
        key: BcryptKey,
    },
    Scrypt {
        log_n: u8,
        r: u32,
        p: u32,
    },
    Pbkdf2 {
        digest: Digest,
        iterations: u32,
    },
    /// One computation of a fast hash function.
    Fast {
        digest: Digest,
        salting: Salting,
    },
}

/// The parameters of Argon2 ([RFC 9106](https://www.rfc-editor.org/rfc/rfc9106)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Argon2 {
    pub(crate) variant: Variant,
    pub(crate) version: Version,
    pub(crate) memory_kib: u32,
    pub(crate) iterations: u32,
    pub(crate) parallelism: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    D,
    I,
    Id,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V16,
    V19,
}

/// The key that bcrypt gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BcryptKey {
    /// The password. bcrypt ignores all bytes after the 72nd.
    Password,
    /// The SHA-256 of the password in hexadecimal digits (Django).
    Sha256Hex,
    /// The SHA-256 of the password in base64 (the first version of passlib's format).
    Sha256Base64,
    /// The HMAC-SHA-256 of the password in base64. The key of the HMAC is the salt in base64 (passlib).
    HmacSha256Base64,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Digest {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

/// The use of the salt by [`HashAlgorithm::Fast`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Salting {
    /// The salt is the key of an HMAC (Werkzeug).
    Hmac,
    /// The salt precedes the password (Django).
    Prefix,
}

impl Digest {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "md5" => Some(Self::Md5),
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Returns the length of the output, in bytes.
    fn length(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl HashAlgorithm {
    /// Returns whether the cost has at least the minimum that [OWASP] recommends. scrypt requires 16 MiB, the minimum
    /// of RFC 7914, because the defaults of Werkzeug and Django are lower than the recommendation.
    ///
    /// [OWASP]: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
    #[cfg(any(test, feature = "server"))]
    pub(crate) fn is_strong(self) -> bool {
        match self {
            Self::Argon2(argon2) => {
                let work = u64::from(argon2.memory_kib) * u64::from(argon2.iterations);
                argon2.memory_kib >= 7168 && work >= 7168 * 5
            }
            Self::Bcrypt { cost, .. } => cost >= 10,
            Self::Scrypt { log_n, r, p } => scrypt_work(log_n, r, p) >= 8 << 14,
            Self::Pbkdf2 { digest, iterations } => match digest {
                Digest::Md5 => false,
                Digest::Sha1 => iterations >= 1_300_000,
                Digest::Sha256 => iterations >= 600_000,
                Digest::Sha512 => iterations >= 210_000,
            },
            Self::Fast { .. } => false,
        }
    }

    /// Returns whether other passwords than `password` can match the same hash, because the algorithm ignores the end
    /// of a long password or repeats a password that contains a zero byte.
    pub(crate) fn is_ambiguous(self, password: &[u8]) -> bool {
        let key = BcryptKey::Password;
        matches!(self, Self::Bcrypt { key: used, .. } if used == key)
            && (password.len() >= 72 || password.contains(&0))
    }

    /// Returns whether an imported hash takes too long to verify.
    #[cfg(any(test, feature = "server"))]
    pub(super) fn exceeds_import_limit(self) -> bool {
        let Self::Argon2(argon2) = self else {
            return false;
        };
        u64::from(argon2.memory_kib) * u64::from(argon2.iterations) > MAX_IMPORTED_ARGON2_WORK
    }

    /// Returns the algorithm if the verification of a hash stays within the limits for time and memory.
    pub(crate) fn within_limits(self, max_memory_kib: u32) -> Result<Self, HashRefusal> {
        let (memory_kib, is_too_costly) = match self {
            Self::Argon2(argon2) => (
                argon2.memory_kib.into(),
                argon2.iterations > MAX_ARGON2_ITERATIONS || argon2.parallelism > MAX_PARALLELISM,
            ),
            Self::Scrypt { r, .. } if r > MAX_SCRYPT_BLOCK_SIZE => return Err(TOO_COSTLY),
            Self::Scrypt { log_n, r, p } => (
                (u64::from(r) << log_n) / 8,
                p > MAX_PARALLELISM || scrypt_work(log_n, r, p) > MAX_SCRYPT_WORK,
            ),
            Self::Bcrypt { cost, .. } => (0, cost > MAX_BCRYPT_COST),
            Self::Pbkdf2 { iterations, .. } => (0, iterations > MAX_PBKDF2_ITERATIONS),
            Self::Fast { .. } => (0, false),
        };
        if memory_kib > max_memory_kib.into() {
            let message = format!(
                "its verification would require {memory_kib} KiB of memory, and \
                 SYMBOLON_MAX_HASH_MEMORY permits {max_memory_kib} KiB"
            );
            return Err(message.into());
        }
        if is_too_costly {
            return Err(TOO_COSTLY);
        }
        Ok(self)
    }
}

/// Returns the product N·r·p. The parameters of a parsed hash cannot overflow the result after
/// [`MAX_SCRYPT_BLOCK_SIZE`] and [`MAX_PARALLELISM`] are checked.
fn scrypt_work(log_n: u8, r: u32, p: u32) -> u64 {
    (u64::from(r) << log_n).saturating_mul(p.into())
}

impl HashParts {
    pub(super) fn new(
        algorithm: HashAlgorithm,
        salt: Vec<u8>,
        output: Vec<u8>,
    ) -> Result<Self, HashRefusal> {
        let (shortest_salt, output_lengths) = match algorithm {
            HashAlgorithm::Argon2(_) => (8, 16..=64),
            HashAlgorithm::Bcrypt { .. } => (16, 23..=23),
            HashAlgorithm::Scrypt { .. } => (1, 16..=64),
            // Keycloak computes 64 bytes with PBKDF2 and SHA-256.
            HashAlgorithm::Pbkdf2 { digest, .. } => (1, digest.length()..=64),
            HashAlgorithm::Fast { digest, .. } => (0, digest.length()..=digest.length()),
        };
        if salt.len() < shortest_salt || !output_lengths.contains(&output.len()) {
            return Err(MALFORMED);
        }
        Ok(Self {
            algorithm,
            salt,
            output,
        })
    }
}

/// Formats the parameters as the beginning of a PHC string.
impl fmt::Display for Argon2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = match self.variant {
            Variant::D => "argon2d",
            Variant::I => "argon2i",
            Variant::Id => "argon2id",
        };
        let version = match self.version {
            Version::V16 => 16,
            Version::V19 => 19,
        };
        let (m, t, p) = (self.memory_kib, self.iterations, self.parallelism);
        write!(f, "${variant}$v={version}$m={m},t={t},p={p}")
    }
}

/// Formats a hash as a PHC string.
pub(super) fn phc(argon2: Argon2, salt: &[u8], output: &[u8]) -> String {
    let [salt, output] = [salt, output].map(|bytes| STANDARD_NO_PAD.encode(bytes));
    format!("{argon2}${salt}${output}")
}
