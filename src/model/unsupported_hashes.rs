//! The names of password hashes that Symbolon cannot verify, and the recognition of hashes in general.

use crate::model::hash_parts::HashRefusal;

/// The beginnings of hashes in formats that are not supported, and the names of these formats.
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
    ("$P$", "phpass, of WordPress or phpBB"),
    ("$H$", "phpass, of phpBB"),
    ("$wp$", "bcrypt of WordPress"),
    ("$S$", "SHA-512 of Drupal"),
    ("$U$", "an MD5 of Drupal"),
    ("U$", "an MD5 of Drupal"),
    ("$fshp", "FSHP"),
    ("{", "an LDAP hash, such as {SSHA}"),
    ("AQAAAA", "ASP.NET Identity"),
    ("plain$", "Werkzeug's format for plain text"),
    ("grub.pbkdf2.", "PBKDF2 of GRUB"),
    ("SCRAM-SHA-", "SCRAM of PostgreSQL"),
    ("0x0100", "Microsoft SQL Server"),
    ("0x0200", "Microsoft SQL Server"),
    ("$", "an unknown crypt format"),
];

/// The beginnings of hashes in supported formats.
#[cfg(any(test, feature = "server"))]
const SUPPORTED: &[&str] = &[
    "$argon2",
    "$2a$",
    "$2b$",
    "$2y$",
    "$scrypt$",
    "$pbkdf2",
    "$bcrypt-sha256$",
    "scrypt:",
    "scrypt$",
    "pbkdf2:",
    "pbkdf2_",
    "argon2$",
    "bcrypt$",
    "bcrypt_sha256$",
    "md5$",
    "sha1$",
    "sha256$",
    "sha512$",
];

const ADVICE: &str = "import the user without a password, and create a reset link";

/// Returns the reason why a text that is not a hash in a supported format is refused.
pub(super) fn reason(text: &str) -> HashRefusal {
    match name(text) {
        Some(name) => format!("its format is not supported ({name}); {ADVICE}").into(),
        None => format!(
            "it is not an Argon2, bcrypt, scrypt or PBKDF2 hash in a known format; {ADVICE}"
        )
        .into(),
    }
}

/// Returns whether a text looks like a hash, in a supported format or in another.
#[cfg(any(test, feature = "server"))]
pub(super) fn looks_like_hash(text: &str) -> bool {
    // A password can begin with `$` or a brace.
    let is_weak_sign = |start: &str| matches!(start, "$" | "{");
    SUPPORTED.iter().any(|start| text.starts_with(start))
        || UNSUPPORTED
            .iter()
            .any(|(start, _)| !is_weak_sign(start) && text.starts_with(start))
        || is_tagged(text, '$', '$')
        || is_tagged(text, '{', '}')
        || digest_name(text).is_some()
}

/// Returns whether a text begins with the name of a format between two delimiters, which is followed by a hash.
#[cfg(any(test, feature = "server"))]
fn is_tagged(text: &str, open: char, close: char) -> bool {
    let tagged = text
        .strip_prefix(open)
        .and_then(|text| text.split_once(close));
    tagged.is_some_and(|(name, hash)| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.,=".contains(c);
        !name.is_empty() && name.len() <= 32 && name.chars().all(is_name) && hash.len() >= 13
    })
}

fn name(text: &str) -> Option<&'static str> {
    let format = UNSUPPORTED
        .iter()
        .find(|(start, _)| text.starts_with(start));
    format.map(|(_, name)| *name).or_else(|| digest_name(text))
}

/// Returns the name of a digest that consists only of hexadecimal digits or base64.
fn digest_name(text: &str) -> Option<&'static str> {
    let digits = text.strip_prefix('*').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return match (digits.len(), digits == text) {
            (40, false) => Some("an SHA-1 of MySQL"),
            (32, true) => Some("a bare digest: MD5 or NTLM"),
            (40, true) => Some("a bare digest: SHA-1"),
            (56, true) => Some("a bare digest: SHA-224"),
            (64, true) => Some("a bare digest: SHA-256"),
            (96, true) => Some("a bare digest: SHA-384"),
            (128, true) => Some("a bare digest: SHA-512"),
            _ => None,
        };
    }
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    let body = text.trim_end_matches('=');
    (text.len() == 88 && body.len() == 86 && body.bytes().all(is_base64))
        .then_some("64 bytes in base64, such as scrypt of Firebase")
}
