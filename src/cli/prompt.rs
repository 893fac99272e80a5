//! Passwords and confirmations, from a terminal or from standard input.

use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Read, Write};

use tokio::signal::unix::{SignalKind, signal};

/// The maximum length of a line in bytes. It exceeds the longest password.
const LINE: u64 = 4096;

/// Reads a new password: typed twice without echo on a terminal, otherwise a line of standard input.
pub(super) fn read_new_password() -> Result<String, Box<dyn Error>> {
    if !io::stdin().is_terminal() {
        return read_line();
    }
    // Without a handler, Ctrl-C would end the program while the terminal does not echo.
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
            "there is no password: type it on a terminal, or write it to standard input as one line".into(),
        );
    }
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Asks on the terminal for a confirmation of `question`, unless `yes` is set. `refusal` is the error without one.
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
