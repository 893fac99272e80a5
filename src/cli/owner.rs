//! Root does not use a database of another user: the files that it creates beside the database would
//! belong to root, and the server could not open them.

use std::env;
use std::error::Error;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// Where systemd keeps the `StateDirectory=` of each unit with `DynamicUser=`. Only root and the unit
/// itself have access.
const PRIVATE: &str = "/var/lib/private";

/// Refuses if the program runs as root, and the database file, or its folder where the file is missing,
/// belongs to another user. The error has the commands to use instead.
pub(super) fn check(file: &Path) -> Result<(), Box<dyn Error>> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let folder = file.parent().unwrap_or(file);
    let (what, path, found) = match fs::metadata(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            ("directory", folder, fs::metadata(folder))
        }
        found => ("database", file, found),
    };
    match found {
        Ok(found) if found.uid() != 0 => {
            let owner = Owner::of(&found);
            let path_of_unit = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            let commands = owner.commands(file, state_directory(&path_of_unit));
            Err(format!(
                "the {what} {path} belongs to the user {owner}, who could not open the files that root \
                 creates there. Run the command as this user:\n{commands}",
                path = path.display(),
                owner = owner.name(),
            )
            .into())
        }
        // Opening the database says why it cannot be found.
        _ => Ok(()),
    }
}

/// The name of the state directory of a unit with `DynamicUser=`, if the path is in one.
fn state_directory(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(PRIVATE).ok()?;
    let name = inside.components().next()?.as_os_str();
    Some(name.to_str()?.to_owned())
}

struct Owner {
    uid: u32,
    gid: u32,
    name: Option<String>,
}

impl Owner {
    fn of(found: &Metadata) -> Self {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let uid = found.uid();
        let name = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        });
        Self {
            uid,
            gid: found.gid(),
            name,
        }
    }

    /// The name, or the number of a user that has none.
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }

    /// This command as it is to be run as the owner, in a line for each way.
    fn commands(&self, file: &Path, state_directory: Option<String>) -> String {
        if let Some(name) = state_directory {
            let settings = [
                "--property=DynamicUser=yes".to_owned(),
                format!("--property=User={name}"),
                format!("--property=StateDirectory={name}"),
            ];
            let folder = Path::new("/var/lib").join(name);
            return systemd_run(&settings, &folder, file);
        }
        // runuser takes no number.
        let run = match &self.name {
            Some(name) => format!("runuser --user {}", quote(name)),
            None => format!(
                "setpriv --reuid={} --regid={} --clear-groups",
                self.uid, self.gid
            ),
        };
        let arguments = arguments().map(|argument| quote(&argument));
        let command = [quote(&program())].into_iter().chain(arguments);
        let command = command.collect::<Vec<_>>().join(" ");
        let user = format!("--uid={}", self.name());
        let folder = env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let systemd_run = systemd_run(&[user], &folder, file);
        format!("  {run} -- {command}\n{systemd_run}")
    }
}

/// The command as a unit of systemd, which gets nothing of this environment but the URL of the file. With
/// both `--pty` and `--pipe` it has a terminal if this command has one.
fn systemd_run(user: &[String], folder: &Path, file: &Path) -> String {
    let mut words = user.to_vec();
    words.extend(["--quiet", "--pty", "--pipe", "--wait"].map(str::to_owned));
    words.push(format!("--working-directory={}", folder.display()));
    let is_elsewhere = env::current_dir().ok().as_deref() != Some(folder);
    if is_elsewhere || env::var_os("DATABASE_URL").is_some() {
        // Not the value of the variable: `--database-url` may have replaced it, and it may have a password.
        words.push(format!("--setenv=DATABASE_URL=sqlite://{}", file.display()));
    }
    words.push(program());
    // Otherwise systemd replaces what looks like a variable.
    words.extend(arguments().map(|argument| argument.replace('$', "$$")));
    let words: Vec<_> = words.iter().map(|word| quote(word)).collect();
    format!("  systemd-run {}", words.join(" "))
}

/// The arguments of this command. There are no passwords among them.
fn arguments() -> impl Iterator<Item = String> {
    let arguments = env::args_os().skip(1);
    arguments.map(|argument| argument.to_string_lossy().into_owned())
}

/// The path of this program.
fn program() -> String {
    let path = env::current_exe().unwrap_or_else(|_| PathBuf::from("symbolon"));
    path.display().to_string()
}

/// A word as a POSIX shell reads it.
fn quote(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
