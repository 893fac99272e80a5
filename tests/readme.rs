//! The commands and examples of the README, and the command in docs/operation.md that runs another one as the service.

use std::process::Command;

use crate::support::Server;

const README: &str = include_str!("../README.md");
const OPERATION: &str = include_str!("../docs/operation.md");

/// Returns the code blocks of the README in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let blocks = README.split(fence.as_str()).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

#[test]
fn the_curl_commands_work_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let curl = blocks("sh")
        .into_iter()
        .filter(|block| block.contains("curl "));
    let script = curl.collect::<String>();
    assert!(script.contains("createToken") && script.contains("/tokens"));
    // The outputs that the README shows, up to an ellipsis.
    let shown = script.lines().filter_map(|line| line.strip_prefix("# "));
    let shown: Vec<_> = shown
        .map(|line| line.trim_end_matches(" …").to_owned())
        .collect();
    assert_eq!(shown.len(), 4);
    let script = script.replace("http://127.0.0.1:8000", &server.base);
    // Each command prints the output that the README shows.
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{answers}{errors}");
    for expected in shown.iter().map(String::as_str).chain(["\n204\n"]) {
        assert!(answers.contains(expected), "{expected} is not in {answers}");
    }
}

#[test]
fn the_code_for_apollo_is_that_of_the_client_package() {
    // A test in a browser runs the code of the package's README.
    let package = include_str!("../clients/js/README.md");
    let code = blocks("js");
    assert_eq!(code.len(), 1);
    assert!(package.contains(code[0]), "{}", code[0]);
}

#[test]
fn the_maintenance_command_has_the_settings_of_the_unit() {
    let unit = include_str!("../deploy/symbolon.service");
    let find = |text: &str| {
        let start = text.find("systemd-run ").unwrap();
        let command = text[start..].split(" user add ").next().unwrap();
        command.replace("\\\n", " ").replace('#', " ")
    };
    let words = |text: &str| {
        let command = find(text);
        let words = command.split_whitespace().map(str::to_owned);
        words.collect::<Vec<_>>()
    };
    let (page, unit_says) = (words(OPERATION), words(unit));
    assert_eq!(page, unit_says);
    let unit_line = |setting: &str| {
        let lines = unit.lines();
        let start = format!("{setting}=");
        let mut lines = lines.filter(|line| line.starts_with(&start));
        lines.next().unwrap().to_owned()
    };
    for setting in [
        "DynamicUser",
        "User",
        "StateDirectory",
        "WorkingDirectory",
        "EnvironmentFile",
    ] {
        let line = unit_line(setting);
        assert!(page.contains(&line), "{line}: {page:?}");
    }
    // Commands use the database file of the service by default.
    let folder = unit_line("WorkingDirectory");
    let folder = folder.split_once('=').unwrap().1;
    let file = format!("Environment=DATABASE_URL=sqlite://{folder}/symbolon.db");
    assert!(unit.lines().any(|line| line == file), "{file}");
}

#[test]
fn the_readme_is_short() {
    assert!(README.lines().count() < 200);
}
