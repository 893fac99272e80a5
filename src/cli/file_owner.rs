//! Refuses to run as root on a database of another user. Root would own the files that SQLite creates beside
//! the database, and the server could not open them.

use std::env;
use std::error::Error;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// The directory in which systemd keeps the `StateDirectory=` of each unit with `DynamicUser=`. Only root and
/// the unit have access.
const PRIVATE: &str = "/var/lib/private";

/// Returns an error if the program runs as root and the database file belongs to another user, or its directory
/// if the file does not exist. The error contains the commands that run the program as the owner.
pub(super) fn check(file: &Path) -> Result<(), Box<dyn Error>> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let folder = file.parent().unwrap_or(file);
    let (kind, path, metadata) = match fs::metadata(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            ("directory", folder, fs::metadata(folder))
        }
        metadata => ("database", file, metadata),
    };
    let Ok(metadata) = metadata else {
        // Opening the database reports the error.
        return Ok(());
    };
    if metadata.uid() == 0 {
        return Ok(());
    }
    let owner = Owner::of(&metadata);
    let canonical_path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    Err(format!(
        "the {kind} {path} belongs to the user {name}, who could not open the files that root \
         creates there. Run the command as this user:\n{commands}",
        path = path.display(),
        name = owner.name_or_uid(),
        commands = owner.commands(file, state_directory(&canonical_path)),
    )
    .into())
}

/// Returns the name of the state directory of a unit with `DynamicUser=`, if the path is in one.
fn state_directory(path: &Path) -> Option<&str> {
    let relative = path.strip_prefix(PRIVATE).ok()?;
    relative.components().next()?.as_os_str().to_str()
}

struct Owner {
    uid: u32,
    gid: u32,
    name: Option<String>,
}

impl Owner {
    fn of(metadata: &Metadata) -> Self {
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let uid = metadata.uid();
        let name = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        });
        Self {
            uid,
            gid: metadata.gid(),
            name,
        }
    }

    fn name_or_uid(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }

    /// Returns command lines that run this command as the owner.
    fn commands(&self, file: &Path, state_directory: Option<&str>) -> String {
        if let Some(name) = state_directory {
            let settings = [
                "--property=DynamicUser=yes".to_owned(),
                format!("--property=User={name}"),
                format!("--property=StateDirectory={name}"),
            ];
            return systemd_run(&settings, &Path::new("/var/lib").join(name), file);
        }
        // runuser accepts no uid.
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
        let systemd_run = systemd_run(&[user], &folder, file);
        format!("  {run} -- {}\n{systemd_run}", quote_all(&command))
    }
}

/// Returns a command line that runs this command as a transient unit of systemd. Such a unit does not inherit
/// the environment. With `--pty` and `--pipe`, it has a terminal if this command has one.
fn systemd_run(user: &[String], folder: &Path, file: &Path) -> String {
    let mut words = user.to_vec();
    words.extend(["--quiet", "--pty", "--pipe", "--wait"].map(str::to_owned));
    words.push(format!("--working-directory={}", folder.display()));
    let is_elsewhere = env::current_dir().ok().as_deref() != Some(folder);
    if is_elsewhere || env::var_os("DATABASE_URL").is_some() {
        // `--database-url` can have replaced the variable, which can contain a password.
        words.push(format!("--setenv=DATABASE_URL=sqlite://{}", file.display()));
    }
    words.push(program());
    // systemd-run expands variables.
    words.extend(arguments().map(|argument| argument.replace('$', "$$")));
    format!("  systemd-run {}", quote_all(&words))
}

/// Returns the arguments of this command, which contain no passwords.
fn arguments() -> impl Iterator<Item = String> {
    let arguments = env::args_os().skip(1);
    arguments.map(|argument| argument.to_string_lossy().into_owned())
}

/// Returns the path of this program.
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
