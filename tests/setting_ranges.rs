//! The ranges of numeric settings: a value outside is refused at the start, and the server works with
//! every value inside. The settings come from `symbolon --help`.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::TimeDelta;
use symbolon::Config;

use crate::support::{Answer, Cli, Server, TestApp, finish, symbolon, unconfigured_symbolon};

/// The value names of settings that are not numbers.
const NOT_NUMBERS: [&str; 9] = [
    "URL",
    "FILE",
    "ON|OFF",
    "admins|members",
    "NETS",
    "HEADER",
    "NAMES",
    "ORIGINS",
    "HOST",
];

/// Returns the environment variable of each numeric setting, and its flag.
fn numbers() -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let (_, help, _) = finish(symbolon(folder.path()).arg("--help"));
    let mut numbers = BTreeMap::new();
    let mut flag = ("", "");
    for line in help.lines().map(str::trim) {
        if let Some((name, value)) = line
            .strip_prefix("--")
            .and_then(|line| line.split_once(" <"))
        {
            flag = (name, value.trim_end_matches('>'));
        }
        for rest in line.split("[env: ").skip(1) {
            let (name, _) = rest.split_once(']').unwrap();
            if !NOT_NUMBERS.contains(&flag.1) {
                numbers.insert(name.to_owned(), format!("--{}", flag.0));
            }
        }
    }
    numbers
}

/// Returns the bounds of the range that a refusal names.
fn range(refusal: &str) -> Vec<String> {
    let words: Vec<_> = refusal.split_whitespace().collect();
    let from = words
        .windows(4)
        .find(|words| words[0] == "from" && words[2] == "to");
    let number = |word: &str| word.trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
    from.map(|words| vec![number(words[1]), number(words[3])])
        .unwrap_or_default()
}

/// Returns whether a response has no errors except one about the configured limit.
fn is_done(answer: &Answer, setting: &str) -> bool {
    let code = answer.at("/errors/0/extensions/code");
    let limit = answer
        .at("/errors/0/extensions/limit")
        .as_str()
        .unwrap_or_default();
    let configured = setting
        .trim_start_matches("SYMBOLON_LIMIT_")
        .replace('_', "");
    answer.at("/errors").is_null()
        || (code == "LIMIT_EXCEEDED" && limit.eq_ignore_ascii_case(&configured))
}

/// Registers, signs in, renews, purges and reads the audit trail.
async fn works(server: &Server, folder: &Path, (name, value): (&str, &str)) {
    let what = format!("{name}={value}");
    let registered = server.registration("ada").send().await;
    assert!(is_done(&registered, name), "{what}: {registered:?}");
    if registered.at("/data/createUser/user/id").is_string() {
        let signed_in = Answer::of(server.post_tokens("ada")).await;
        assert_eq!(signed_in.status, 200, "{what}: {signed_in:?}");
        let token = signed_in.at("/token").as_str().unwrap();
        let renew = server.graphql("mutation { renewToken { token } }");
        let renewed = renew.bearer(token).send().await;
        assert!(is_done(&renewed, name), "{what}: {renewed:?}");
        let auth = server
            .request(reqwest::Method::GET, "/auth")
            .bearer_auth(token);
        assert_eq!(Answer::of(auth).await.status, 200, "{what}");
    }
    for line in ["token purge", "audit"] {
        let mut command = unconfigured_symbolon(folder);
        let command = command
            .env("SYMBOLON_ARGON2_MEMORY", "8")
            .env(name, value)
            .args(line.split(' '));
        let (code, _, error) = finish(command);
        assert_eq!(code, Some(0), "{what}: {error}");
    }
    let log = server.log();
    assert!(
        !log.contains("panicked") && !log.contains("internal error"),
        "{what}: {log}"
    );
}

#[tokio::test]
async fn every_numeric_setting_is_refused_out_of_range_and_works_within() {
    let numbers = numbers();
    assert!(numbers.len() >= 30, "{numbers:?}");
    for (name, flag) in &numbers {
        let extremes = [
            "-1",
            "0",
            "1",
            "999999999",
            "4294967295",
            "18446744073709551615",
        ];
        let mut values: Vec<_> = extremes.map(str::to_owned).to_vec();
        if name.starts_with("SYMBOLON_THROTTLE_") {
            let rates = [
                "0/1",
                "1/0",
                "1/1",
                "1000000/1",
                "1/1000000",
                "4294967295/4294967295",
            ];
            values.extend(rates.map(str::to_owned));
        }
        let (mut tried, mut refused) = (Vec::new(), 0);
        while let Some(value) = values.pop() {
            // Root can listen on port 1.
            if tried.contains(&value) || (name.ends_with("PORT") && value == "1") {
                continue;
            }
            tried.push(value.clone());
            let folder = tempfile::tempdir().unwrap();
            let started = Server::try_start(folder.path(), |command| {
                command.env(name, &value);
            });
            match started {
                Ok(server) => works(&server, folder.path(), (name, &value)).await,
                Err(refusal) => {
                    refused += 1;
                    assert!(
                        refusal.contains(name.as_str()) && !refusal.contains(&format!("'{flag}")),
                        "{name}={value}: {refusal}"
                    );
                    let is_empty = std::fs::read_dir(folder.path()).unwrap().all(|entry| {
                        // The file `log` has the standard error.
                        entry.unwrap().file_name() == "log"
                    });
                    assert!(is_empty, "{name}={value}");
                    // Tries the bounds of the range as well.
                    values.extend(range(&refusal));
                }
            }
        }
        assert!(refused >= 3, "{name}: {tried:?}");
    }
}

#[tokio::test]
async fn numeric_settings_of_an_embedder_are_checked() {
    let mut config = Config::default();
    config.session_max_age = u32::MAX;
    let refused = symbolon::Symbolon::open(config).await.unwrap_err();
    let expected_text = "session_max_age is 4294967295; the range is 0 to 36500";
    assert_eq!(refused.to_string(), expected_text);
}

#[tokio::test]
async fn the_longest_lifetimes_work_with_renewal_and_purge() {
    let app = TestApp::configured(|config| {
        config.session_max_age = 36_500;
        config.audit_days = 36_500;
        config.token_lifetime = 2_592_000;
    })
    .await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    for _ in 0..3 {
        app.advance(TimeDelta::days(20));
        let renew = app.graphql("mutation { renewToken { expiresIn } }");
        let renewed = renew.bearer(&token).send().await;
        assert_eq!(
            renewed.at("/data/renewToken/expiresIn"),
            2_592_000,
            "{renewed:?}"
        );
    }
}

#[test]
fn settings_out_of_range_are_reported_and_no_file_is_created() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("PORT", "70000"),
        ("HOST", "nowhere.invalid"),
        ("SYMBOLON_TOKEN_LIFETIME", "119"),
        ("SYMBOLON_TOKEN_LIFETIME", "2592001"),
        ("SYMBOLON_ARGON2_MEMORY", "1"),
        ("SYMBOLON_ARGON2_MEMORY", "262145"),
        ("SYMBOLON_MAX_HASH_MEMORY", "19455"),
        ("SYMBOLON_MAX_HASH_MEMORY", "1048577"),
        ("SYMBOLON_ARGON2_ITERATIONS", "17"),
        ("SYMBOLON_HASH_THREADS", "0"),
    ] {
        let mut serve = symbolon(folder.path());
        serve.env("PORT", "0").env(name, value);
        let (code, _, error) = finish(&mut serve);
        assert!(matches!(code, Some(1 | 2)), "{name}={value}");
        let first = error.lines().next().unwrap();
        assert!(
            first.starts_with("error: ") || first.starts_with("symbolon: "),
            "{error}"
        );
        let mut files = std::fs::read_dir(folder.path()).unwrap();
        assert!(files.next().is_none(), "{name}={value}");
    }
}

#[test]
fn a_command_refuses_a_setting_out_of_range() {
    let cli = Cli::in_empty_folder();
    let mut list = cli.command("user list");
    list.env("SYMBOLON_ARGON2_MEMORY", "1");
    let (code, _, error) = finish(&mut list);
    assert_eq!(code, Some(2), "{error}");
    assert!(
        error.contains("SYMBOLON_ARGON2_MEMORY requires a whole number from 8"),
        "{error}"
    );
    assert!(!cli.folder.path().join("symbolon.db").exists());
}
