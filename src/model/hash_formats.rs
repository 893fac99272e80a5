//! The formats of password hashes: PHC strings, bcrypt strings, and the formats of Werkzeug, Django and passlib.

use base64::Engine;
use base64::alphabet::{BCRYPT, STANDARD};
use base64::engine::general_purpose::NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose};

use crate::model::hash_parts::{
    Argon2, BcryptKey, Digest, HashAlgorithm, HashParts, HashRefusal, MALFORMED, Salting, Variant,
    Version,
};
use crate::model::unsupported_hashes;

const MAX_LENGTH: usize = 512;

/// The base64 variant of bcrypt. Some programs generate salts with unused trailing bits that are set. Implementations
/// of bcrypt ignore these bits.
const BCRYPT_BASE64: GeneralPurpose =
    GeneralPurpose::new(&BCRYPT, NO_PAD.with_decode_allow_trailing_bits(true));

/// The standard alphabet, with or without padding.
const STANDARD_INDIFFERENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The number of characters of a bcrypt output.
#[cfg(any(test, feature = "server"))]
const BCRYPT_OUTPUT: usize = 31;

/// The lengths of the salts of Django's formats `sha1` and `md5`. Werkzeug uses the same names for another
/// construction, with salts of 8 or 16 characters.
const DJANGO_SALTS: [usize; 3] = [5, 12, 22];

/// Parses a hash. Returns the reason as an error if the format is not supported, or if the hash is malformed,
/// requires more than `max_memory_kib`, or takes too long to verify.
pub(crate) fn parse(text: &str, max_memory_kib: u32) -> Result<HashParts, HashRefusal> {
    if text.len() > MAX_LENGTH {
        return Err(MALFORMED);
    }
    let parts = parse_unlimited(text)?;
    parts.algorithm.within_limits(max_memory_kib)?;
    Ok(parts)
}

/// Returns the hash without its output: each character of the output is replaced by `A`, which is valid in every
/// encoding of an output.
#[cfg(any(test, feature = "server"))]
pub(super) fn blank_output(hash: &str, algorithm: HashAlgorithm) -> String {
    let output = match algorithm {
        // The salt and the output of bcrypt are not always separated.
        HashAlgorithm::Bcrypt { .. } => hash.len().saturating_sub(BCRYPT_OUTPUT),
        _ => hash.rfind('$').map_or(0, |dollar| dollar + 1),
    };
    let (start, output) = hash.split_at(output);
    let blank = |character| if character == '=' { '=' } else { 'A' };
    start.chars().chain(output.chars().map(blank)).collect()
}

fn parse_unlimited(text: &str) -> Result<HashParts, HashRefusal> {
    let fields: Vec<&str> = text.split('$').collect();
    match *fields.as_slice() {
        ["argon2" | "", ref rest @ ..]
            if rest.first().is_some_and(|name| name.starts_with("argon2")) =>
        {
            argon2(rest)
        }
        ["", "2a" | "2b" | "2y", cost, rest] | ["bcrypt", "", "2a" | "2b" | "2y", cost, rest] => {
            bcrypt(BcryptKey::Password, cost, rest)
        }
        ["bcrypt_sha256", "", "2a" | "2b" | "2y", cost, rest] => {
            bcrypt(BcryptKey::Sha256Hex, cost, rest)
        }
        ["", "bcrypt-sha256", settings, salt, output] => passlib_bcrypt(settings, salt, output),
        ["", "scrypt", settings, salt, output] => {
            let [log_n, r, p] = parameters(settings, ["ln=", "r=", "p="]).ok_or(MALFORMED)?;
            HashParts::new(scrypt(log_n, r, p)?, base64(salt)?, base64(output)?)
        }
        ["scrypt", n, salt, r, p, output] => {
            let salt = salt.as_bytes().to_vec();
            HashParts::new(scrypt_n(n, r, p)?, salt, base64(output)?)
        }
        ["", method, iterations, salt, output] if method.starts_with("pbkdf2") => {
            let digest = match method {
                "pbkdf2" => Digest::Sha1,
                "pbkdf2-sha256" => Digest::Sha256,
                "pbkdf2-sha512" => Digest::Sha512,
                _ => return Err(OTHER_PBKDF2),
            };
            HashParts::new(pbkdf2(digest, iterations)?, base64(salt)?, base64(output)?)
        }
        [method, iterations, salt, output] if method.starts_with("pbkdf2_") => {
            let digest = Digest::from_name(&method["pbkdf2_".len()..]).ok_or(OTHER_PBKDF2)?;
            let salt = salt.as_bytes().to_vec();
            HashParts::new(pbkdf2(digest, iterations)?, salt, base64(output)?)
        }
        [method, salt, output] if is_fast_or_werkzeug(method) => HashParts::new(
            werkzeug(method, salt)?,
            salt.as_bytes().to_vec(),
            hex(output).ok_or(MALFORMED)?,
        ),
        _ => Err(unsupported_hashes::reason(text)),
    }
}

const OTHER_PBKDF2: HashRefusal =
    HashRefusal::Borrowed("its PBKDF2 hash function is not MD5, SHA-1, SHA-256 or SHA-512");

fn is_fast_or_werkzeug(method: &str) -> bool {
    let name = method.split(':').next().unwrap_or_default();
    matches!(name, "scrypt" | "pbkdf2") || Digest::from_name(method).is_some()
}

fn argon2(fields: &[&str]) -> Result<HashParts, HashRefusal> {
    let (variant, version, settings, salt, output) = match *fields {
        [variant, "v=19", settings, salt, output] => {
            (variant, Version::V19, settings, salt, output)
        }
        // Hashes of version 16 can omit the version.
        [variant, "v=16", settings, salt, output] | [variant, settings, salt, output] => {
            (variant, Version::V16, settings, salt, output)
        }
        _ => return Err(MALFORMED),
    };
    let variant = match variant {
        "argon2d" => Variant::D,
        "argon2i" => Variant::I,
        "argon2id" => Variant::Id,
        _ => return Err(MALFORMED),
    };
    let settings = parameters(settings, ["m=", "t=", "p="]).ok_or(MALFORMED)?;
    let [memory_kib, iterations, parallelism] = settings;
    if iterations == 0 || parallelism == 0 || memory_kib / 8 < parallelism {
        return Err(MALFORMED);
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
        base64(salt)?,
        base64(output)?,
    )
}

fn bcrypt(key: BcryptKey, cost: &str, rest: &str) -> Result<HashParts, HashRefusal> {
    let (salt, output) = rest.split_at_checked(22).ok_or(MALFORMED)?;
    let cost = number(cost).filter(|_| cost.len() == 2);
    bcrypt_parts(key, cost, salt, output)
}

/// Parses the fields of passlib's `bcrypt_sha256`: `v=2,t=2b,r=12`, or `2b,12` in the first version.
fn passlib_bcrypt(settings: &str, salt: &str, output: &str) -> Result<HashParts, HashRefusal> {
    let fields: Vec<&str> = settings.split(',').collect();
    let (key, cost) = match *fields.as_slice() {
        ["v=2", "t=2a" | "t=2b" | "t=2y", cost] => {
            (BcryptKey::HmacSha256Base64, cost.strip_prefix("r="))
        }
        ["2a" | "2b" | "2y", cost] => (BcryptKey::Sha256Base64, Some(cost)),
        _ => return Err(MALFORMED),
    };
    bcrypt_parts(key, cost.and_then(number), salt, output)
}

fn bcrypt_parts(
    key: BcryptKey,
    cost: Option<u32>,
    salt: &str,
    output: &str,
) -> Result<HashParts, HashRefusal> {
    let decode = |text| BCRYPT_BASE64.decode(text).map_err(|_| MALFORMED);
    let cost = cost
        .filter(|cost| (4..=31).contains(cost))
        .ok_or(MALFORMED)?;
    let algorithm = HashAlgorithm::Bcrypt { cost, key };
    HashParts::new(algorithm, decode(salt)?, decode(output)?)
}

/// Encodes a salt as in a bcrypt string.
pub(crate) fn bcrypt_base64(salt: &[u8]) -> String {
    BCRYPT_BASE64.encode(salt)
}

fn scrypt(log_n: u32, r: u32, p: u32) -> Result<HashAlgorithm, HashRefusal> {
    let log_n = u8::try_from(log_n)
        .ok()
        .filter(|log_n| (1..32).contains(log_n));
    let log_n = log_n.ok_or(MALFORMED)?;
    if r == 0 || p == 0 {
        return Err(MALFORMED);
    }
    Ok(HashAlgorithm::Scrypt { log_n, r, p })
}

fn scrypt_n(n: &str, r: &str, p: &str) -> Result<HashAlgorithm, HashRefusal> {
    let [n, r, p] = [n, r, p].map(number);
    let n = n.filter(|n| n.is_power_of_two()).ok_or(MALFORMED)?;
    let (r, p) = r.zip(p).ok_or(MALFORMED)?;
    scrypt(n.ilog2(), r, p)
}

fn pbkdf2(digest: Digest, iterations: &str) -> Result<HashAlgorithm, HashRefusal> {
    let iterations = number(iterations).filter(|iterations| *iterations > 0);
    let iterations = iterations.ok_or(MALFORMED)?;
    Ok(HashAlgorithm::Pbkdf2 { digest, iterations })
}

/// Parses the part before the salt of a hash that Werkzeug's `generate_password_hash` created. The parameters are
/// required, because their defaults differ between versions of Werkzeug.
fn werkzeug(method: &str, salt: &str) -> Result<HashAlgorithm, HashRefusal> {
    let fields: Vec<&str> = method.split(':').collect();
    match *fields.as_slice() {
        ["scrypt", n, r, p] => scrypt_n(n, r, p),
        ["pbkdf2", digest, iterations] => {
            pbkdf2(Digest::from_name(digest).ok_or(OTHER_PBKDF2)?, iterations)
        }
        ["scrypt" | "pbkdf2", ..] => Err("it does not contain all of its parameters".into()),
        _ => {
            let digest = Digest::from_name(method).ok_or(MALFORMED)?;
            let is_django =
                matches!(digest, Digest::Md5 | Digest::Sha1) && DJANGO_SALTS.contains(&salt.len());
            // Without a salt, both compute the digest of the password.
            let salting = if is_django || salt.is_empty() {
                Salting::Prefix
            } else {
                Salting::Hmac
            };
            Ok(HashAlgorithm::Fast { digest, salting })
        }
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

/// Decodes base64 with or without padding. passlib writes `.` instead of `+`.
fn base64(text: &str) -> Result<Vec<u8>, HashRefusal> {
    STANDARD_INDIFFERENT
        .decode(text.replace('.', "+"))
        .map_err(|_| MALFORMED)
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
