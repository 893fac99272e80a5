//! Durability across a power cut: the changes that were not synced at the moment of an acknowledgement
//! can be lost in part.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sea_orm::{Database, EntityTrait};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::{Answer, Process, eventually};

/// A file on the disk and in the kernel.
#[derive(Clone, Default)]
struct File {
    synced: Vec<u8>,
    /// The writes since the last sync: offset and bytes, or a new length.
    pending: Vec<Change>,
    /// Whether the name of the file survives a power cut.
    linked: bool,
    /// Whether the name is removed by the next sync of the folder.
    unlinked: bool,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl File {
    /// Returns the content after a power cut that keeps only the pending changes that `spares` selects.
    fn after_cut(&self, spares: impl Fn(usize) -> bool) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        for (number, change) in self.pending.iter().enumerate() {
            match change {
                _ if !spares(number) => {}
                Change::Truncate(length) => bytes.resize(*length, 0),
                Change::Write(offset, written) => {
                    let end = offset + written.len();
                    if bytes.len() < end {
                        bytes.resize(end, 0);
                    }
                    bytes[*offset..end].copy_from_slice(written);
                }
            }
        }
        bytes
    }
}

/// Decodes `\x73\x79` to bytes.
fn unhex(text: &str) -> Vec<u8> {
    text.split("\\x")
        .skip(1)
        .map(|hex| u8::from_str_radix(&hex[..2], 16).unwrap())
        .collect()
}

fn hex(text: &str) -> String {
    text.bytes()
        .fold(String::new(), |hex, byte| format!("{hex}\\x{byte:02x}"))
}

/// Returns the text between `open` and `close`.
fn between<'a>(line: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let rest = &line[line.find(open)? + open.len()..];
    Some(&rest[..rest.find(close)?])
}

/// Replays the trace of strace. Calls `acknowledged` with the files at each response of the server.
fn replay(trace: &str, folder: &str, mut acknowledged: impl FnMut(usize, &HashMap<String, File>)) {
    let answer = hex("HTTP/1.1 ");
    let mut files: HashMap<String, File> = HashMap::new();
    // A sync takes effect at its end. Another thread can interrupt its line in the trace.
    let mut syncing: HashMap<&str, String> = HashMap::new();
    let mut answers = 0;
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        let path = between(call, "<", ">").map(|path| String::from_utf8(unhex(path)).unwrap());
        let path = path.unwrap_or_default();
        let file = path.strip_prefix(&format!("{folder}/"));
        if call.starts_with("pwrite64(") {
            let Some(file) = file else { continue };
            let bytes = unhex(between(call, "\"", "\"").unwrap());
            let offset = call.rsplit_once(", ").unwrap().1;
            let offset: String = offset.chars().take_while(char::is_ascii_digit).collect();
            let change = Change::Write(offset.parse().unwrap(), bytes);
            files
                .entry(file.to_owned())
                .or_default()
                .pending
                .push(change);
        } else if call.starts_with("ftruncate(") {
            let Some(file) = file else { continue };
            let length = call.rsplit_once(", ").unwrap().1;
            let length: String = length.chars().take_while(char::is_ascii_digit).collect();
            let change = Change::Truncate(length.parse().unwrap());
            files
                .entry(file.to_owned())
                .or_default()
                .pending
                .push(change);
        } else if call.starts_with("unlink(") {
            let path = String::from_utf8(unhex(between(call, "\"", "\"").unwrap())).unwrap();
            let name = path.rsplit('/').next().unwrap();
            if let Some(file) = files.get_mut(name) {
                file.unlinked = true;
            }
        } else if call.starts_with("fsync(") || call.starts_with("fdatasync(") {
            if call.contains("unfinished") {
                syncing.insert(thread, path);
            } else {
                sync(&mut files, folder, &path);
            }
        } else if call.contains("sync resumed>") {
            sync(&mut files, folder, &syncing.remove(thread).unwrap());
        } else if call.contains(&answer) {
            answers += 1;
            acknowledged(answers, &files);
        }
    }
}

fn sync(files: &mut HashMap<String, File>, folder: &str, path: &str) {
    if path == folder {
        files.retain(|_, file| !file.unlinked);
        for file in files.values_mut() {
            file.linked = true;
        }
    } else if let Some(name) = path.strip_prefix(&format!("{folder}/"))
        && let Some(file) = files.get_mut(name)
    {
        file.synced = file.after_cut(|_| true);
        file.pending.clear();
    }
}

/// An acknowledged state: the digest of a token, and whether the token is live.
type Promise = (String, Option<(Vec<u8>, bool)>);

async fn check(folder: &Path, promises: &[Promise]) {
    let url = format!("sqlite://{}", folder.join("symbolon.db").display());
    let database = Database::connect(url).await.unwrap();
    let rows = entity::user::Entity::find().all(&database).await.unwrap();
    database.close().await.unwrap();
    for (name, token) in promises {
        let row = rows.iter().find(|row| row.username == *name);
        let row = row.unwrap_or_else(|| panic!("{name} is lost in {}", folder.display()));
        if let Some((digest, alive)) = token {
            assert_eq!(row.token_digest.as_ref(), Some(digest), "{name}");
            assert_eq!(row.token_nonce.is_some(), *alive, "{name}");
        }
    }
}

#[tokio::test]
#[ignore = "needs strace, which scripts/test installs"]
async fn acknowledged_changes_survive_a_power_cut() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let trace = folder.join("trace");
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-y", "-xx", "-s", "70000", "-o"])
        .arg(&trace)
        .arg("-e")
        .arg("trace=pwrite64,ftruncate,fsync,fdatasync,unlink,write,writev,sendto,sendmsg")
        .arg(env!("CARGO_BIN_EXE_symbolon"))
        .current_dir(&folder)
        .env("PORT", "0")
        .env("SYMBOLON_ARGON2_MEMORY", "8")
        .env("SYMBOLON_THROTTLE_REGISTRATION", "1000/1000")
        .stdout(fs::File::create(folder.join("greeting")).unwrap());
    let mut process = Process::start(&mut strace);
    let base = eventually("the server listens", async || {
        let startup_output = fs::read_to_string(folder.join("greeting")).unwrap();
        let base = startup_output
            .split_whitespace()
            .find(|word| word.starts_with("http://"));
        base.filter(|_| startup_output.contains("try first"))
            .map(str::to_owned)
    })
    .await;

    // The requests are sequential, so that the n-th response acknowledges the n-th promise.
    let client = reqwest::Client::new();
    let tokens = format!("{base}/tokens");
    let mut promises: Vec<Promise> = Vec::new();
    for number in 0..150 {
        let name = format!("user{number}");
        let query = format!(
            r#"mutation {{ createUser(input: {{username: "{name}", password: "correct horse"}}) {{ user {{ id }} }} }}"#
        );
        let request = client
            .post(format!("{base}/graphql"))
            .json(&json!({ "query": query }));
        assert!(
            Answer::of(request)
                .await
                .at("/data/createUser/user/id")
                .is_string()
        );
        promises.push((name.clone(), None));
        let request = client
            .post(&tokens)
            .basic_auth(&name, Some("correct horse"));
        let token = Answer::of(request)
            .await
            .at("/token")
            .as_str()
            .unwrap()
            .to_owned();
        let digest = Sha256::digest(&token).to_vec();
        promises.push((name.clone(), Some((digest.clone(), true))));
        let request = client.delete(&tokens).bearer_auth(&token);
        assert_eq!(Answer::of(request).await.status, 204);
        promises.push((name, Some((digest, false))));
    }
    // strace writes its last lines when the traced process ends.
    process.signal_children("TERM");
    process.wait(Duration::from_secs(30));

    let mut cuts = Vec::new();
    let trace = fs::read_to_string(&trace).unwrap();
    replay(&trace, folder.to_str().unwrap(), |answers, files| {
        // Each of the first acknowledgements, while the files are new, and then every 17th.
        if answers > 20 && answers % 17 != 0 && answers != promises.len() {
            return;
        }
        for part in 0..3 {
            let cut = folder.join(format!("cut-{answers}-{part}"));
            fs::create_dir(&cut).unwrap();
            for (name, file) in files.iter().filter(|(_, file)| file.linked) {
                let left = file.after_cut(|number| match part {
                    0 => false,
                    1 => number % 2 == 1,
                    _ => true,
                });
                fs::write(cut.join(name), left).unwrap();
            }
            // The shared memory belongs to ended processes.
            let _ = fs::remove_file(cut.join("symbolon.db-shm"));
            cuts.push((cut, answers));
        }
    });
    assert!(cuts.len() > 100 && cuts.iter().any(|(_, answers)| *answers == promises.len()));
    for (cut, answers) in cuts {
        // A later promise about a user replaces the earlier one.
        let latest: HashMap<_, _> = promises[..answers].iter().cloned().collect();
        check(&cut, &latest.into_iter().collect::<Vec<_>>()).await;
    }
}
