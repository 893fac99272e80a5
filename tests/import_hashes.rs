//! The values of the column `password` that `symbolon user import` takes for hashes, markers and passwords.

use std::fmt::Write;
use std::fs;

use serde_json::Value;

use crate::cli_user_import::{import, with_database};

const HEX: &str = "0123456789abcdef";
const BCRYPT: &str = "$2b$10$Cw1dZxAyy.cae2FJl4aBReb/gFh2e8iwcVqOEmfVTDjiXTJH2dcPK";

/// Imports the passwords in a dry run. Returns the counts, and the lines that are refused.
fn dry_run(passwords: &[String]) -> (Value, Vec<i64>) {
    let folder = with_database();
    let mut file = "username,password\n".to_owned();
    for (index, password) in passwords.iter().enumerate() {
        let quoted = password.replace('"', "\"\"");
        writeln!(file, "user{index},\"{quoted}\"").unwrap();
    }
    fs::write(folder.path().join("users.csv"), file).unwrap();
    let (_, output, error) = import(folder.path(), &["users.csv", "--dry-run", "--json"]);
    let lines = output.lines().map(serde_json::from_str::<Value>);
    let mut lines: Vec<_> = lines.collect::<Result<_, _>>().unwrap();
    let counts = lines.pop().unwrap_or_else(|| panic!("{error}"));
    let refused = lines.iter().map(|line| {
        assert!(!line["refused"].as_str().unwrap().contains(HEX), "{line}");
        line["line"].as_i64().unwrap()
    });
    (counts, refused.collect())
}

#[test]
fn hashes_in_the_column_password_are_never_passwords() {
    let [md5, sha_1, sha_256, sha_512] = [2, 4, 8, 16].map(|count| match count {
        4 => format!("{HEX}{HEX}01234567"),
        8 => HEX.repeat(4),
        16 => HEX.repeat(8),
        _ => HEX.repeat(2),
    });
    let mut hashes: Vec<String> = [
        "$2B$10$Cw1dZxAyy.cae2FJl4aBReb/gFh2e8iwcVqOEmfVTDjiXTJH2dcPK",
        "argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHQ$QUFBQQ",
        "$ARGON2ID$v=19$m=65536,t=3,p=1$c2FsdHNhbHQ$QUFBQQ",
        "note: $argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHQ$QUFBQQ",
        "PBKDF2:SHA256:1000$salt$abcd",
        "SHA256$salt$abcd",
        "sha224$salt$abcd",
        "sha384$salt$abcd",
        "blake2b$salt$abcd",
        "crypt$ab$abJnggxhB/yWI",
        "pbkdf2$1000$salt$abcd",
        "pbkdf2(1000,salt)abcd",
        "sha1:64000:18:c2FsdA==:aGFzaA==",
        "bcrypt:$2b",
        "{noop}secret12",
        "{PLAIN}pw123",
        "{cleartext}a b",
        "{ssha}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "{PBKDF2-SHA256}10000$c2FsdA$aGFzaA",
        "{SHA512-CRYPT}$6$salt$hash",
        "{argon2@SpringSecurity_v5_8}hash",
        "U$S$DvYcTQ3vPTDKLpYgDiyRIy1ZrSrGJ0",
        "$s$DvYcTQ3vPTDKLpYgDiyRIy1ZrSrGJ0",
        "AJZ3qkTvlWbH1zTzPQwYB4m3uXj9r2sLk8aVd0cFeGhIiJjKkLlMmNnOoPpQqRrSsA==",
        "AJQUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU2Nzg5YWJjZGVmZ2hpamtsbW",
        "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU2Nzg5YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMj",
        "5baa61e4c9b93f3f",
        "qUqP5cyxm6YcTAhz05Hph5gvu9M=",
        "X03MO1qnZdYdgyfeuILPmQ==",
        "X03MO1qnZdYdgyfeuILPmQ",
        "XohImNooBHFR0OVvjcYpJ3NgPQ1qq73WKhHvch0VQtg=",
        "XohImNooBHFR0OVvjcYpJ3NgPQ1qq73WKhHvch0VQtg",
    ]
    .map(str::to_owned)
    .into();
    hashes.extend([
        format!("\"{BCRYPT}\""),
        format!("'{BCRYPT}'"),
        format!("hash={BCRYPT}"),
        format!("md5{md5}"),
        format!("{md5}:salt"),
        format!("{sha_256}:salt:1"),
        format!("{sha_256}$salt"),
        format!("salt${sha_1}"),
        format!("sha256:{sha_256}"),
        format!("0x{sha_1}"),
        format!("\\x{sha_256}"),
        format!("*{}", sha_1.to_uppercase()),
        format!("*{BCRYPT}"),
        format!(" {md5} "),
        sha_512,
    ]);
    let (counts, refused) = dry_run(&hashes);
    let accepted = hashes
        .iter()
        .zip(2..)
        .filter(|(_, line)| !refused.contains(line));
    let accepted: Vec<_> = accepted.collect();
    assert!(accepted.is_empty(), "{accepted:?}");
    assert_eq!(counts["refused"], hashes.len());
}

#[test]
fn markers_are_not_passwords() {
    let django = format!("!{}", "aB3dE6gH9j".repeat(4));
    let locked = [format!("!{BCRYPT}"), format!("*LOCKED*{BCRYPT}")];
    let markers = [
        "",
        "   ",
        "\u{a0}",
        "!",
        "!   ",
        "* ",
        "!!",
        "!*",
        "********",
        "*LK*",
        "*lk*abc",
        "*NP*",
        "*LOCKED*",
        &django,
        &format!("{django} "),
        &locked[0],
        &locked[1],
    ];
    let (counts, refused) = dry_run(&markers.map(str::to_owned));
    assert_eq!(refused, Vec::<i64>::new());
    assert_eq!(counts["withoutPassword"], markers.len());
}

#[test]
fn ordinary_passwords_are_not_hashes() {
    let passwords = [
        "correct horse battery staple",
        "{smile}happybirthday1",
        "{braces}andmoretextthatislong",
        "U$A-4ever",
        "$ecret$",
        "$money$ for nothing at all",
        "!important",
        "*starred* password",
        "thirteenchars",
        "aTGXLMwPvbKdY",
        "sha1: what a hash",
        "correcthorsebatterystap",
        "Correct-Horse-Battery-1",
        "deadbeef",
        "0xdeadbeef",
        "12345678",
        "\"quoted\" words",
        "it costs 20$:(",
    ];
    let (counts, refused) = dry_run(&passwords.map(str::to_owned));
    let refused: Vec<_> = refused
        .iter()
        .map(|line| passwords[usize::try_from(line - 2).unwrap()])
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(
        (&counts["added"], &counts["withoutPassword"]),
        (&passwords.len().into(), &0.into())
    );
}
