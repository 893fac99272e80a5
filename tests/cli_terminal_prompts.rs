//! The prompts of commands on a terminal.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::support::{Cli, Process, eventually, succeed};

/// A terminal with a command.
struct Terminal {
    process: Process,
    device: String,
    output: BufReader<ChildStdout>,
    input: ChildStdin,
}

impl Terminal {
    fn run(cli: &Cli, line: &str) -> Self {
        let command = cli.command(line);
        let program = command.get_program().display();
        let script = format!("tty; '{program}' {line}; echo ended with $?");
        let settings = command.get_envs();
        let settings = settings.filter_map(|(name, value)| Some((name, value?)));
        let mut terminal = Command::new("script");
        terminal
            .args(["--quiet", "--flush", "--echo", "always"])
            .args(["--command", &script, "/dev/null"])
            .current_dir(cli.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("SHELL", "/bin/sh")
            .envs(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::start(&mut terminal);
        let (input, output) = process.pipes();
        let mut output = BufReader::new(output);
        let mut device = String::new();
        output.read_line(&mut device).unwrap();
        Self {
            process,
            device: device.trim_end().to_owned(),
            output,
            input,
        }
    }

    /// Returns the output up to this text.
    fn shows(&mut self, last: &str) -> String {
        let mut shown = Vec::new();
        while !shown.ends_with(last.as_bytes()) {
            let mut byte = [0];
            let read = self.output.read(&mut byte).unwrap();
            assert!(read > 0, "no {last:?}: {}", String::from_utf8_lossy(&shown));
            shown.extend(byte);
        }
        String::from_utf8(shown).unwrap()
    }

    /// Returns the output up to the end.
    fn ends(mut self) -> String {
        let mut shown = String::new();
        self.output.read_to_string(&mut shown).unwrap();
        assert!(self.process.wait(Duration::from_secs(30)).success());
        shown
    }

    /// Returns whether the terminal echoes input.
    fn echoes(&self) -> bool {
        let settings = succeed(Command::new("stty").args(["-a", "-F", &self.device]));
        !settings
            .split_whitespace()
            .any(|setting| setting == "-echo")
    }

    async fn types(&mut self, shown: bool, keys: &str) {
        eventually("the terminal is ready", async || {
            (self.echoes() == shown).then_some(())
        })
        .await;
        self.input.write_all(keys.as_bytes()).unwrap();
    }
}

#[tokio::test]
#[ignore = "needs script(1)"]
async fn a_password_is_entered_twice_without_echo() {
    let cli = Cli::with_users(&["root"]);
    for (again, expected_text, accounts) in [
        (
            "correct house\r",
            "symbolon: the passwords differ\r\nended with 1\r\n",
            1,
        ),
        // Ctrl-C
        ("\u{3}", "symbolon: interrupted\r\nended with 1\r\n", 1),
        ("correct horse\r", "ada is added\r\nended with 0\r\n", 2),
    ] {
        let mut terminal = Terminal::run(&cli, "user add ada");
        let named = format!("symbolon: database {}\r\n", cli.database());
        assert_eq!(terminal.shows("Password: "), format!("{named}Password: "));
        terminal.types(false, "correct horse\r").await;
        let repeat = "Repeat password: ";
        assert_eq!(terminal.shows(repeat), format!("\r\n{repeat}"));
        terminal.types(false, again).await;
        assert_eq!(terminal.ends(), format!("\r\n{expected_text}"));
        assert_eq!(cli.json("user list").len(), accounts);
    }
}

#[tokio::test]
#[ignore = "needs script(1)"]
async fn user_delete_asks_for_confirmation() {
    let cli = Cli::with_users(&["root", "ada"]);
    for (answer, expected_text) in [
        ("", "symbolon: nothing is deleted\r\nended with 1\r\n"),
        ("no", "symbolon: nothing is deleted\r\nended with 1\r\n"),
        ("y", "ada is deleted\r\nended with 0\r\n"),
    ] {
        let mut terminal = Terminal::run(&cli, "user delete ADA");
        let named = format!("symbolon: database {}\r\n", cli.database());
        let asks = format!("{named}delete ada? [y/N] ");
        assert_eq!(terminal.shows("[y/N] "), asks);
        terminal.types(true, &format!("{answer}\r")).await;
        assert_eq!(terminal.ends(), format!("{answer}\r\n{expected_text}"));
    }
    assert_eq!(cli.json("user list").len(), 1);
}

#[tokio::test]
#[ignore = "needs script(1)"]
async fn token_revoke_all_asks_for_confirmation() {
    let cli = Cli::with_users(&["root"]);
    for (answer, expected_text) in [
        ("", "symbolon: no token is revoked\r\nended with 1\r\n"),
        ("no", "symbolon: no token is revoked\r\nended with 1\r\n"),
        (
            "yes",
            "live tokens of all users revoked: 0\r\nended with 0\r\n",
        ),
    ] {
        let mut terminal = Terminal::run(&cli, "token revoke --all");
        let named = format!("symbolon: database {}\r\n", cli.database());
        let asks = format!(
            "{named}revoke the session tokens, access tokens and unused one-time links of all users? [y/N] "
        );
        assert_eq!(terminal.shows("[y/N] "), asks);
        terminal.types(true, &format!("{answer}\r")).await;
        assert_eq!(terminal.ends(), format!("{answer}\r\n{expected_text}"));
    }
}
