//! Password hashes as they are stored, and their formats: PHC strings, bcrypt strings, and the format of Werkzeug.

use std::fmt;

use base64::Engine;
use base64::alphabet::BCRYPT;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{NO_PAD, STANDARD_NO_PAD};

/// The maximum memory for the verification of a hash, in KiB, unless new hashes are configured to use more. The limit
/// prevents a row with extreme parameters from exhausting the memory.
pub(crate) const MAX_MEMORY_KIB: u32 = 64 * 1024;
pub(crate) const MAX_ARGON2_ITERATIONS: u32 = 16;
/// The maximum parallelism of Argon2 and scrypt.
pub(crate) const MAX_PARALLELISM: u32 = 16;
const MAX_BCRYPT_COST: u32 = 14;
const MAX_PBKDF2_ITERATIONS: u32 = 2_000_000;
/// scrypt uses (p + 1)·r·128 bytes in addition to the memory that `max_memory_kib` limits. This limit on r keeps the
/// additional memory small.
const MAX_SCRYPT_BLOCK_SIZE: u32 = 64;
const MAX_LENGTH: usize = 512;

const UNKNOWN: &str = "it is not an Argon2, bcrypt, scrypt or PBKDF2 hash in a known format";
const MALFORMED: &str = "it is malformed";
const TOO_COSTLY: &str = "its verification would take too long";
const TOO_LARGE: &str = "its verification would require too much memory";

/// The base64 variant of bcrypt. Some programs generate salts with unused trailing bits that are set. Implementations
/// of bcrypt ignore these bits.
const BCRYPT_BASE64: GeneralPurpose =
    GeneralPurpose::new(&BCRYPT, NO_PAD.with_decode_allow_trailing_bits(true));

/// The stored form for a user who has no password.
const UNUSABLE: &str = "!";
/// The prefix of stored hashes that were imported from another system.
const IMPORTED: &str = "imported:";

/// The hash of a password in the form in which the database stores it: a PHC string, or `imported:` followed by a
/// hash from another system, or `!` for a user who has no password. An imported hash is replaced when the user signs
/// in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash(pub(crate) String);

impl PasswordHash {
    /// Creates a hash that Symbolon has computed.
    pub(crate) fn new(argon2: Argon2, salt: &[u8], output: &[u8]) -> Self {
        Self(phc(argon2, salt, output))
    }

    /// Parses a hash from another system. Returns the reason as an error if the hash is unusable.
    #[cfg(any(test, feature = "server"))]
    pub(crate) fn parse_imported(text: &str, max_memory_kib: u32) -> Result<Self, &'static str> {
        HashParts::parse(text, max_memory_kib)?;
        Ok(Self(format!("{IMPORTED}{text}")))
    }

    /// Returns the hash of a user who has no password. No password matches it.
    pub(crate) fn unusable() -> Self {
        Self(UNUSABLE.to_owned())
    }

    /// Returns whether a password can match the hash.
    pub(crate) fn is_usable(&self) -> bool {
        self.0 != UNUSABLE
    }

    /// Removes the prefix of an imported hash that was computed from the prepared password.
    pub(crate) fn into_own(self) -> Self {
        match self.0.strip_prefix(IMPORTED) {
            Some(hash) => Self(hash.to_owned()),
            None => self,
        }
    }

    /// Returns whether the hash was imported from another system, which computed it from the unprepared password.
    pub(crate) fn is_imported(&self) -> bool {
        self.0.starts_with(IMPORTED)
    }

    /// Parses the hash. Returns the reason as an error if the hash is malformed or exceeds the limits for memory and
    /// time.
    pub(crate) fn parts(&self, max_memory_kib: u32) -> Result<HashParts, &'static str> {
        let text = self.0.strip_prefix(IMPORTED).unwrap_or(&self.0);
        HashParts::parse(text, max_memory_kib)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(redacted)")
    }
}

/// The parts of a password hash.
pub(crate) struct HashParts {
    pub(crate) algorithm: HashAlgorithm,
    pub(crate) salt: Vec<u8>,
    pub(crate) output: Vec<u8>,
}

/// A hash algorithm and its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HashAlgorithm {
    Argon2(Argon2),
    Bcrypt { cost: u32 },
    Scrypt { log_n: u8, r: u32, p: u32 },
    Pbkdf2 { sha: Sha, iterations: u32 },
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

/// The hash function of PBKDF2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sha {
    Sha1,
    Sha256,
    Sha512,
}

impl HashParts {
    /// Parses a PHC string of Argon2 or scrypt, a bcrypt string, or a hash in the format of Werkzeug. Returns the
    /// reason as an error if the hash is malformed, requires more than `max_memory_kib`, or takes too long to verify.
    pub(crate) fn parse(text: &str, max_memory_kib: u32) -> Result<Self, &'static str> {
        if text.len() > MAX_LENGTH {
            return Err(MALFORMED);
        }
        let fields: Vec<&str> = text.split('$').collect();
        match *fields.as_slice() {
            ["", "argon2d", ref rest @ ..] => argon2(Variant::D, rest, max_memory_kib),
            ["", "argon2i", ref rest @ ..] => argon2(Variant::I, rest, max_memory_kib),
            ["", "argon2id", ref rest @ ..] => argon2(Variant::Id, rest, max_memory_kib),
            ["", "2a" | "2b" | "2y", cost, rest] => bcrypt(cost, rest),
            ["", "scrypt", settings, salt, output] => {
                let [log_n, r, p] = parameters(settings, ["ln=", "r=", "p="]).ok_or(MALFORMED)?;
                Self::new(
                    scrypt(log_n, r, p, max_memory_kib)?,
                    phc_base64(salt)?,
                    phc_base64(output)?,
                )
            }
            [method, salt, output] => Self::new(
                werkzeug(method, max_memory_kib)?,
                salt.as_bytes().to_vec(),
                hex(output).ok_or(MALFORMED)?,
            ),
            _ => Err(UNKNOWN),
        }
    }

    fn new(algorithm: HashAlgorithm, salt: Vec<u8>, output: Vec<u8>) -> Result<Self, &'static str> {
        let (shortest_salt, output_lengths) = match algorithm {
            HashAlgorithm::Argon2(_) => (8, 16..=64),
            HashAlgorithm::Bcrypt { .. } => (16, 23..=23),
            HashAlgorithm::Scrypt { .. } => (1, 16..=64),
            HashAlgorithm::Pbkdf2 { sha, .. } => {
                let length = match sha {
                    Sha::Sha1 => 20,
                    Sha::Sha256 => 32,
                    Sha::Sha512 => 64,
                };
                (1, length..=length)
            }
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
fn phc(argon2: Argon2, salt: &[u8], output: &[u8]) -> String {
    let [salt, output] = [salt, output].map(|bytes| STANDARD_NO_PAD.encode(bytes));
    format!("{argon2}${salt}${output}")
}

fn argon2(
    variant: Variant,
    fields: &[&str],
    max_memory_kib: u32,
) -> Result<HashParts, &'static str> {
    let (version, settings, salt, output) = match *fields {
        ["v=19", settings, salt, output] => (Version::V19, settings, salt, output),
        // Hashes of version 16 can omit the version.
        ["v=16", settings, salt, output] | [settings, salt, output] => {
            (Version::V16, settings, salt, output)
        }
        _ => return Err(MALFORMED),
    };
    let settings = parameters(settings, ["m=", "t=", "p="]).ok_or(MALFORMED)?;
    let [memory_kib, iterations, parallelism] = settings;
    if iterations == 0 || parallelism == 0 || memory_kib / 8 < parallelism {
        return Err(MALFORMED);
    }
    if memory_kib > max_memory_kib {
        return Err(TOO_LARGE);
    }
    if iterations > MAX_ARGON2_ITERATIONS || parallelism > MAX_PARALLELISM {
        return Err(TOO_COSTLY);
    }
    let argon2 = Argon2 {
        variant,
        version,
        memory_kib,
        iterations,
        parallelism,
    };
    HashParts::new(
        HashAlgorithm::Argon2(argon2),
        phc_base64(salt)?,
        phc_base64(output)?,
    )
}

fn bcrypt(cost: &str, rest: &str) -> Result<HashParts, &'static str> {
    let decode = |text| BCRYPT_BASE64.decode(text).map_err(|_| MALFORMED);
    let (salt, output) = rest.split_at_checked(22).ok_or(MALFORMED)?;
    let (salt, output) = (decode(salt)?, decode(output)?);
    match (cost.len(), number(cost)) {
        (2, Some(cost @ 4..=MAX_BCRYPT_COST)) => {
            HashParts::new(HashAlgorithm::Bcrypt { cost }, salt, output)
        }
        (2, Some(15..=31)) => Err(TOO_COSTLY),
        _ => Err(MALFORMED),
    }
}

fn scrypt(log_n: u32, r: u32, p: u32, max_memory_kib: u32) -> Result<HashAlgorithm, &'static str> {
    let log_n = match log_n {
        0 => return Err(MALFORMED),
        1..32 => u8::try_from(log_n).map_err(|_| MALFORMED)?,
        _ => return Err(TOO_LARGE),
    };
    if r == 0 || p == 0 {
        return Err(MALFORMED);
    }
    if r > MAX_SCRYPT_BLOCK_SIZE || u64::from(r) << log_n > u64::from(max_memory_kib) * 8 {
        return Err(TOO_LARGE);
    }
    if p > MAX_PARALLELISM {
        return Err(TOO_COSTLY);
    }
    Ok(HashAlgorithm::Scrypt { log_n, r, p })
}

/// Parses the part before the salt of a hash that Werkzeug's `generate_password_hash` created. The parameters are
/// required, because their defaults differ between versions of Werkzeug.
fn werkzeug(method: &str, max_memory_kib: u32) -> Result<HashAlgorithm, &'static str> {
    let fields: Vec<&str> = method.split(':').collect();
    match *fields.as_slice() {
        ["scrypt", n, r, p] => {
            let [n, r, p] = [n, r, p].map(number);
            let n = n.filter(|n| n.is_power_of_two()).ok_or(MALFORMED)?;
            let (r, p) = r.zip(p).ok_or(MALFORMED)?;
            scrypt(n.ilog2(), r, p, max_memory_kib)
        }
        ["pbkdf2", sha, iterations] => {
            let sha = match sha {
                "sha1" => Sha::Sha1,
                "sha256" => Sha::Sha256,
                "sha512" => Sha::Sha512,
                _ => return Err("its PBKDF2 hash function is not SHA-1, SHA-256 or SHA-512"),
            };
            match number(iterations) {
                Some(0) | None => Err(MALFORMED),
                Some(iterations @ 1..=MAX_PBKDF2_ITERATIONS) => {
                    Ok(HashAlgorithm::Pbkdf2 { sha, iterations })
                }
                Some(_) => Err(TOO_COSTLY),
            }
        }
        ["scrypt" | "pbkdf2", ..] => Err("it does not contain all of its parameters"),
        _ => Err(UNKNOWN),
    }
}

/// Parses parameters, for example `m=1,t=2,p=3`, which must be in the order of `names`.
fn parameters<const N: usize>(text: &str, names: [&str; N]) -> Option<[u32; N]> {
    let mut settings = text.split(',');
    let mut values = [0; N];
    for (value, name) in values.iter_mut().zip(names) {
        *value = number(settings.next()?.strip_prefix(name)?)?;
    }
    settings.next().is_none().then_some(values)
}

fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn phc_base64(text: &str) -> Result<Vec<u8>, &'static str> {
    STANDARD_NO_PAD.decode(text).map_err(|_| MALFORMED)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    text.as_bytes()
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
