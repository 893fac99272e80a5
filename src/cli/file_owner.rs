//! Prevents commands from running as root on a database that another user owns. SQLite creates files beside the
//! database. If root owned these files, the server could not open them.

mod command_lines;

use std::error::Error;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;

/// The variable that names the database.
pub(super) const DATABASE_URL: &str = "DATABASE_URL";

/// The directory in which systemd creates the state directory (`StateDirectory=`) of each unit with
/// `DynamicUser=yes`. Only root and the unit can access a state directory there.
const PRIVATE: &str = "/var/lib/private";

/// Returns an error if the program runs as root and another user owns the database file. If the file does not
/// exist, the owner of its directory is checked instead. The error message contains command lines that run the
/// program as the owner and set `DATABASE_URL` to the file.
pub(super) fn check(file: &Path) -> Result<(), Box<dyn Error>> {
    check_with(file, &[(DATABASE_URL, Some(file))])
}

/// Does the same as [`check`] for a command that reads several variables. A variable without a file keeps its value, which
/// is not printed, because the value may contain a password.
pub(super) fn check_with(
    file: &Path,
    variables: &[(&str, Option<&Path>)],
) -> Result<(), Box<dyn Error>> {
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
        commands = owner.command_lines(variables, state_directory(&canonical_path)),
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
}
