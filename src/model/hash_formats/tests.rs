use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::model::hash_parts::{TOO_COSTLY, phc};
use crate::model::unsupported_hashes::looks_like_hash;

const MAX_MEMORY_KIB: u32 = 65_536;
const TOO_LARGE: &str = "SYMBOLON_MAX_HASH_MEMORY";

const SALT: &str = "LpUpe8wDNrDb9jCSXNqe1g";
const OUTPUT: &str = "56wvh9a4uMeExFdaPhwBk/b7ev8X4yh/SeWsKegnr7Q";
const BCRYPT: &str = "Cw1dZxAyy.cae2FJl4aBReb/gFh2e8iwcVqOEmfVTDjiXTJH2dcPK";
const SHA1: &str = "a9a0b13af9a126482846226ab00fa323462566ef";

fn refusal(text: &str) -> Option<HashRefusal> {
    parse(text, MAX_MEMORY_KIB).err()
}

/// Asserts that a hash is refused for a reason that contains `reason`.
fn assert_refused(text: &str, reason: &str) {
    let refused = refusal(text);
    assert!(
        refused
            .as_ref()
            .is_some_and(|refused| refused.contains(reason)),
        "{text}: {refused:?}"
    );
}

fn argon2(settings: &str) -> String {
    format!("$argon2id${settings}${SALT}${OUTPUT}")
}

fn scrypt(settings: &str) -> String {
    format!("$scrypt${settings}${SALT}${OUTPUT}")
}

fn werkzeug(method: &str) -> String {
    format!("{method}$vEYIl57S${SHA1}")
}

#[test]
fn an_unsupported_format_is_refused_by_name() {
    for (text, name) in [
        ("$1$k53Knk9O$UzRlYXZlIG1lIGFsb25l", "md5crypt"),
        (
            "$5$rounds=5000$saltsalt$UzRlYXZlIG1lIGFsb25l",
            "sha256crypt",
        ),
        ("$6$saltsalt$UzRlYXZlIG1lIGFsb25l", "sha512crypt"),
        ("$P$BDvYcTQ3vPTDKLpYgDiyRIy1ZrSrGJ0", "phpass"),
        ("$H$9DvYcTQ3vPTDKLpYgDiyRIy1ZrSrGJ0", "phpass"),
        ("$S$DvYcTQ3vPTDKLpYgDiyRIy1ZrSrGJ0aaaaaaaaaaa", "Drupal"),
        ("$y$j9T$abcdefgh$abcdefghijklmnop", "yescrypt"),
        ("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "LDAP"),
        ("AQAAAAIAAYagAAAAEFjHkzxq0PPtrFGGXgT7a4hY", "ASP.NET"),
        ("5f4dcc3b5aa765d61d8327deb882cf99", "MD5 or NTLM"),
        ("5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8", "SHA-1"),
        ("*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19", "MySQL"),
        (&"5f4dcc3b5aa765d6".repeat(4), "SHA-256"),
        (&"5f4dcc3b5aa765d6".repeat(8), "SHA-512"),
        (&format!("{}==", "Ab".repeat(43)), "Firebase"),
        (&format!("$2x$04${BCRYPT}"), "2x"),
        (&format!("$new-format$04${BCRYPT}"), "unknown crypt format"),
        ("plain$$staple", "plain text"),
    ] {
        assert_refused(text, name);
        assert_refused(text, "reset link");
        assert!(looks_like_hash(text), "{text}");
    }
    for text in [
        "",
        "correct horse battery staple",
        "$ecret$",
        "$money$ for nothing",
        "{braces}",
        "{smile}happybirthday1",
        "U$A-4ever",
        "5f4dcc3b",
    ] {
        assert_refused(text, "reset link");
        assert!(!looks_like_hash(text), "{text}");
    }
    for text in [format!("imported:{OUTPUT}"), format!(" $2b$04${BCRYPT}")] {
        assert_refused(&text, "in a known format");
    }
}

#[test]
fn a_malformed_hash_is_refused() {
    for text in [
        format!("$2b$04${BCRYPT}K"),
        format!("$2b$04${}", &BCRYPT[1..]),
        format!("$2b$04${}é", &BCRYPT[2..]),
        format!("$2b$04${}", "é".repeat(20)),
        format!("$2b$4${BCRYPT}"),
        format!("$2b$03${BCRYPT}"),
        format!("$2b$32${BCRYPT}"),
        "$argon2id$".to_owned(),
        argon2("v=18$m=64,t=2,p=2"),
        argon2("v=19$m=64,t=2"),
        argon2("v=19$m=64,t=2,p=2,data=YQ"),
        argon2("v=19$m=+64,t=2,p=2"),
        argon2("v=19$m=,t=2,p=2"),
        argon2("v=19$m=64,t=0,p=2"),
        argon2("v=19$m=64,t=2,p=0"),
        argon2("v=19$m=15,t=2,p=2"),
        argon2("v=19$m=4294967296,t=2,p=2"),
        format!("$argon2id$v=19$m=64,t=2,p=2$LpUpe8w${OUTPUT}"),
        format!("$argon2id$v=19$m=64,t=2,p=2${SALT}$LpUpe8w"),
        format!("$argon2id$v=19$m=64,t=2,p=2${SALT}$"),
        format!("$argon2id$v=19$m=64,t=2,p=2${SALT}"),
        scrypt("ln=0,r=8,p=1"),
        scrypt("ln=4,r=0,p=1"),
        scrypt("ln=4,r=8,p=0"),
        format!("$scrypt$ln=4,r=8,p=1$${OUTPUT}"),
        format!("$scrypt$ln=4,r=8,p=1${SALT}$"),
        format!("{}====", argon2("v=19$m=64,t=2,p=2")),
        werkzeug("scrypt:32767:8:1"),
        werkzeug("scrypt:1:8:1"),
        werkzeug("pbkdf2:sha1:0"),
        // The output has the length of an SHA-1 hash.
        werkzeug("pbkdf2:sha256:1000"),
        format!("pbkdf2:sha1:1000$${SHA1}"),
        format!("pbkdf2:sha1:1000$vEYIl57S${SHA1}0"),
        format!("pbkdf2:sha1:1000$vEYIl57S${}0x", &SHA1[2..]),
        format!("pbkdf2:sha1:1000${}${SHA1}", "s".repeat(500)),
    ] {
        assert_refused(&text, &MALFORMED);
    }
    let incomplete = "it does not contain all of its parameters";
    assert_refused(&werkzeug("scrypt"), incomplete);
    assert_refused(&werkzeug("pbkdf2:sha1"), incomplete);
    assert_refused(&werkzeug("pbkdf2:sha3_256:1000"), &OTHER_PBKDF2);
    assert_refused("pbkdf2_sha3$1000$salt$AAAA", &OTHER_PBKDF2);
}

#[test]
fn a_hash_is_refused_if_its_parameters_exceed_the_limits() {
    for (allowed, refused, reason) in [
        ("m=65536,t=16,p=16", "m=65537,t=16,p=16", TOO_LARGE),
        ("m=65536,t=16,p=16", "m=65536,t=17,p=16", &TOO_COSTLY),
        ("m=65536,t=16,p=16", "m=65536,t=16,p=17", &TOO_COSTLY),
    ] {
        assert_eq!(refusal(&argon2(&format!("v=19${allowed}"))), None);
        assert_refused(&argon2(&format!("v=19${refused}")), reason);
    }
    for (allowed, refused, reason) in [
        ("ln=16,r=8,p=16", "ln=17,r=8,p=16", TOO_LARGE),
        ("ln=16,r=8,p=16", "ln=16,r=9,p=16", TOO_LARGE),
        ("ln=16,r=8,p=16", "ln=4294967295,r=8,p=16", &MALFORMED),
        ("ln=13,r=64,p=1", "ln=1,r=65,p=1", &TOO_COSTLY),
        ("ln=16,r=8,p=16", "ln=16,r=8,p=17", &TOO_COSTLY),
    ] {
        assert_eq!(refusal(&scrypt(allowed)), None);
        assert_refused(&scrypt(refused), reason);
    }
    for (allowed, refused, reason) in [
        ("scrypt:65536:8:1", "scrypt:131072:8:1", TOO_LARGE),
        ("pbkdf2:sha1:2000000", "pbkdf2:sha1:2000001", &TOO_COSTLY),
    ] {
        assert_eq!(refusal(&werkzeug(allowed)), None);
        assert_refused(&werkzeug(refused), reason);
    }
    assert_eq!(refusal(&format!("$2b$14${BCRYPT}")), None);
    for cost in [15, 31] {
        let text = format!("$2b${cost}${BCRYPT}");
        assert_refused(&text, &TOO_COSTLY);
    }
}

/// Generates hashes in which one character is replaced or removed.
fn changed_hash() -> impl Strategy<Value = String> {
    let hashes = vec![
        argon2("v=19$m=64,t=2,p=2"),
        scrypt("ln=4,r=8,p=1"),
        werkzeug("scrypt:16:8:1"),
        werkzeug("pbkdf2:sha1:1000"),
        format!("$2b$04${BCRYPT}"),
    ];
    (select(hashes), any::<prop::sample::Index>(), "\\PC?").prop_map(|(hash, index, new)| {
        let index = index.index(hash.len());
        [&hash[..index], &new, &hash[index + 1..]].concat()
    })
}

proptest! {
    #[test]
    fn no_text_causes_a_panic(
        text in prop_oneof![changed_hash(), any::<String>()],
    ) {
        let _ = refusal(&text);
    }

    #[test]
    fn a_formatted_hash_can_be_parsed(
        salt in prop::collection::vec(any::<u8>(), 8..=48),
        output in prop::collection::vec(any::<u8>(), 16..=64),
    ) {
        let argon2 = Argon2 {
            variant: Variant::Id,
            version: Version::V19,
            memory_kib: 19456,
            iterations: 2,
            parallelism: 1,
        };
        let parts = parse(&phc(argon2, &salt, &output), MAX_MEMORY_KIB);
        let parts = parts.map_err(|reason| TestCaseError::fail(reason.into_owned()))?;
        prop_assert_eq!(parts.algorithm, HashAlgorithm::Argon2(argon2));
        prop_assert_eq!(parts.salt, salt);
        prop_assert_eq!(parts.output, output);
    }
}
