//! Command lines that run the program as the owner of the database file.

use std::env;
use std::path::{Path, PathBuf};

use super::Owner;

impl Owner {
    /// Returns command lines that repeat this command as the owner, one per line.
    pub(super) fn command_lines(
        &self,
        variables: &[(&str, Option<&Path>)],
        state_directory: Option<&str>,
    ) -> String {
        if let Some(name) = state_directory {
            let settings = [
                "--property=DynamicUser=yes".to_owned(),
                format!("--property=User={name}"),
                format!("--property=StateDirectory={name}"),
            ];
            return systemd_run(&settings, &Path::new("/var/lib").join(name), variables);
        }
        // runuser does not accept a uid.
        let run = match &self.name {
            Some(name) => format!("runuser --user {}", quote(name)),
            None => format!(
                "setpriv --reuid={} --regid={} --clear-groups",
                self.uid, self.gid
            ),
        };
        let command: Vec<_> = [program()].into_iter().chain(arguments()).collect();
        let user = format!("--uid={}", self.name_or_uid());
        let folder = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let systemd_run = systemd_run(&[user], &folder, variables);
        format!("  {run} -- {}\n{systemd_run}", quote_all(&command))
    }
}

/// Returns a command line that repeats this command in a transient systemd unit. A transient unit does not
/// inherit the environment. With `--pty` and `--pipe`, the unit has a terminal if systemd-run has one.
fn systemd_run(user: &[String], folder: &Path, variables: &[(&str, Option<&Path>)]) -> String {
    let mut words = user.to_vec();
    words.extend(["--quiet", "--pty", "--pipe", "--wait"].map(str::to_owned));
    words.push(format!("--working-directory={}", folder.display()));
    let is_elsewhere = env::current_dir().ok().as_deref() != Some(folder);
    for (name, file) in variables {
        // The value of the variable is not printed: it may contain a password, and `--database-url` may have overridden
        // it. The path of the file is printed instead. Without a path, systemd-run copies the value.
        let is_set = env::var_os(name).is_some();
        match file {
            Some(file) if is_elsewhere || is_set => {
                words.push(format!("--setenv={name}=sqlite://{}", file.display()));
            }
            None if is_set => words.push(format!("--setenv={name}")),
            _ => {}
        }
    }
    words.push(program());
    // systemd-run expands variables in arguments, unless `$` is doubled.
    words.extend(arguments().map(|argument| argument.replace('$', "$$")));
    format!("  systemd-run {}", quote_all(&words))
}

/// Returns the arguments of this command. The arguments can be printed, because no option takes a user's
/// password.
fn arguments() -> impl Iterator<Item = String> {
    let arguments = env::args_os().skip(1);
    arguments.map(|argument| argument.to_string_lossy().into_owned())
}

/// Returns the path of the running program.
fn program() -> String {
    let path = env::current_exe().unwrap_or_else(|_| PathBuf::from("symbolon"));
    path.display().to_string()
}

fn quote_all(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| quote(word)).collect();
    words.join(" ")
}

/// Quotes a word for a POSIX shell.
fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
