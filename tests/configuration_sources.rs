//! The sources of settings: options, environment variables and defaults. The settings come from the help of the
//! program, and their effective values from `symbolon check`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Cli, Process, finish, unconfigured_symbolon};

/// An invalid value of every setting. It is in no message, because a value may be a misplaced password.
const BAD: &str = "a misplaced secret!";

/// The variables without an option.
const WITHOUT_OPTION: [&str; 3] = ["SYMBOLON_SECRET_KEY", "SYMBOLON_LOG", "SYMBOLON_LOG_FORMAT"];

/// A setting, as described by the help.
struct Setting {
    flag: String,
    value: String,
    variables: Vec<String>,
}

fn settings() -> Vec<Setting> {
    let folder = tempfile::tempdir().unwrap();
    let (_, help, _) = finish(unconfigured_symbolon(folder.path()).args(["serve", "--help"]));
    let mut settings: Vec<Setting> = Vec::new();
    for line in help.lines().map(str::trim) {
        let option = line
            .strip_prefix("--")
            .and_then(|line| line.split_once(" <"));
        if let Some((flag, value)) = option {
            settings.push(Setting {
                flag: format!("--{flag}"),
                value: value.trim_end_matches('>').to_owned(),
                variables: Vec::new(),
            });
        }
        for name in line.split("[env: ").skip(1) {
            let name = name.split(']').next().unwrap().to_owned();
            settings.last_mut().unwrap().variables.push(name);
        }
    }
    assert!(settings.len() >= 40);
    settings
}

/// The value and the source of each setting by its variable, and the details of the checks.
#[derive(Debug, PartialEq)]
struct Report {
    settings: BTreeMap<String, (String, String)>,
    checks: Vec<String>,
}

fn report(environment: &[(&str, &str)], arguments: &[&str]) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let mut command = unconfigured_symbolon(folder.path());
    command.args(["check", "--json"]).args(arguments);
    let (_, output, error) = finish(command.envs(environment.iter().copied()));
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let mut report = Report {
        settings: BTreeMap::new(),
        checks: Vec::new(),
    };
    for line in output.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        if row["setting"].is_string() {
            let value = (text(&row, "value"), text(&row, "source"));
            report.settings.insert(text(&row, "setting"), value);
        } else if row["check"] == "environment" {
            report.checks.push(text(&row, "detail"));
        }
    }
    assert!(!report.settings.is_empty(), "{environment:?}: {error}");
    // The database is in a folder of this call.
    report
        .settings
        .entry("DATABASE_URL".to_owned())
        .and_modify(|(value, _)| {
            if let Some((_, name)) = value.rsplit_once('/') {
                *value = name.to_owned();
            }
        });
    report
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let settings = settings();
    let names = settings.iter().flat_map(|setting| &setting.variables);
    let names: Vec<_> = names.map(String::as_str).chain(WITHOUT_OPTION).collect();
    let default = report(&[], &[]);
    for name in &names {
        assert!(
            default.settings.contains_key(*name) || ["HOST", "PORT"].contains(name),
            "{name} is not in the report"
        );
    }
    assert!(
        default
            .settings
            .values()
            .all(|(_, source)| source == "default")
    );
    for empty in ["", " ", "\n"] {
        let environment: Vec<_> = names.iter().map(|name| (*name, empty)).collect();
        assert_eq!(report(&environment, &[]), default);
    }
}

#[test]
fn an_option_precedes_a_variable_and_the_report_names_the_source() {
    let settings = settings();
    let default = report(&[], &[]);
    let valid = |setting: &Setting| {
        let value = &default.settings[&setting.variables[0]].0;
        match (value.as_str(), setting.value.as_str()) {
            ("-", "FILE") => "./key".to_owned(),
            ("-", "URL") => "https://login.example.org".to_owned(),
            ("-", "NETS") => "10.0.0.0/8".to_owned(),
            ("-", "ORIGINS") => "https://app.example.org".to_owned(),
            ("-", _) => "1".to_owned(),
            ("symbolon.db", _) => "sqlite://symbolon.db".to_owned(),
            (value, _) => value.to_owned(),
        }
    };
    let values: Vec<_> = settings.iter().map(valid).collect();
    let environment: Vec<_> = settings.iter().zip(&values).collect();
    let variables: Vec<_> = environment
        .iter()
        .map(|(setting, value)| (setting.variables[0].as_str(), value.as_str()))
        .collect();
    let from_variables = report(&variables, &[]).settings;
    for (name, _) in &variables {
        assert_eq!(from_variables[*name].1, *name);
    }
    let options: Vec<_> = environment
        .iter()
        .flat_map(|(setting, value)| [setting.flag.as_str(), value.as_str()])
        .collect();
    let invalid: Vec<_> = variables.iter().map(|(name, _)| (*name, BAD)).collect();
    let from_options = report(&invalid, &options).settings;
    for setting in &settings {
        let name = &setting.variables[0];
        assert_eq!(from_options[name].1, setting.flag);
        assert_eq!(from_options[name].0, from_variables[name].0);
    }
}

#[test]
fn the_message_about_a_bad_value_names_what_was_read_and_contains_no_part_of_the_value() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |environment: Option<&str>, option: Option<&str>| {
        let mut command = unconfigured_symbolon(folder.path());
        command.arg("serve").env("PORT", "0");
        command.envs(environment.map(|name| (name, BAD)));
        command.args(option.into_iter().flat_map(|flag| [flag, BAD]));
        let (code, output, error) = finish(&mut command);
        assert!(
            matches!(code, Some(1 | 2)),
            "{environment:?} {option:?}: {error}"
        );
        assert_eq!(output, "");
        let error = error.lines().next().unwrap().to_owned();
        assert!(!error.contains("misplaced"), "{error}");
        error
    };
    let begins = |error: &str, name: &str| {
        let text = error.split_once(": ").unwrap().1;
        text.starts_with(&format!("{name} ")) || text.starts_with(&format!("{name}: "))
    };
    for Setting {
        flag, variables, ..
    } in settings()
    {
        for name in &variables {
            let error = refusal(Some(name), None);
            assert!(
                begins(&error, name) && !error.contains("--"),
                "{name}: {error}"
            );
        }
        let error = refusal(None, Some(&flag));
        assert!(begins(&error, &flag), "{flag}: {error}");
        assert!(
            !variables.iter().any(|name| error.contains(name)),
            "{flag}: {error}"
        );
    }
    for name in WITHOUT_OPTION {
        let error = refusal(Some(name), None);
        assert!(begins(&error, name), "{name}: {error}");
    }
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn a_key_in_place_of_a_path_is_in_no_message() {
    let folder = tempfile::tempdir().unwrap();
    let key = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let hexadecimal = "01".repeat(32);
    let values = [
        format!("{key}="),
        key.to_owned(),
        format!("'{key}='"),
        format!("\"{key}=\""),
        format!("base64:{key}="),
        format!("./{key}="),
        key.replace('Q', "/"),
        key.replace('Q', "_"),
        hexadecimal.clone(),
        format!("hex:{hexadecimal}"),
        "passphrase".to_owned(),
    ];
    let commands = ["serve", "check", "user list"].into_iter().cycle();
    for (value, command) in values.iter().zip(commands) {
        let mut program = unconfigured_symbolon(folder.path());
        program
            .args(command.split(' '))
            .env("SYMBOLON_SECRET_KEY_FILE", value);
        let (code, output, error) = finish(&mut program);
        assert_eq!(code, Some(2), "{value}: {error}");
        assert!(
            error.contains("SYMBOLON_SECRET_KEY_FILE requires the path"),
            "{error}"
        );
        assert!(!(output + &error).contains(value.trim_matches(['"', '\''])));
    }
}

#[test]
fn a_key_and_a_key_file_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let key = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    for (variable, option, file) in [
        (
            "",
            &["--secret-key-file", "./a.key"][..],
            "--secret-key-file",
        ),
        ("./a.key", &[], "SYMBOLON_SECRET_KEY_FILE"),
    ] {
        let mut serve = unconfigured_symbolon(folder.path());
        serve.envs([
            ("SYMBOLON_SECRET_KEY", key),
            ("SYMBOLON_SECRET_KEY_FILE", variable),
        ]);
        let (code, _, error) = finish(serve.args(option));
        assert_eq!(code, Some(2), "{error}");
        let expected = format!("SYMBOLON_SECRET_KEY and {file} are both set");
        assert!(error.contains(&expected), "{error}");
        assert!(!error.contains(key), "{error}");
    }
}

/// The start fails before the log exists, with a log level that disables the error, and with invalid settings.
#[test]
fn an_error_that_ends_the_start_is_always_written() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let invalid = OsStr::from_bytes(b"\xff");
    for (name, value, code, text) in [
        ("SYMBOLON_LOG", OsStr::new("loud"), 1, "SYMBOLON_LOG "),
        ("SYMBOLON_LOG", invalid, 1, "SYMBOLON_LOG "),
        ("PORT", OsStr::new(&port), 1, "cannot listen on"),
        ("PORT", OsStr::new("80000"), 2, "PORT "),
        (
            "SYMBOLON_TOKEN_LIFETIME",
            invalid,
            2,
            "SYMBOLON_TOKEN_LIFETIME ",
        ),
        ("DATABASE_URL", OsStr::new("nonsense"), 1, "DATABASE_URL: "),
    ] {
        for format in ["json", "text"] {
            let mut serve = unconfigured_symbolon(folder.path());
            serve.envs([("PORT", "0"), ("SYMBOLON_LOG", "off")]);
            serve.env("SYMBOLON_LOG_FORMAT", format).env(name, value);
            let (found, output, error) = finish(&mut serve);
            assert_eq!((found, output.as_str()), (Some(code), ""), "{name}");
            let message = if format == "json" {
                let line: Value = serde_json::from_str(&error).unwrap();
                assert_eq!(line["level"], "ERROR");
                line["message"].as_str().unwrap().to_owned()
            } else {
                error.split_once(": ").unwrap().1.to_owned()
            };
            assert!(message.starts_with(text), "{name}: {message}");
        }
    }
    let mut serve = unconfigured_symbolon(folder.path());
    serve.env("SYMBOLON_LOG_FORMAT", invalid);
    let (code, _, error) = finish(&mut serve);
    assert_eq!(code, Some(1));
    assert!(error.contains("SYMBOLON_LOG_FORMAT"), "{error}");
}

#[test]
fn an_empty_option_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for flag in ["--port", "--database-url", "--cors-origins"] {
        let (code, _, error) = finish(unconfigured_symbolon(folder.path()).args([flag, " "]));
        assert_eq!(code, Some(2), "{error}");
        assert!(
            error.contains(&format!("{flag} requires a value")),
            "{error}"
        );
    }
}

#[test]
fn all_booleans_accept_the_same_words_and_lists_are_trimmed() {
    let settings = settings();
    let booleans = settings.iter().filter(|setting| setting.value == "ON|OFF");
    let booleans: Vec<_> = booleans
        .map(|setting| setting.variables[0].as_str())
        .collect();
    assert!(booleans.len() >= 5);
    for (words, expected) in [
        (["on", "TRUE", "Yes", " 1 "], "on"),
        (["OFF", "false", "no", "0\n"], "off"),
    ] {
        for word in words {
            let environment: Vec<_> = booleans.iter().map(|name| (*name, word)).collect();
            let report = report(&environment, &[]);
            for name in &booleans {
                assert_eq!(report.settings[*name].0, expected, "{name}={word}");
            }
        }
    }
    let lists = [
        (
            "SYMBOLON_TRUSTED_PROXIES",
            " 10.0.0.0/8 , ,::1,\n",
            "10.0.0.0/8,::1/128",
        ),
        (
            "SYMBOLON_CORS_ORIGINS",
            "https://a.example , https://b.example,",
            "https://a.example,https://b.example",
        ),
        ("SYMBOLON_CORS_HEADERS", "x-a, ,X-B,", "x-a,X-B"),
        (
            "SYMBOLON_LOG",
            " info , symbolon=debug,",
            "info , symbolon=debug,",
        ),
    ];
    let environment = lists.map(|(name, value, _)| (name, value));
    let report = report(&environment, &[]);
    for (name, _, expected) in lists {
        assert_eq!(report.settings[name].0, expected);
    }
}

#[test]
fn the_variables_of_symbolon_precede_host_and_port() {
    let shared = [("HOST", "0.0.0.0"), ("PORT", "1234")];
    let read = report(&shared, &[]).settings;
    assert_eq!(read["SYMBOLON_HOST"], ("0.0.0.0".into(), "HOST".into()));
    assert_eq!(read["SYMBOLON_PORT"], ("1234".into(), "PORT".into()));
    let both = [
        &shared[..],
        &[("SYMBOLON_HOST", "::1"), ("SYMBOLON_PORT", "0")],
    ]
    .concat();
    let read = report(&both, &[]).settings;
    assert_eq!(
        read["SYMBOLON_HOST"],
        ("::1".into(), "SYMBOLON_HOST".into())
    );
    assert_eq!(read["SYMBOLON_PORT"], ("0".into(), "SYMBOLON_PORT".into()));
}

#[test]
fn only_commands_that_listen_read_the_address() {
    let cli = Cli::with_users(&["ada"]);
    for line in [
        "user list",
        "token list",
        "audit",
        "migrate",
        "user show ada",
    ] {
        let mut command = cli.command(line);
        command.envs([
            ("HOST", "a host:1"),
            ("PORT", "none"),
            ("SYMBOLON_METRICS_PORT", "x"),
        ]);
        let (code, _, error) = finish(&mut command);
        assert_eq!(code, Some(0), "{line}: {error}");
    }
    let mut serve = cli.command("serve");
    let (code, _, error) = finish(serve.env("HOST", "name.invalid"));
    assert_eq!(code, Some(1), "{error}");
    assert!(
        error.starts_with("symbolon: HOST: the host name name.invalid"),
        "{error}"
    );
}

/// Runs the server until its log contains `last`. Returns standard output and the log.
fn run_server(command: &mut Command, last: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["output", "log"].map(|name| folder.path().join(name));
    let [output, log] = paths
        .each_ref()
        .map(|path| std::fs::File::create(path).unwrap());
    command.stdin(Stdio::null()).stdout(output).stderr(log);
    let mut process = Process::start(command);
    let texts = || {
        paths
            .each_ref()
            .map(|path| std::fs::read_to_string(path).unwrap())
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while !texts().iter().any(|text| text.contains(last)) {
        assert!(Instant::now() < deadline, "{:?}", texts());
        std::thread::sleep(Duration::from_millis(5));
    }
    process.signal("TERM");
    assert!(
        process.wait(Duration::from_secs(25)).success(),
        "{:?}",
        texts()
    );
    texts().into()
}

#[test]
fn unknown_variables_and_service_links_are_logged_once() {
    let cli = Cli::in_empty_folder();
    let mut serve = cli.command("serve");
    serve.envs([
        ("SYMBOLON_HOST", "localhost"),
        ("SYMBOLON_TOKEN_LIFTIME", "a value"),
        ("SYMBOLON_UNRELATED", "a value"),
        ("SYMBOLON_EMPTY", ""),
        ("SYMBOLON_PORT", "tcp://10.96.0.7:8000"),
        ("SYMBOLON_PORT_8000_TCP_ADDR", "10.96.0.7"),
        ("SYMBOLON_SERVICE_HOST", "10.96.0.7"),
        ("SYMBOLON_METRICS_PORT", "tcp://10.96.0.8:9090"),
    ]);
    let (output, log) = run_server(&mut serve, "try first");
    assert!(output.contains("http://127.0.0.1:"), "{output}");
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    let unknown = "unknown variable SYMBOLON_TOKEN_LIFTIME; did you mean SYMBOLON_TOKEN_LIFETIME?";
    assert_eq!(lines(unknown), 1, "{log}");
    assert_eq!(lines("SYMBOLON_UNRELATED"), 1, "{log}");
    assert_eq!(lines("WARN"), 2, "{log}");
    assert_eq!(lines("service links of Kubernetes"), 1, "{log}");
    for name in ["SYMBOLON_PORT,", "TCP_ADDR", "SERVICE_HOST", "METRICS_PORT"] {
        assert_eq!(lines(name), 1, "{name}: {log}");
    }
    assert!(!log.contains("a value") && !log.contains("EMPTY"), "{log}");
}

#[test]
fn with_a_json_log_the_server_writes_only_json_lines() {
    let cli = Cli::in_empty_folder();
    let mut serve = cli.command("serve");
    serve.env("SYMBOLON_LOG_FORMAT", "JSON");
    let (output, log) = run_server(&mut serve, "Symbolon is listening");
    assert_eq!(output, "");
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let start = lines
        .iter()
        .find(|line| line["message"] == "Symbolon is listening");
    assert!(
        start.unwrap()["url"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    assert!(
        start.unwrap()["database"]
            .as_str()
            .is_some_and(|name| name == cli.database())
    );
    let mut serve = cli.command("serve");
    serve.envs([
        ("SYMBOLON_LOG_FORMAT", "json"),
        ("DATABASE_URL", "nonsense"),
    ]);
    let (code, output, log) = finish(&mut serve);
    assert_eq!((code, output.as_str()), (Some(1), ""));
    let error: Value = serde_json::from_str(&log).unwrap();
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("DATABASE_URL: "),
        "{log}"
    );
}
