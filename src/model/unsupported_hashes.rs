//! The names of password hashes that Symbolon cannot verify, and the recognition of hashes in general.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

use crate::model::hash_parts::HashRefusal;

/// The beginnings of hashes in formats that are not supported, in lower case, and the names of these formats.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("$1$", "md5crypt"),
    ("$apr1$", "Apache's md5crypt"),
    ("$2$", "an obsolete version of bcrypt"),
    ("$2x$", "bcrypt with the faulty variant 2x"),
    ("$3$", "an NT hash"),
    ("$5$", "sha256crypt"),
    ("$6$", "sha512crypt"),
    ("$7$", "scrypt of libxcrypt"),
    ("$8$", "PBKDF2 of Cisco"),
    ("$9$", "scrypt of Cisco"),
    ("$y$", "yescrypt"),
    ("$gy$", "gost-yescrypt"),
    ("$sha1$", "sha1crypt"),
    ("$md5", "SunMD5"),
    ("$p$", "phpass, of WordPress or phpBB"),
    ("$h$", "phpass, of phpBB"),
    ("$wp$", "bcrypt of WordPress"),
    ("$s$", "SHA-512 of Drupal"),
    ("u$s$", "an MD5 of Drupal"),
    ("u$p$", "an MD5 of Drupal"),
    ("u$h$", "an MD5 of Drupal"),
    ("$fshp", "FSHP"),
    ("{noop}", "plain text with the tag {noop}"),
    ("{plain}", "plain text with the tag {PLAIN}"),
    ("{clear", "plain text with the tag {CLEARTEXT}"),
    ("{", "an LDAP hash, such as {SSHA}"),
    ("aqaaaa", "ASP.NET Identity"),
    ("plain$", "Werkzeug's format for plain text"),
    ("grub.pbkdf2.", "PBKDF2 of GRUB"),
    ("scram-sha-", "SCRAM of PostgreSQL"),
    ("0x0100", "Microsoft SQL Server"),
    ("0x0200", "Microsoft SQL Server"),
    ("$", "an unknown crypt format"),
];

/// Parts of hashes that occur in no ordinary password.
const SIGNS: &[&str] = &[
    "$2a$", "$2b$", "$2x$", "$2y$", "$argon2", "$pbkdf2", "$scrypt", "$bcrypt-",
];

/// The names of algorithms that precede a hash and one of the characters `$`, `:` and `(`.
const NAMES: &[&str] = &[
    "argon2", "argon2d", "argon2i", "argon2id", "bcrypt", "blake2b", "blake2s", "crypt", "md4",
    "md5", "ntlm", "pbkdf2", "phpass", "scrypt", "sha", "sha1", "sha224", "sha256", "sha384",
    "sha512", "sha3", "ssha",
];

/// The letters at the start of the tags in braces that precede a hash or a password in plain text. The tag {SSHA512}
/// starts with `ssha`, and {PBKDF2-SHA256} with `pbkdf`.
#[cfg(any(test, feature = "server"))]
const TAGS: &[&str] = &[
    "argon",
    "bcrypt",
    "blf",
    "clear",
    "cleartext",
    "cram",
    "crypt",
    "des",
    "digest",
    "lanman",
    "md",
    "noop",
    "nt",
    "pbkdf",
    "plain",
    "scram",
    "scrypt",
    "sha",
    "smd",
    "ssha",
];

const ADVICE: &str = "import the user without a password, and create a reset link";

/// Returns the reason why a text that is not a hash in a supported format is refused.
pub(super) fn reason(text: &str) -> HashRefusal {
    let lower = bare(text).to_ascii_lowercase();
    let is_supported = has_name(&lower) || SIGNS.iter().any(|sign| lower.starts_with(sign));
    match name(text).filter(|_| !is_supported || lower.starts_with("$2x$")) {
        Some(name) => format!("its format is not supported ({name}); {ADVICE}").into(),
        None => format!(
            "it is not an Argon2, bcrypt, scrypt or PBKDF2 hash in a known format; {ADVICE}"
        )
        .into(),
    }
}

/// Returns whether a text looks like a hash, in a supported format or in another. The case of letters, and markers,
/// quotation marks and white space around the hash do not matter.
#[cfg(any(test, feature = "server"))]
pub(super) fn looks_like_hash(text: &str) -> bool {
    let lower = bare(text).to_ascii_lowercase();
    // A password can begin with `$` or a brace.
    let is_weak_sign = |start: &str| matches!(start, "$" | "{" | "{clear");
    SIGNS.iter().any(|sign| lower.contains(sign))
        || has_name(&lower)
        || UNSUPPORTED
            .iter()
            .any(|(start, _)| !is_weak_sign(start) && lower.starts_with(start))
        || is_crypt(&lower)
        || has_tag(&lower)
        || digest_name(text).is_some()
}

/// Removes white space, quotation marks, and the leading characters `!` and `*`, which mark locked users.
fn bare(text: &str) -> &str {
    let is_quote = |c: char| c.is_whitespace() || "\"'`".contains(c);
    text.trim_start_matches(|c| is_quote(c) || "!*".contains(c))
        .trim_end_matches(is_quote)
}

/// Returns whether a text begins with the name of an algorithm.
fn has_name(lower: &str) -> bool {
    let name = lower.split_once(['$', ':', '(']).map(|(name, _)| name);
    let is_name = |name: &str| NAMES.contains(&name) || name.starts_with("pbkdf2_");
    let is_name = name.is_some_and(|name| is_name(name) || name == "bcrypt_sha256");
    is_name && !lower.contains(char::is_whitespace)
}

/// Returns whether a text begins with the name of a format between two `$`, which is followed by a hash.
#[cfg(any(test, feature = "server"))]
fn is_crypt(text: &str) -> bool {
    let tagged = text.strip_prefix('$').and_then(|text| text.split_once('$'));
    tagged.is_some_and(|(name, hash)| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.,=".contains(c);
        let is_named = !name.is_empty() && name.len() <= 32 && name.chars().all(is_name);
        is_named && hash.len() >= 13 && !hash.contains(char::is_whitespace)
    })
}

/// Returns whether a text begins with a tag in braces.
#[cfg(any(test, feature = "server"))]
fn has_tag(lower: &str) -> bool {
    let tagged = lower
        .strip_prefix('{')
        .and_then(|text| text.split_once('}'));
    tagged.is_some_and(|(tag, _)| {
        let end = tag.find(|c: char| !c.is_ascii_lowercase());
        TAGS.contains(&&tag[..end.unwrap_or(tag.len())])
    })
}

fn name(text: &str) -> Option<&'static str> {
    let lower = bare(text).to_ascii_lowercase();
    let format = UNSUPPORTED
        .iter()
        .find(|(start, _)| lower.starts_with(start));
    format.map(|(_, name)| *name).or_else(|| digest_name(text))
}

/// Returns the name of a digest in hexadecimal digits, with or without a salt, or in base64.
fn digest_name(text: &str) -> Option<&'static str> {
    let is_mysql = text.trim().starts_with('*');
    let text = bare(text);
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let binary = text.strip_prefix("0x").or(text.strip_prefix("\\x"));
    if binary.is_some_and(|digits| digits.len() >= 16 && is_hex(digits)) {
        return Some("binary data in hexadecimal digits");
    }
    if text.len() == 16 && is_hex(text) {
        return Some("16 hexadecimal digits, as of old versions of MySQL");
    }
    let postgres = text.strip_prefix("md5").filter(|digits| digits.len() == 32);
    let mut parts = postgres.unwrap_or(text).split(['$', ':']);
    let hex = parts.find_map(|part| match part.len() {
        _ if !is_hex(part) => None,
        32 => Some("a digest: MD5 or NTLM"),
        40 if is_mysql => Some("an SHA-1 of MySQL"),
        40 => Some("a digest: SHA-1"),
        56 => Some("a digest: SHA-224"),
        64 => Some("a digest: SHA-256"),
        96 => Some("a digest: SHA-384"),
        128 => Some("a digest: SHA-512"),
        _ => None,
    });
    hex.or_else(|| base64_name(text))
}

/// Returns the name of a digest in base64. Without padding, the text must contain an upper case letter, a lower case
/// letter and a digit, because the text could be a passphrase.
fn base64_name(text: &str) -> Option<&'static str> {
    let body = text.trim_end_matches('=');
    let is_padded = body.len() < text.len();
    let settings = NO_PAD.with_decode_allow_trailing_bits(is_padded || body.len() >= 43);
    let standard = body.replace('-', "+").replace('_', "/");
    let decoded = GeneralPurpose::new(&STANDARD, settings).decode(standard);
    let length = decoded.ok()?.len();
    let has = |is_kind: fn(&u8) -> bool| body.as_bytes().iter().any(is_kind);
    let is_mixed =
        has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    let is_complete = text.len().is_multiple_of(4);
    if is_padded && !is_complete || !is_padded && !is_mixed {
        return None;
    }
    match length {
        16 | 20 | 32 => Some("a digest in base64"),
        49..=51 if text.len() == 68 && text.starts_with('A') => Some("ASP.NET Identity"),
        64 => Some("64 bytes in base64, such as scrypt of Firebase"),
        _ => None,
    }
}
