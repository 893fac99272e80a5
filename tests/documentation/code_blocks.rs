//! Each code block of each Markdown file is run, compiled or parsed, or has a comment that contains the reason why not:
//! `<!-- not run: REASON -->`.

use std::fs;
use std::process::Command;

use symbolon::{Config, Symbolon};

use crate::security_md_references::exists;
use crate::support::{finish_with, succeed};

use super::{Block, Page, commands, pages, root};

/// The maximum number of blocks that are not run.
const MAX_NOT_RUN: usize = 21;

/// Returns whether a word sets a variable of the command after it.
fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// Returns whether a line only starts the server, a program of the repository, or npm in the folder of the page.
fn only_starts_a_program(page: &Page, line: &str) -> bool {
    let words = line
        .split_whitespace()
        .skip_while(|word| is_assignment(word));
    let words: Vec<_> = words.collect();
    match words[..] {
        ["symbolon"]
        | ["cargo", "run", "--release"]
        | ["cd", _]
        | ["npm", "ci" | "create" | "install", ..] => true,
        ["npm", "run", script] => {
            let folder = root().join(&page.name).parent().unwrap().to_owned();
            let manifest = fs::read_to_string(folder.join("package.json")).unwrap();
            let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
            manifest["scripts"][script].is_string()
        }
        [program] => program.contains('/') && root().join(program).is_file(),
        _ => false,
    }
}

/// Returns the test or the script that checks a block.
fn checked_by(page: &Page, block: &Block) -> Option<&'static str> {
    let is_step = block
        .comment
        .as_deref()
        .is_some_and(|comment| comment.starts_with("file: "));
    let is_shell = block.language == "sh";
    if is_shell
        && block
            .text
            .lines()
            .all(|line| only_starts_a_program(page, line))
    {
        return Some("documentation::code_blocks::every_block_is_checked_or_says_why_not");
    }
    Some(match (&*page.name, &*block.language) {
        // Output, which is not code. If a command of a page prints it, the test of the commands compares it.
        (_, "text") => {
            "documentation::commands::the_commands_of_the_pages_print_what_the_pages_show"
        }
        (_, "json") => "documentation::code_blocks::json_is_valid",
        (_, "url") => "documentation::code_blocks::database_urls_are_accepted",
        (_, "yaml") => "documentation::code_blocks::yaml_is_valid",
        ("README.md", "sh") if block.text.contains("curl ") => {
            "readme::the_curl_commands_work_unchanged"
        }
        ("README.md", "sh") if commands::runs_only_symbolon(block) => {
            "documentation::commands::every_command_of_the_program_in_a_page_exists"
        }
        ("README.md", "js") => "readme::the_code_for_apollo_is_that_of_the_client_package",
        ("README.md", "toml" | "rust") => "scripts/embedding-guide",
        ("clients/js/README.md", "js") => "clients/js/test/package.test.mjs",
        ("docs/embedding.md", "toml" | "rust") if is_step => "scripts/embedding-guide",
        ("docs/proxies.md", "nginx") => "proxies::nginx::the_service_gets_the_identity",
        ("docs/proxies.md", "caddyfile") => "proxies::caddy::the_service_gets_the_identity",
        ("docs/proxies.md", "haproxy") => "proxies::haproxy::the_service_gets_the_identity",
        ("docs/scaling.md", "haproxy") => {
            "documentation::code_blocks::haproxy_accepts_the_configuration"
        }
        ("docs/graphql-api.md", "graphql") => {
            "documentation::graphql_api::every_operation_has_the_answer_that_the_page_shows"
        }
        (name, "sh") if commands::PAGES.contains(&name) => {
            "documentation::commands::the_commands_of_the_pages_print_what_the_pages_show"
        }
        _ => return None,
    })
}

#[test]
fn every_block_is_checked_or_says_why_not() {
    let (mut unchecked, mut not_run) = (Vec::new(), 0);
    for page in pages() {
        for block in page.blocks() {
            if commands::is_not_run(&block) {
                not_run += 1;
                continue;
            }
            let place = format!("{}:{}: {}", page.name, block.line, block.language);
            match checked_by(&page, &block) {
                Some(program) if program.contains('/') => {
                    assert!(root().join(program).exists(), "{program}");
                }
                // Tests of all proxies come from one macro.
                Some(test) if test.starts_with("proxies::") => {}
                Some(test) => assert!(exists(test), "{test} does not exist"),
                None => unchecked.push(place),
            }
        }
        let mut is_after_space = false;
        for (number, line) in page.prose() {
            // An indented block has no language.
            assert!(
                !(is_after_space && line.starts_with("    ")),
                "{}:{number}: {line}",
                page.name
            );
            is_after_space = line.is_empty();
        }
    }
    assert_eq!(unchecked, [""; 0]);
    assert!(not_run <= MAX_NOT_RUN, "{not_run}");
}

/// Returns all blocks of a language, with their places.
fn blocks(language: &str) -> Vec<(String, Block)> {
    let mut found = Vec::new();
    for page in pages() {
        let blocks = page.blocks().into_iter();
        let blocks = blocks.filter(|block| block.language == language);
        found.extend(blocks.map(|block| (format!("{}:{}", page.name, block.line), block)));
    }
    assert!(!found.is_empty());
    found
}

/// Returns the first block of a language in a page.
fn first_block(page: &str, language: &str) -> Block {
    let mut blocks = Page::read(page).blocks().into_iter();
    blocks.find(|block| block.language == language).unwrap()
}

#[test]
fn json_is_valid() {
    for (place, block) in blocks("json") {
        // An abbreviated value is a string.
        let valid = serde_json::from_str::<serde_json::Value>(&block.text);
        assert!(valid.is_ok(), "{place}: {valid:?}");
    }
}

#[test]
fn database_urls_are_accepted() {
    for (place, block) in blocks("url") {
        for url in block.text.lines() {
            let name = Symbolon::database_name(&Config::new(url));
            assert!(name.is_ok(), "{place}: {url}: {name:?}");
        }
    }
}

#[test]
fn shell_commands_are_syntactically_valid() {
    for (place, block) in blocks("sh") {
        let (code, _, error) = finish_with(Command::new("bash").arg("-n"), &block.text);
        assert_eq!(code, Some(0), "{place}: {error}");
    }
}

#[test]
#[ignore = "needs PyYAML, which scripts/test installs"]
fn yaml_is_valid() {
    for (place, block) in blocks("yaml") {
        let mut python = Command::new("python3");
        python.args([
            "-c",
            "import sys, yaml; list(yaml.safe_load_all(sys.stdin))",
        ]);
        let (code, _, error) = finish_with(&mut python, &block.text);
        assert_eq!(code, Some(0), "{place}: {error}");
    }
}

#[test]
#[ignore = "needs promtool, which scripts/test installs"]
fn prometheus_accepts_the_configuration() {
    let block = first_block("docs/monitoring.md", "yaml");
    let folder = tempfile::tempdir().unwrap();
    fs::copy(
        root().join("deploy/alerts.yml"),
        folder.path().join("alerts.yml"),
    )
    .unwrap();
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, block.text).unwrap();
    succeed(Command::new("promtool").args(["check", "config"]).arg(file));
}

#[test]
#[ignore = "needs HAProxy, which scripts/test installs"]
fn haproxy_accepts_the_configuration() {
    let block = first_block("docs/scaling.md", "haproxy");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("haproxy.cfg");
    fs::write(&file, block.text).unwrap();
    succeed(Command::new("haproxy").args(["-c", "-q", "-f"]).arg(file));
}
