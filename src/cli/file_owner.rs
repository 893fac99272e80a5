//! Prevents commands from running as root on a database that another user owns. SQLite creates files beside the
//! database. If root owned these files, the server could not open them.

use std::env;
use std::error::Error;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// The directory in which systemd creates the state directory (`StateDirectory=`) of each unit with
/// `DynamicUser=yes`. Only root and the unit can access a state directory there.
const PRIVATE: &str = "/var/lib/private";

/// Returns an error if the program runs as root and another user owns the database file. If the file does not
/// exist, the owner of its directory is checked instead. The error message contains command lines that run the
/// program as the owner.
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
        // The error is reported when the database is opened.
        return Ok(());
    };
    if metadata.uid() == 0 {
        return Ok(());
    }
    let owner = Owner::of(&metadata);
    let canonical_path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    Err(format!(
        "the {kind} {path} belongs to the user {name}, who could not open files that root creates \
         there. Run the command as this user:\n{commands}",
        path = path.display(),
        name = owner.name_or_uid(),
        commands = owner.commands(file, state_directory(&canonical_path)),
    )
    .into())
}

/// Returns the name of the state directory in [`PRIVATE`] that contains `path`, if there is one.
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

    /// Returns command lines that repeat this command as the owner, one per line.
    fn commands(&self, file: &Path, state_directory: Option<&str>) -> String {
        if let Some(name) = state_directory {
            let settings = [
                "--property=DynamicUser=yes".to_owned(),
                format!("--property=User={name}"),
                format!("--property=StateDirectory={name}"),
            ];
            return systemd_run(&settings, &Path::new("/var/lib").join(name), file);
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
        let systemd_run = systemd_run(&[user], &folder, file);
        format!("  {run} -- {}\n{systemd_run}", quote_all(&command))
    }
}

/// Returns a command line that repeats this command in a transient systemd unit. A transient unit does not
/// inherit the environment. With `--pty` and `--pipe`, the unit has a terminal if systemd-run has one.
fn systemd_run(user: &[String], folder: &Path, file: &Path) -> String {
    let mut words = user.to_vec();
    words.extend(["--quiet", "--pty", "--pipe", "--wait"].map(str::to_owned));
    words.push(format!("--working-directory={}", folder.display()));
    let is_elsewhere = env::current_dir().ok().as_deref() != Some(folder);
    if is_elsewhere || env::var_os("DATABASE_URL").is_some() {
        // The value of `DATABASE_URL` is not printed: it may contain a password, and `--database-url` may have
        // overridden it. The path of the file is printed instead.
        words.push(format!("--setenv=DATABASE_URL=sqlite://{}", file.display()));
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
