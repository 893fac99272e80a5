//! What is asked of whoever sits at the terminal, or read from standard input where nobody does.

use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Read, Write};

use tokio::signal::unix::{SignalKind, signal};

/// Far more than the longest password takes, and bounded.
const LINE: u64 = 4096;

/// Whether there is somebody to ask.
pub(super) fn is_attended() -> bool {
    io::stdin().is_terminal()
}

/// A password that somebody chooses: typed twice and not shown, or else a line of standard input.
pub(super) fn new_password() -> Result<String, Box<dyn Error>> {
    if !is_attended() {
        return read_line();
    }
    // An interrupt that nobody listens to would end the program before the terminal shows again what
    // is typed.
    let _listening = signal(SignalKind::interrupt())?;
    let password = rpassword::prompt_password("Password: ")?;
    if password != rpassword::prompt_password("The same again: ")? {
        return Err("the two passwords are not the same".into());
    }
    Ok(password)
}

fn read_line() -> Result<String, Box<dyn Error>> {
    let mut line = String::new();
    let read = io::stdin().lock().take(LINE).read_line(&mut line);
    let read = read.map_err(|error| format!("the password cannot be read: {error}"))?;
    if read == 0 {
        let how =
            "there is no password: type it on a terminal, or give it as a line of standard input";
        return Err(how.into());
    }
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Asks a question whose answer is no unless it is yes.
pub(super) fn confirm(question: &str) -> Result<bool, Box<dyn Error>> {
    let asked = write!(io::stderr(), "{question} [y/N] ");
    asked.map_err(|error| format!("nobody can be asked: {error}"))?;
    let mut answer = String::new();
    io::stdin().lock().take(LINE).read_line(&mut answer)?;
    let answer = answer.trim();
    Ok(answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"))
}
