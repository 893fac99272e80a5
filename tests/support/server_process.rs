//! The programs `symbolon` and `embed` as processes.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{Client, common_key, database::require_module, database_url, on_postgres};

/// Returns the program in a folder, without settings except those for PostgreSQL if the tests run on it.
pub fn symbolon(folder: &Path) -> Command {
    program(Path::new(env!("CARGO_BIN_EXE_symbolon")), folder)
}

/// Returns the program in a folder without any setting: it uses SQLite. `SYMBOLON_TEST_PROGRAM` names
/// another build.
pub fn unconfigured_symbolon(folder: &Path) -> Command {
    let built = std::env::var_os("SYMBOLON_TEST_PROGRAM");
    let mut command = Command::new(built.unwrap_or(env!("CARGO_BIN_EXE_symbolon").into()));
    command.current_dir(folder).env_clear();
    command
}

/// Switches the throttle off, for tests with many requests.
pub fn unthrottled(command: &mut Command) {
    command.env("SYMBOLON_THROTTLE", "off");
}

/// Sets a free port and the cheapest Argon2 parameters.
pub(super) fn set_cheap_hashing(command: &mut Command) -> &mut Command {
    command
        .env("PORT", "0")
        .env("SYMBOLON_ARGON2_MEMORY", "8")
        .env("SYMBOLON_ARGON2_ITERATIONS", "1")
}

fn program(path: &Path, folder: &Path) -> Command {
    let mut command = Command::new(path);
    command.current_dir(folder).env_clear();
    if on_postgres() {
        command
            .env("DATABASE_URL", database_url(folder, "symbolon.db"))
            .env("SYMBOLON_SECRET_KEY_FILE", common_key())
            // Other tests keep the machine busy.
            .env("SYMBOLON_POSTGRES_ACQUIRE_TIMEOUT", "20000");
    }
    command
}

/// A running program. It and its children are killed when the test ends.
pub struct Process {
    child: Child,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self {
            child: command.spawn().unwrap(),
        }
    }

    /// Takes the pipes of standard input and output.
    pub fn pipes(&mut self) -> (ChildStdin, ChildStdout) {
        let input = self.child.stdin.take().unwrap();
        (input, self.child.stdout.take().unwrap())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        send(name, &self.child.id().to_string());
    }

    /// Sends a signal to the children of the program.
    pub fn signal_children(&self, name: &str) {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            send(name, child);
        }
    }

    /// Returns the peak of the resident memory so far, in MiB.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<u64>().unwrap() / 1024
    }

    /// Returns the name and the niceness of each thread.
    pub fn threads(&self) -> Vec<(String, i32)> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let stats = std::fs::read_dir(tasks).unwrap().filter_map(|task| {
            // The thread may have ended.
            std::fs::read_to_string(task.unwrap().path().join("stat")).ok()
        });
        stats
            .map(|stat| {
                let (name, fields) = stat.rsplit_once(") ").unwrap();
                let (_, name) = name.split_once('(').unwrap();
                let nice = fields.split(' ').nth(16).unwrap();
                (name.to_owned(), nice.parse().unwrap())
            })
            .collect()
    }

    /// Waits for the end of the program. Fails the test after `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running after {limit:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn send(name: &str, id: &str) {
    let status = Command::new("kill").args(["-s", name, id]).status();
    assert!(status.unwrap().success());
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal_children("KILL");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that listens on a free port.
pub struct Server {
    pub process: Process,
    pub client: Client,
    /// The output up to the line that names the address.
    pub startup_output: String,
    log: PathBuf,
}

impl Drop for Server {
    /// Checks that the identity cache never differed from the database.
    fn drop(&mut self) {
        if !thread::panicking() {
            let log = self.log();
            assert!(!log.contains("differs from the database"), "{log}");
        }
    }
}

impl Deref for Server {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Server {
    /// Starts the server in `folder` with the cheapest Argon2 parameters.
    pub fn start(folder: &Path) -> Self {
        Self::configured(folder, |_| {})
    }

    pub fn configured(folder: &Path, configure: impl FnOnce(&mut Command)) -> Self {
        let mut command = symbolon(folder);
        configure(set_cheap_hashing(&mut command));
        Self::listening(&mut command, folder, "try first")
    }

    /// Starts the server on SQLite. Fails a test that is not in a module `sqlite`.
    pub fn on_sqlite(folder: &Path) -> Self {
        Self::on_sqlite_configured(folder, |_| {})
    }

    pub fn on_sqlite_configured(folder: &Path, configure: impl FnOnce(&mut Command)) -> Self {
        require_module("sqlite");
        let mut command = unconfigured_symbolon(folder);
        configure(set_cheap_hashing(&mut command));
        Self::listening(&mut command, folder, "try first")
    }

    /// Starts a server of another build.
    pub fn from_build(build: &Path, folder: &Path) -> Self {
        let mut command = program(build, folder);
        Self::listening(set_cheap_hashing(&mut command), folder, "try first")
    }

    /// Starts the example `embed` on a free port.
    pub fn embed_example(folder: &Path) -> Self {
        Self::embed_example_configured(folder, |_| {})
    }

    pub fn embed_example_configured(folder: &Path, configure: impl FnOnce(&mut Command)) -> Self {
        Self::example("embed", folder, configure)
    }

    /// Starts an example on a free port.
    pub fn example(name: &str, folder: &Path, configure: impl FnOnce(&mut Command)) -> Self {
        let built = Path::new(env!("CARGO_BIN_EXE_symbolon")).with_file_name("examples");
        let mut command = program(&built.join(name), folder);
        command.arg("127.0.0.1:0");
        configure(&mut command);
        Self::listening(set_cheap_hashing(&mut command), folder, "listens on")
    }

    /// Starts the server on SQLite. Returns its standard error if it does not start.
    pub fn try_start(folder: &Path, configure: impl FnOnce(&mut Command)) -> Result<Self, String> {
        let mut command = unconfigured_symbolon(folder);
        configure(set_cheap_hashing(&mut command));
        Self::try_listening(&mut command, folder, "try first")
    }

    fn listening(command: &mut Command, folder: &Path, last: &str) -> Self {
        let server = Self::try_listening(command, folder, last);
        server.unwrap_or_else(|error| panic!("the server ended: {error}"))
    }

    /// Reads standard output up to the line that contains `last`.
    fn try_listening(command: &mut Command, folder: &Path, last: &str) -> Result<Self, String> {
        let log = folder.join("log");
        let file = std::fs::File::create(&log).unwrap();
        let mut process = Process::start(command.stdout(Stdio::piped()).stderr(file));
        let mut lines = BufReader::new(process.child.stdout.take().unwrap());
        let is_json = command
            .get_envs()
            .any(|(name, value)| name == "SYMBOLON_LOG_FORMAT" && value == Some("json".as_ref()));
        let mut startup_output = String::new();
        // With a JSON log, the server writes nothing to standard output until it ends.
        while is_json && !startup_output.contains("Symbolon is listening") {
            startup_output = std::fs::read_to_string(&log).unwrap();
            if process.child.try_wait().unwrap().is_some() {
                return Err(std::fs::read_to_string(&log).unwrap());
            }
            thread::sleep(Duration::from_millis(5));
        }
        while !is_json && !startup_output.contains(last) {
            if lines.read_line(&mut startup_output).unwrap() == 0 {
                return Err(startup_output + &std::fs::read_to_string(&log).unwrap());
            }
        }
        // Without a reader, the pipe would fill up.
        thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        let base = startup_output
            .split(|c: char| c.is_whitespace() || c == '"')
            .find(|word| word.starts_with("http://"))
            .unwrap();
        Ok(Self {
            process,
            client: Client::new(base),
            startup_output,
            log,
        })
    }

    /// Returns the log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns the JSON log line of the request with this id.
    pub fn logged(&self, request_id: &str) -> Value {
        let of_request = |log: &str| -> Vec<Value> {
            log.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .filter(|line: &Value| {
                    line["message"] == "request" && line["request_id"] == request_id
                })
                .collect()
        };
        let log = self.log_when(|log| !of_request(log).is_empty());
        let lines = of_request(&log);
        assert_eq!(lines.len(), 1, "{request_id}: {log}");
        lines.into_iter().next().unwrap()
    }

    /// Returns the log once it is as expected. The server writes the log after it has answered.
    pub fn log_when(&self, is_as_expected: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let log = self.log();
            // Ignores a line that is not yet complete.
            if (log.is_empty() || log.ends_with('\n')) && is_as_expected(&log) {
                return log;
            }
            assert!(Instant::now() < deadline, "{log}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Runs a program to its end. Returns the exit code, standard output and standard error.
pub fn finish(command: &mut Command) -> (Option<i32>, String, String) {
    finish_with(command, "")
}

/// Runs a program with this standard input.
pub fn finish_with(command: &mut Command, input: &str) -> (Option<i32>, String, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    match child.stdin.take().unwrap().write_all(input.as_bytes()) {
        // The program can end without reading its input.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("{error}"),
        _ => {}
    }
    let output = child.wait_with_output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Starts a server on SQLite in a new folder, with these environment variables.
pub fn server_with(settings: &[(&str, &str)]) -> (TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::configured(folder.path(), |command| {
        command.envs(settings.iter().copied());
    });
    (folder, server)
}
