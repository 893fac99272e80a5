//! The shell commands of the pages. Each page runs as one script beside a server, and prints what the page shows. A comment
//! `before: COMMAND` before a block runs a command that the page does not show.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use sea_orm::ConnectionTrait;

use crate::support::{Server, finish, unconfigured_symbolon};

use super::{Block, Page, has_form, pages};

/// The pages whose commands run, except blocks with a comment `not run` and the reason.
pub(super) const PAGES: [&str; 5] = [
    "docs/after-a-leak.md",
    "docs/import.md",
    "docs/moving-from.md",
    "docs/operation.md",
    "docs/quick-start.md",
];

/// The password that commands read from standard input.
const PROLOGUE: &str = r#"symbolon() { command symbolon "$@" <<< "correct horse"; }"#;

pub(super) fn is_not_run(block: &Block) -> bool {
    let comment = block.comment.as_deref().unwrap_or_default();
    comment.starts_with("not run: ")
}

fn is_run(block: &Block) -> bool {
    block.language == "sh" && !is_not_run(block)
}

/// Returns the output that the page shows: the block that follows directly.
fn shown_output<'a>(block: &Block, next: Option<&'a Block>) -> Option<&'a str> {
    let next = next?;
    let end = block.line + block.text.lines().count() + 1;
    let is_output = ["text", "json"].contains(&&*next.language) && next.line <= end + 2;
    is_output.then_some(&*next.text)
}

/// Creates the database of a Flask application with the user `susan`, whose password is that of the pages.
async fn create_flask_database(folder: &Path) {
    let url = format!("sqlite://{}?mode=rwc", folder.join("app.db").display());
    let flask = sea_orm::Database::connect(url).await.unwrap();
    for statement in [
        "CREATE TABLE user (id INTEGER PRIMARY KEY, username TEXT, email TEXT, password_hash TEXT)",
        "INSERT INTO user VALUES (1, 'susan', 'susan@example.org', 'scrypt:32768:8:1$Q8xVb2nYk4$\
         d0dab3dddc0ebafd8220eb9f0664c73c93682a721091f6c91cae690e23b9da9e\
         9b007db01333b437e43bf07e923c8ea4a4a95f36c3300ea2ab45f7bf4972494c')",
    ] {
        flask.execute_unprepared(statement).await.unwrap();
    }
    flask.close().await.unwrap();
}

async fn run(page: &Page) {
    let folder = tempfile::tempdir().unwrap();
    create_flask_database(folder.path()).await;
    let server = Server::configured(folder.path(), |command| {
        command.env("SYMBOLON_PUBLIC_URL", "https://login.example.org");
    });
    let blocks = page.blocks();
    let mut script = format!("{PROLOGUE}\n");
    for block in blocks.iter().filter(|block| is_run(block)) {
        let comment = block.comment.as_deref().unwrap_or_default();
        let before = comment.strip_prefix("before: ").unwrap_or(":");
        script += &format!(
            "{before}\necho '<<<{}>>>'\n{}\necho\n",
            block.line, block.text
        );
    }
    let script = script.replace("http://127.0.0.1:8000", &server.base);
    let programs = Path::new(env!("CARGO_BIN_EXE_symbolon")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", path)
        .env("SYMBOLON_PUBLIC_URL", "https://login.example.org")
        .env("SYMBOLON_ARGON2_MEMORY", "8");
    let (code, output, error) = finish(&mut bash);
    assert_eq!(code, Some(0), "{}: {output}{error}", page.name);
    for (index, block) in blocks.iter().enumerate().filter(|(_, block)| is_run(block)) {
        let Some(form) = shown_output(block, blocks.get(index + 1)) else {
            continue;
        };
        let (_, rest) = output
            .split_once(&format!("<<<{}>>>\n", block.line))
            .unwrap();
        let printed = rest.split("\n<<<").next().unwrap().trim();
        assert!(
            has_form(printed, form.trim()),
            "{}:{}: {printed}",
            page.name,
            block.line
        );
    }
}

#[tokio::test]
async fn the_commands_of_the_pages_print_what_the_pages_show() {
    for name in PAGES {
        run(&Page::read(name)).await;
    }
}

/// Returns the arguments of each command `symbolon` in a block.
fn symbolon_commands(block: &Block) -> Vec<Vec<String>> {
    let text = block.text.replace("\\\n", " ");
    let mut commands = Vec::new();
    for line in text.lines() {
        let words = line.split_whitespace().take_while(|word| *word != "#");
        let words: Vec<_> = words.collect();
        for (at, _) in words
            .iter()
            .enumerate()
            .filter(|(_, word)| **word == "symbolon")
        {
            let arguments = words[at + 1..].iter();
            let is_end = |word: &&&str| word.starts_with(['<', '>', '|', '&', ';', '…', '.']);
            let arguments = arguments.take_while(|word| !is_end(word));
            let arguments: Vec<_> = arguments
                .map(|word| {
                    word.trim_end_matches([';', ')'])
                        .trim_matches(['"', '\''])
                        .to_owned()
                })
                .collect();
            // The name can also be that of a unit, an image, a user or a database.
            let is_command = arguments.first().is_some_and(|word| {
                word != "symbolon" && word.starts_with(|c: char| c.is_ascii_lowercase())
            });
            if is_command {
                commands.push(arguments);
            }
        }
    }
    commands
}

/// Returns whether each line of a block runs a command of the program.
pub(super) fn runs_only_symbolon(block: &Block) -> bool {
    let lines = block.text.replace("\\\n", " ").lines().count();
    symbolon_commands(block).len() == lines
}

#[test]
fn every_command_of_the_program_in_a_page_exists() {
    let folder = tempfile::tempdir().unwrap();
    let mut commands = BTreeSet::new();
    for page in pages() {
        let blocks = page.blocks();
        for block in blocks.iter().filter(|block| block.language == "sh") {
            let found = symbolon_commands(block).into_iter();
            commands.extend(found.map(|command| (command, page.name.clone())));
        }
    }
    assert!(commands.len() >= 15, "{}", commands.len());
    for (command, page) in commands {
        let mut help = unconfigured_symbolon(folder.path());
        // The help is printed if all arguments before it are valid.
        let (code, _, error) = finish(help.args(&command).arg("--help"));
        assert_eq!(code, Some(0), "{page}: {command:?}: {error}");
    }
}
