//! The rules of the house, held by reading the `use` lines of every room.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Each file below `src`, by its path there, with its code: no comments, no doc examples.
fn code() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&src);
    assert!(files.len() > 20);
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&src).unwrap().display().to_string();
            let text = fs::read_to_string(&path).unwrap();
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect::<Vec<_>>()
                .join("\n");
            (name, code)
        })
        .collect()
}

/// The first part of a path: `store` for `store/users.rs`, `app` for `app.rs`.
fn room(name: &str) -> &str {
    name.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Whether `code` mentions the crate or module `name`, as the start of a path.
fn mentions(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

#[test]
fn each_crate_is_used_in_its_layers_only() {
    let rules: &[(&str, &[&str])] = &[
        ("sea_orm", &["store/"]),
        ("entity", &["store/"]),
        ("migration", &["store/"]),
        ("poem", &["http/", "app.rs"]),
        (
            "async_graphql",
            &["graphql/", "http/graphql.rs", "http/websocket/"],
        ),
        ("async_graphql_poem", &["http/websocket/"]),
        ("tokio_tungstenite", &["http/websocket/"]),
        ("clap", &["cli/", "config.rs", "config/"]),
        ("tracing_subscriber", &["telemetry.rs"]),
        ("argon2", &["service/"]),
        ("bcrypt", &["service/"]),
        ("pbkdf2", &["service/"]),
        ("scrypt", &["service/"]),
    ];
    let mut spoken = vec![false; rules.len()];
    for (name, code) in code() {
        for ((krate, rooms), spoken) in rules.iter().zip(&mut spoken) {
            if mentions(&code, krate) {
                *spoken = true;
                let allowed = rooms.iter().any(|room| name.starts_with(room));
                assert!(allowed, "{name} speaks {krate}");
            }
        }
    }
    assert!(spoken.iter().all(|spoken| *spoken), "a rule about nothing");
}

#[test]
fn imports_follow_the_layers() {
    let rules: &[(&str, &[&str])] = &[
        ("background", &[]),
        ("clock", &[]),
        ("error", &[]),
        ("model", &["error", "model"]),
        ("config", &["config", "error", "model"]),
        ("store", &["background", "clock", "error", "model", "store"]),
        (
            "service",
            &["background", "clock", "error", "model", "store", "service"],
        ),
        (
            "graphql",
            &["config", "error", "model", "service", "graphql"],
        ),
        (
            "http",
            &["config", "error", "model", "service", "graphql", "http"],
        ),
        ("operator", &["error", "model", "service", "operator"]),
    ];
    for (name, code) in code() {
        let Some((_, allowed)) = rules.iter().find(|(about, _)| *about == room(&name)) else {
            // The composition root, the library's front and the binary may know everything.
            let free = ["app", "lib", "main", "cli", "telemetry"];
            assert!(free.contains(&room(&name)), "{name} is in no room");
            continue;
        };
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            let used: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            assert!(
                allowed.contains(&used.as_str()),
                "{name} uses crate::{used}"
            );
        }
        assert!(
            !code.contains("super::super"),
            "{name} climbs out of its room"
        );
    }
}

#[test]
fn instants_come_from_the_clock() {
    for (name, code) in code() {
        let asks = code.contains("Utc::now") || code.contains("SystemTime::now");
        assert!(!asks || name == "clock.rs", "{name}");
    }
}

#[test]
fn each_test_file_is_part_of_the_test_program() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let main = fs::read_to_string(tests.join("main.rs")).unwrap();
    for entry in fs::read_dir(tests).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(module) = name.strip_suffix(".rs").filter(|name| *name != "main") {
            assert!(main.contains(&format!("mod {module};")), "{name}");
        }
    }
}

#[test]
fn background_tasks_are_started_with_supervise() {
    // What is started otherwise: how often in each file, and why that is no background task.
    let exceptions = [
        ("cli/healthcheck.rs", 1, "its one request waits for it"),
        (
            "cli/serve.rs",
            1,
            "the server of the metrics, whose requests are tasks of their own",
        ),
        (
            "http/server.rs",
            2,
            "a connection, which ends with it, and the refusal of one",
        ),
        (
            "http/websocket/mod.rs",
            1,
            "a WebSocket, which is closed after a panic",
        ),
        (
            "service/hash_pool.rs",
            1,
            "the hashing threads, which catch the panics of their jobs",
        ),
        (
            "service/mod.rs",
            1,
            "a mutation, whose request reports the panic",
        ),
        (
            "service/watch.rs",
            1,
            "one look-up of a token, without which its sockets end",
        ),
        (
            "store/writing.rs",
            2,
            "the begin and the commit of a transaction, which report the panic",
        ),
    ];
    let mut found = Vec::new();
    for (name, code) in code() {
        let (code, _) = code.split_once("#[cfg(test)]").unwrap_or((&code, ""));
        let spawns = ["spawn(", "spawn_blocking(", "spawn_local(", "spawn_on("].iter();
        let starts: usize = spawns
            .map(|call| {
                let calls = code.match_indices(call);
                let starts = calls.filter(|(at, _)| {
                    let is_call = code[..*at].ends_with(['.', ':']);
                    is_call && !code[at + call.len()..].starts_with("supervise(")
                });
                starts.count()
            })
            .sum();
        if starts > 0 {
            found.push((name, starts));
        }
    }
    found.sort();
    let expected: Vec<_> = (exceptions.iter())
        .map(|(name, starts, _)| ((*name).to_owned(), *starts))
        .collect();
    assert_eq!(found, expected, "start it with background::supervise");
}

#[test]
fn only_the_operator_is_exempt_from_authorization() {
    for (name, code) in code() {
        let is_operators = name == "operator.rs" || name.starts_with("service/");
        for exemption in ["Caller::Operator", "Actor::Operator", "into_user("] {
            assert!(
                is_operators || !code.contains(exemption),
                "{name}: {exemption}"
            );
        }
        // Endpoints call use cases, which authorize their caller.
        let is_endpoint = name.starts_with("graphql/") || name.starts_with("http/");
        for inside in [".store.", "model::requirement::Requirement"] {
            let is_guard = ["graphql/guard.rs", "http/forward_auth.rs"].contains(&name.as_str());
            let allowed = !is_endpoint || (is_guard && inside != ".store.");
            assert!(allowed || !code.contains(inside), "{name}: {inside}");
        }
    }
}
