//! Commands that root runs on the SQLite database of another user: they refuse, and print the command to
//! run instead.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use crate::cli_database_selection::{files, operating, refusal};
use crate::support::{PASSWORD, finish_with};

/// A folder of another user, with a copy of the program: the user may have no access to the built one.
struct ForeignFolder {
    folder: tempfile::TempDir,
    owner: u32,
}

impl ForeignFolder {
    fn new(owner: u32) -> Self {
        let own = fs::metadata("/proc/self").unwrap();
        assert_eq!(own.uid(), 0, "this test needs root: run it with sudo");
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("symbolon");
        let built = Path::new(env!("CARGO_BIN_EXE_symbolon"));
        if fs::hard_link(built, &program).is_err() {
            fs::copy(built, &program).unwrap();
        }
        fs::write(folder.path().join("users.csv"), "username,password\n").unwrap();
        chown(folder.path(), Some(owner), Some(owner)).unwrap();
        Self { folder, owner }
    }

    /// Returns the program as root calls it.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(self.folder.path().join("symbolon"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .args(line.split_whitespace());
        command
    }

    /// Returns the commands that the program prints when it refuses. Checks that it creates no file.
    fn suggestions(&self, command: &mut Command) -> Vec<String> {
        let before = files(self.folder.path());
        let (code, output, error) = finish_with(command, PASSWORD);
        assert_eq!((code, output.as_str()), (Some(1), ""), "{error}");
        assert_eq!(files(self.folder.path()), before, "{command:?}");
        let mut lines = error.lines();
        let why = lines.next().unwrap();
        assert!(why.contains("belongs to"), "{error}");
        let folder = self.folder.path().canonicalize().unwrap();
        assert!(why.contains(folder.to_str().unwrap()), "{error}");
        lines.map(|line| line.trim_start().to_owned()).collect()
    }

    /// Runs a printed command and returns its standard error.
    fn run(&self, suggestions: &str, environment: &[(&str, &str)]) -> String {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", suggestions])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(environment.iter().copied());
        let (_, _, error) = finish_with(&mut shell, PASSWORD);
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with("symbolon.db") || name.starts_with("it's") {
                let metadata = entry.metadata().unwrap();
                assert_eq!(metadata.uid(), self.owner, "{name} after {suggestions}");
                assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
            }
        }
        error
    }
}

const NOBODY: u32 = 65534;

#[test]
#[ignore = "needs root, and runuser(1) of util-linux"]
fn root_gets_the_command_that_runs_as_the_owner_of_the_database() {
    let foreign = ForeignFolder::new(NOBODY);
    let folder = foreign.folder.path().canonicalize().unwrap();
    let program = folder.join("symbolon").display().to_string();
    let named = format!(
        "symbolon: database {}\n",
        folder.join("symbolon.db").display()
    );
    let serve = foreign.suggestions(foreign.command("serve").env("PORT", "0"));
    assert_eq!(
        serve[0],
        format!("runuser --user nobody -- {program} serve")
    );
    // No database exists yet.
    let error = refusal(&mut foreign.command("user list"));
    assert!(error.contains("does not exist"), "{error}");
    let mut lines = operating();
    lines.insert(0, "migrate".to_owned());
    for line in lines {
        let suggestions = foreign.suggestions(&mut foreign.command(&line));
        let [runuser, systemd] = suggestions.try_into().unwrap();
        assert_eq!(
            runuser,
            format!("runuser --user nobody -- {program} {line}")
        );
        for part in [
            "systemd-run --uid=nobody ",
            &format!(" --working-directory={} ", folder.display()),
            &format!(" {program} {line}"),
        ] {
            assert!(systemd.contains(part), "{systemd}");
        }
        let error = foreign.run(&runuser, &[]);
        assert!(error.starts_with(&named), "{line}: {error}");
        let owned_by_root = fs::metadata(folder.join("symbolon.db")).unwrap().uid() == 0;
        assert!(!owned_by_root, "{line}");
    }
    assert!(folder.join("copy.db").exists());
}

#[test]
#[ignore = "needs root, and runuser(1) of util-linux"]
fn the_printed_command_quotes_arguments_and_sets_the_database_url() {
    let foreign = ForeignFolder::new(NOBODY);
    let folder = foreign.folder.path().canonicalize().unwrap();
    let url = "sqlite://it's $HOME.db";
    let file = folder.join("it's $HOME.db");
    let named = format!("symbolon: database {}\n", file.display());
    let mut migrate = foreign.command("migrate --database-url");
    let suggestions = foreign.suggestions(migrate.arg(url));
    // systemd expands variables in arguments.
    assert!(suggestions[1].contains("s $$HOME.db'"), "{suggestions:?}");
    assert_eq!(foreign.run(&suggestions[0], &[]), named);
    assert!(file.exists());
    let environment = [("DATABASE_URL", url)];
    let mut list = foreign.command("user list");
    let suggestions = foreign.suggestions(list.envs(environment));
    let set = "'--setenv=DATABASE_URL=sqlite:///";
    assert!(suggestions[1].contains(set), "{suggestions:?}");
    assert_eq!(foreign.run(&suggestions[0], &environment), named);
    // The URL in the environment contains a password.
    let mut list = foreign.command("user list --database-url");
    list.arg(url).env("DATABASE_URL", "postgres://u:hidden@h/d");
    let suggestions = foreign.suggestions(&mut list);
    assert!(!suggestions.concat().contains("hidden"), "{suggestions:?}");
}

#[test]
#[ignore = "needs root"]
fn the_printed_copy_has_the_source_and_the_target() {
    let foreign = ForeignFolder::new(NOBODY);
    let file = foreign.folder.path().join("a.db");
    let (file, server) = (
        format!("sqlite://{}", file.display()),
        "postgres://u:hidden@h/d".to_owned(),
    );
    for (from, to, set) in [
        (
            &file,
            &server,
            [
                format!("DATABASE_URL={file}"),
                "SYMBOLON_COPY_TO".to_owned(),
            ],
        ),
        (
            &server,
            &file,
            [
                "DATABASE_URL".to_owned(),
                format!("SYMBOLON_COPY_TO={file}"),
            ],
        ),
    ] {
        let mut copy = foreign.command("copy");
        let suggestions =
            foreign.suggestions(copy.env("DATABASE_URL", from).env("SYMBOLON_COPY_TO", to));
        for set in set {
            let set = format!(" --setenv={set} ");
            assert!(suggestions[1].contains(&set), "{suggestions:?}");
        }
        assert!(!suggestions.concat().contains("hidden"), "{suggestions:?}");
    }
}

#[test]
#[ignore = "needs root, and setpriv(1) of util-linux"]
fn an_owner_without_a_name_is_printed_as_a_number() {
    let foreign = ForeignFolder::new(54321);
    let suggestions = foreign.suggestions(&mut foreign.command("migrate"));
    let start = "setpriv --reuid=54321 --regid=54321 --clear-groups -- ";
    assert!(suggestions[0].starts_with(start), "{suggestions:?}");
    assert!(suggestions[1].contains("--uid=54321 "), "{suggestions:?}");
    let error = foreign.run(&suggestions[0], &[]);
    assert!(error.starts_with("symbolon: database "), "{error}");
}

/// A folder as systemd creates it for a unit with `DynamicUser=` and `StateDirectory=`.
struct StateDirectory(String);

impl StateDirectory {
    fn new() -> Self {
        let name = format!("symbolon-test-{}", std::process::id());
        let directory = Self(name);
        fs::create_dir_all(directory.path()).unwrap();
        chown(directory.path(), Some(54321), Some(54321)).unwrap();
        directory
    }

    fn path(&self) -> std::path::PathBuf {
        Path::new("/var/lib/private").join(&self.0)
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.path());
    }
}

#[test]
#[ignore = "needs root"]
fn root_gets_the_unit_settings_of_a_dynamic_user() {
    let foreign = ForeignFolder::new(NOBODY);
    let state = StateDirectory::new();
    let name = &state.0;
    let link = foreign.folder.path().join("state");
    std::os::unix::fs::symlink(state.path(), &link).unwrap();
    let mut migrate = foreign.command("migrate --database-url");
    migrate.arg(format!("sqlite://{}/symbolon.db", link.display()));
    let suggestions = foreign.suggestions(&mut migrate);
    let [systemd] = suggestions.try_into().unwrap();
    for part in [
        "systemd-run ".to_owned(),
        " --property=DynamicUser=yes ".to_owned(),
        format!(" --property=User={name} "),
        format!(" --property=StateDirectory={name} "),
        format!(" --working-directory=/var/lib/{name} "),
        format!(
            " --setenv=DATABASE_URL=sqlite://{}/symbolon.db ",
            link.display()
        ),
        " migrate --database-url ".to_owned(),
    ] {
        assert!(systemd.contains(&part), "{systemd}");
    }
}
