//! Commands on the SQLite database of a running server that are killed at a system call, or of which a
//! system call fails. The next response of the server matches the database.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    Answer, PASSWORD, Server, State, database_files, finish_with, is_exhaustive,
    unconfigured_symbolon, unthrottled,
};

const CALLS: &str =
    "openat,pread64,pwrite64,write,ftruncate,fsync,fdatasync,fcntl,flock,mmap,unlink,close";

/// The number of points of a command that a test run tries, besides the writes to Symbolon's own files.
const POINTS: usize = 14;

/// A server on a database in a folder, with the user `ada`.
struct Scenario {
    server: Server,
    folder: TempDir,
}

impl Scenario {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::on_sqlite_configured(folder.path(), unthrottled);
        server.register("ada").await;
        Self { server, folder }
    }

    fn database(&self) -> PathBuf {
        self.folder
            .path()
            .canonicalize()
            .unwrap()
            .join("symbolon.db")
    }

    /// Returns the files beside the database that belong to Symbolon and not to SQLite.
    fn own_files(&self) -> Vec<PathBuf> {
        let of_sqlite = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            ["symbolon.db", "symbolon.db-wal", "symbolon.db-shm"].contains(&name)
        };
        let files = database_files(&self.database()).into_iter();
        files.filter(|path| !of_sqlite(path)).collect()
    }

    /// Runs a command on the database at this path, through another program such as strace if `under` is
    /// not empty. Returns the exit code and the output.
    fn command_at(&self, path: &Path, under: &[String], line: &str) -> (Option<i32>, String) {
        let own = unconfigured_symbolon(self.folder.path());
        let mut command = match under {
            [] => own,
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(own.get_program());
                command.current_dir(self.folder.path());
                command
            }
        };
        command
            .env("DATABASE_URL", format!("sqlite://{}", path.display()))
            .env("SYMBOLON_ARGON2_MEMORY", "8")
            .env("SYMBOLON_ARGON2_ITERATIONS", "1")
            .args(line.split_whitespace());
        let (code, output, error) = finish_with(&mut command, PASSWORD);
        (code, output + &error)
    }

    fn command(&self, under: &[String], line: &str) -> (Option<i32>, String) {
        self.command_at(&self.database(), under, line)
    }

    fn succeeds(&self, line: &str) {
        let (code, printed) = self.command(&[], line);
        assert_eq!(code, Some(0), "{line}: {printed}");
    }

    /// Returns a session token of `ada` that the server has cached.
    async fn session(&self) -> String {
        if State::of(&self.database(), "ada")
            .await
            .user
            .unwrap()
            .disabled_at
            .is_some()
        {
            self.succeeds("user enable ada");
        }
        let token = self.server.sign_in("ada").await;
        for _ in 0..2 {
            assert_eq!(self.accepts(&token).await, Ok(true));
        }
        token
    }

    async fn accepts(&self, token: &str) -> Result<bool, String> {
        let body = json!({ "query": "{ me { username } }" });
        let request = self.server.request(Method::POST, "/graphql").json(&body);
        let request = request.bearer_auth(token).timeout(Duration::from_mins(1));
        let answer = Answer::try_of(request).await;
        let answer = answer.map_err(|error| format!("no answer: {error}"))?;
        if answer.at("/data/me/username") == "ada" {
            Ok(true)
        } else if answer.at("/errors/0/extensions/code") == "UNAUTHENTICATED" {
            Ok(false)
        } else {
            Err(answer.body.to_string())
        }
    }

    /// Returns whether the server accepts a token in the next request, and whether it is live in the
    /// database.
    async fn compare(&self, token: &str) -> (Result<bool, String>, bool) {
        let accepted = self.accepts(token).await;
        let is_live = State::of(&self.database(), "ada")
            .await
            .has_live_session(token);
        (accepted, is_live)
    }
}

/// The `number`-th call of a kind on a file by one thread, in the thread that reaches it first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Point {
    file: PathBuf,
    call: String,
    number: usize,
}

impl Point {
    /// Returns the command that runs a program and injects a fault at this call.
    fn harming(&self, harm: &str) -> Vec<String> {
        let Self { file, call, number } = self;
        let trace = format!("trace={call}");
        let inject = format!("inject={call}:{harm}:when={number}");
        let path = file.to_str().unwrap();
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", path];
        let expressions = ["-e", &trace, "-e", &inject];
        strace
            .iter()
            .chain(&expressions)
            .map(ToString::to_string)
            .collect()
    }
}

/// Returns the points of a run without faults, in order.
fn points(scenario: &Scenario, line: &str) -> Vec<Point> {
    let files = database_files(&scenario.database());
    let trace = scenario.folder.path().join("trace");
    let mut strace: Vec<String> = ["strace", "-f", "-y", "-o", trace.to_str().unwrap()]
        .map(str::to_owned)
        .to_vec();
    for file in &files {
        strace.extend(["-P".to_owned(), file.display().to_string()]);
    }
    strace.extend(["-e".to_owned(), format!("trace={CALLS}")]);
    let (code, printed) = scenario.command(&strace, line);
    assert_eq!(code, Some(0), "{line}: {printed}");
    let mut counts: HashMap<(&str, &Path, &str), usize> = HashMap::new();
    let (mut seen, mut points) = (BTreeSet::new(), Vec::new());
    let trace = fs::read_to_string(trace).unwrap();
    for entry in trace.lines() {
        let (thread, entry) = entry.split_once(' ').unwrap();
        let Some((call, arguments)) = entry.trim_start().split_once('(') else {
            continue;
        };
        // The end of an interrupted call, a signal and an exit are not calls.
        if !CALLS.split(',').any(|known| known == call) {
            continue;
        }
        let is_of = |file: &&PathBuf| {
            let name = file.display();
            arguments.contains(&format!("{name}>")) || arguments.contains(&format!("{name}\""))
        };
        let Some(file) = files.iter().find(is_of) else {
            continue;
        };
        let count = counts.entry((thread, file, call)).or_default();
        *count += 1;
        if seen.insert((file.clone(), call.to_owned(), *count)) {
            points.push(Point {
                file: file.clone(),
                call: call.to_owned(),
                number: *count,
            });
        }
    }
    points
}

/// Returns all points in an exhaustive run. Otherwise returns points that are spread over the whole run
/// and over its part from the commit on, and the writes to Symbolon's own files.
fn chosen(points: Vec<Point>, own: &[PathBuf]) -> Vec<Point> {
    if is_exhaustive() {
        return points;
    }
    let is_sync = |point: &Point| point.call == "fdatasync" || point.call == "fsync";
    let commit = points.iter().rposition(is_sync).unwrap_or(0);
    let evenly = |from: usize, count: usize| {
        let length = points.len() - from;
        (0..count).map(move |number| from + number * length / count)
    };
    let mut chosen: BTreeSet<usize> = evenly(0, POINTS / 2).collect();
    chosen.extend(evenly(commit, POINTS / 2));
    let is_own_write = |(_, point): &(usize, &Point)| {
        own.contains(&point.file) && ["pwrite64", "write", "flock"].contains(&&*point.call)
    };
    let own_writes = points.iter().enumerate().filter(is_own_write);
    chosen.extend(own_writes.map(|(number, _)| number));
    chosen
        .into_iter()
        .map(|number| points[number].clone())
        .collect()
}

const KILLED: &str = "signal=KILL";

/// Runs a command once for each point and injects a fault there.
async fn is_harmed_everywhere(line: &str, harm: &str) {
    let scenario = Scenario::start().await;
    scenario.session().await;
    let all = points(&scenario, line);
    let chosen = chosen(all.clone(), &scenario.own_files());
    println!("{line}: {} of {} points", chosen.len(), all.len());
    assert!(all.len() > 20);
    let (mut harmed, mut violations) = (0, Vec::new());
    for point in &chosen {
        let token = scenario.session().await;
        let (code, _) = scenario.command(&point.harming(harm), line);
        harmed += usize::from(code.is_none());
        let (accepted, is_live) = scenario.compare(&token).await;
        let (again, _) = scenario.compare(&token).await;
        scenario.succeeds(line);
        let (finally, is_finally_live) = scenario.compare(&token).await;
        let file = point.file.file_name().unwrap().to_str().unwrap();
        let is_right = accepted == Ok(is_live)
            && !(is_live && code == Some(0))
            && again == accepted
            && finally == Ok(false)
            && !is_finally_live;
        let row = format!(
            "{line:22} {harm:11} {file:20} {:10} {:3}  {:9}  database {:5}  server {:?}, {:?}  after the next run {:?}  {}",
            point.call,
            point.number,
            code.map_or_else(|| "killed".to_owned(), |code| format!("exit {code}")),
            if is_live { "live" } else { "ended" },
            accepted,
            again,
            finally,
            if is_right { "ok" } else { "VIOLATED" },
        );
        println!("{row}");
        if !is_right {
            violations.push(row);
        }
    }
    assert!(
        violations.is_empty(),
        "{} violations:\n{}",
        violations.len(),
        violations.join("\n")
    );
    // The number of some calls differs between runs.
    let enough = harm != KILLED || harmed * 4 >= chosen.len() * 3;
    assert!(enough, "killed at {harmed} of {} points", chosen.len());
}

#[tokio::test]
#[ignore = "needs strace, which scripts/test installs"]
async fn a_killed_revocation_takes_effect_if_it_is_stored() {
    is_harmed_everywhere("token revoke ada", KILLED).await;
}

#[tokio::test]
#[ignore = "needs strace, which scripts/test installs"]
async fn a_killed_user_disable_takes_effect_if_it_is_stored() {
    is_harmed_everywhere("user disable ada", KILLED).await;
}

#[tokio::test]
#[ignore = "needs strace, which scripts/test installs"]
async fn a_killed_set_password_takes_effect_if_it_is_stored() {
    is_harmed_everywhere("user set-password ada", KILLED).await;
}

#[tokio::test]
#[ignore = "needs strace, which scripts/test installs"]
async fn a_revocation_with_a_failing_system_call_takes_effect_if_it_is_stored() {
    is_harmed_everywhere("token revoke ada", "error=EIO").await;
}

#[tokio::test]
async fn a_revocation_through_any_path_takes_effect_at_once() {
    let scenario = Scenario::start().await;
    let folder = scenario.folder.path().canonicalize().unwrap();
    let real = scenario.database();
    let link = folder.join("link.db");
    std::os::unix::fs::symlink("symbolon.db", &link).unwrap();
    fs::create_dir(folder.join("sub")).unwrap();
    let linked_folder = folder.join("linked");
    std::os::unix::fs::symlink(&folder, &linked_folder).unwrap();
    let paths = [
        real,
        folder.join("sub/../symbolon.db"),
        linked_folder.join("symbolon.db"),
        PathBuf::from("symbolon.db"),
        PathBuf::from("./sub/../symbolon.db"),
        link.clone(),
        PathBuf::from("link.db"),
    ];
    let mut violations = Vec::new();
    for path in paths {
        let token = scenario.session().await;
        let (code, printed) = scenario.command_at(&path, &[], "token revoke ada");
        assert_eq!(code, Some(0), "{printed}");
        let compared = scenario.compare(&token).await;
        if compared != (Ok(false), false) {
            violations.push(format!("{}: {compared:?}", path.display()));
        }
    }
    assert!(violations.is_empty(), "{violations:?}");
}

#[tokio::test]
async fn a_revocation_takes_effect_at_once_in_a_server_that_opened_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let folder_path = folder.path().canonicalize().unwrap();
    std::os::unix::fs::symlink("symbolon.db", folder_path.join("link.db")).unwrap();
    fs::write(folder_path.join("symbolon.db"), "").unwrap();
    let server = Server::on_sqlite_configured(&folder_path, |command| {
        unthrottled(command);
        command.env("DATABASE_URL", "sqlite://link.db");
    });
    let registered = server.registration("ada").send().await;
    assert!(
        registered.at("/data/createUser/user/id").is_string(),
        "{registered:?}"
    );
    let scenario = Scenario { server, folder };
    let token = scenario.session().await;
    // The other path has another key file, which this command does not use.
    scenario.succeeds("token revoke ada");
    assert_eq!(scenario.compare(&token).await, (Ok(false), false));
}

/// A change of a file.
type Harm = fn(&Path);

#[tokio::test]
async fn a_server_survives_damage_to_its_own_files() {
    use std::os::unix::fs::PermissionsExt;
    let harms: [(&str, Harm); 6] = [
        ("deleted", |file| fs::remove_file(file).unwrap()),
        ("truncated", |file| {
            let file = fs::File::options().write(true).open(file).unwrap();
            file.set_len(0).unwrap();
        }),
        ("replaced", |file| {
            let other = file.with_extension("other");
            fs::copy(file, &other).unwrap();
            fs::rename(other, file).unwrap();
        }),
        ("replaced by a folder", |file| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        }),
        ("made unwritable", |file| {
            fs::set_permissions(file, fs::Permissions::from_mode(0o000)).unwrap();
        }),
        ("locked", |file| {
            let file = fs::File::open(file).unwrap();
            file.lock().unwrap();
            // The lock is held until the test process ends.
            std::mem::forget(file);
        }),
    ];
    let mut violations = Vec::new();
    for (name, harm) in harms {
        let scenario = Scenario::start().await;
        let token = scenario.session().await;
        scenario.own_files().iter().for_each(|file| harm(file));
        let accepted = scenario.accepts(&token).await;
        if accepted != Ok(true) {
            violations.push(format!("{name}: {accepted:?}"));
            continue;
        }
        // Shorter than the time for which the server keeps an idle connection.
        let limit = ["timeout", "5"].map(str::to_owned);
        let (code, printed) = scenario.command(&limit, "token revoke ada");
        let (accepted, is_live) = scenario.compare(&token).await;
        let has_ended = code.is_some_and(|code| code < 100);
        // The command can fail. The server follows the database in any case.
        if accepted != Ok(is_live) || is_live && code == Some(0) || !has_ended {
            violations.push(format!(
                "{name}: the command {code:?} {printed:?}, the database {is_live}, the server {accepted:?}"
            ));
            continue;
        }
        let token = scenario.session().await;
        let end = scenario
            .server
            .request(Method::DELETE, "/tokens")
            .bearer_auth(&token);
        let ended = Answer::try_of(end.timeout(Duration::from_secs(10))).await;
        let ended = ended.map(|answer| answer.status.as_u16());
        if !matches!(ended, Ok(204)) || scenario.compare(&token).await != (Ok(false), false) {
            violations.push(format!(
                "{name}: a revocation through the server: {ended:?}"
            ));
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}
