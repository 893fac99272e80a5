//! Reads passwords and confirmations from a terminal or from standard input.

use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Read, Write};

use tokio::signal::unix::{SignalKind, signal};

/// The maximum length of a line, in bytes. The longest valid password is shorter.
const LINE: u64 = 4096;

/// Reads a new password. On a terminal, the user types the password twice without echo. If standard input is not
/// a terminal, the password is its first line.
pub(super) fn read_new_password() -> Result<String, Box<dyn Error>> {
    if !io::stdin().is_terminal() {
        return read_line();
    }
    // With this handler, Ctrl-C does not end the program before the echo of the terminal is restored.
    let _handler = signal(SignalKind::interrupt())?;
    let password = rpassword::prompt_password("Password: ")?;
    if password != rpassword::prompt_password("Repeat password: ")? {
        return Err("the passwords differ".into());
    }
    Ok(password)
}

fn read_line() -> Result<String, Box<dyn Error>> {
    let mut line = String::new();
    let length = io::stdin().lock().take(LINE).read_line(&mut line);
    let length = length.map_err(|error| format!("the password cannot be read: {error}"))?;
    if length == 0 {
        return Err(
            "no password was given: type the password on a terminal, or write it to standard input as one line".into(),
        );
    }
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Asks `question` on the terminal, unless `yes` is set. Returns the error `refusal` if the answer is not yes, or
/// if there is no terminal.
pub(super) fn confirm(yes: bool, question: &str, refusal: &str) -> Result<(), Box<dyn Error>> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(
            format!("{refusal}: standard input is not a terminal, and --yes is not given").into(),
        );
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().take(LINE).read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(refusal.into()),
    }
}
