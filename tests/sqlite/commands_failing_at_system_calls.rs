//! Commands on the SQLite database of a running server that are killed at a system call, or of which a
//! system call fails. The next response of the server matches the database.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::server_on_sqlite::ServerOnSqlite;
use crate::support::{database_files, is_exhaustive};

const CALLS: &str =
    "openat,pread64,pwrite64,write,ftruncate,fsync,fdatasync,fcntl,flock,mmap,unlink,close";

/// The number of points of a command that a test run tries, besides the writes to Symbolon's own files.
const POINTS: usize = 14;

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
fn points(scenario: &ServerOnSqlite, line: &str) -> Vec<Point> {
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
    let scenario = ServerOnSqlite::start().await;
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
