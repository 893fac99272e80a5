//! The rules of docs/architecture.md, checked by reading the source code.

mod import_graph;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The most lines of a file in `src`, without the examples in its documentation.
const MAX_LINES: usize = 350;

/// A file of `src`.
struct SourceFile {
    /// The path below `src`.
    name: String,
    /// The text without comments, documentation and unit tests.
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn source_files() -> Vec<SourceFile> {
    let src = root().join("src");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let (text, _) = text.split_once("\n#[cfg(test)]\n").unwrap_or((&text, ""));
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        SourceFile {
            name: path.strip_prefix(&src).unwrap().display().to_string(),
            code: lines.collect::<Vec<_>>().join("\n"),
        }
    };
    let files: Vec<_> = rust_files(&src).into_iter().map(read).collect();
    assert!(files.len() > 20);
    files
}

/// The first part of the name of a file: `store` for `store/users.rs`, `app` for `app.rs`.
fn layer(name: &str) -> &str {
    name.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Whether a path in `code` begins with the crate `name`.
fn uses_crate(code: &str, name: &str) -> bool {
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
        ("poem", &["http/", "app.rs", "app/serving.rs"]),
        (
            "async_graphql",
            &["graphql/", "http/graphql.rs", "http/websocket/"],
        ),
        ("async_graphql_poem", &["http/graphql.rs"]),
        ("icu_properties", &["model/precis.rs", "model/precis/"]),
        ("apollo_compiler", &["graphql/"]),
        ("apollo_parser", &["graphql/"]),
        ("tokio_tungstenite", &["http/websocket/"]),
        ("clap", &["cli/"]),
        ("clap_complete", &["cli/completions.rs"]),
        ("csv", &["cli/"]),
        ("indicatif", &["cli/"]),
        // Each layer owns the counters of what it does. `http/metrics.rs` collects them.
        ("prometheus_client", &["store/", "service/", "http/"]),
        ("procfs", &["http/metrics/process.rs"]),
        ("tracing_subscriber", &["logging.rs"]),
        ("argon2", &["service/"]),
        ("bcrypt", &["service/"]),
        ("pbkdf2", &["service/"]),
        ("scrypt", &["service/"]),
    ];
    let files = source_files();
    for (name, layers) in rules {
        let users: Vec<_> = files
            .iter()
            .filter(|file| uses_crate(&file.code, name))
            .collect();
        assert!(!users.is_empty(), "the crate {name} is not used");
        for file in users {
            let is_allowed = layers.iter().any(|layer| file.name.starts_with(layer));
            assert!(is_allowed, "{} uses {name}", file.name);
        }
    }
}

#[test]
fn imports_follow_the_layers() {
    let rules: &[(&str, &[&str])] = &[
        ("supervised_tasks", &[]),
        ("clock", &[]),
        ("error", &[]),
        ("model", &["error"]),
        ("config", &["error", "model"]),
        ("store", &["supervised_tasks", "clock", "error", "model"]),
        (
            "service",
            &["supervised_tasks", "clock", "error", "model", "store"],
        ),
        ("graphql", &["config", "error", "model", "service"]),
        ("http", &["config", "error", "model", "service", "graphql"]),
        ("operator", &["error", "model", "service"]),
    ];
    // The composition and the program import all layers.
    let unrestricted = ["app", "lib", "main", "cli", "logging"];
    for (name, imports) in import_graph::graph(&source_files()) {
        let own = layer(&name);
        if unrestricted.contains(&own) {
            continue;
        }
        let rule = rules.iter().find(|(layer, _)| *layer == own);
        let (_, allowed) = rule.unwrap_or_else(|| panic!("{name} is in no layer"));
        for import in imports {
            let imported = layer(&import);
            let is_allowed = imported == own || allowed.contains(&imported);
            assert!(is_allowed, "{name} imports {import}");
        }
    }
}

#[test]
fn no_files_import_each_other() {
    let files = source_files().into_iter();
    let files: Vec<_> = files
        .filter(|file| !["lib.rs", "main.rs"].contains(&&*file.name))
        .collect();
    let graph = import_graph::graph(&files);
    let cycles = import_graph::cycles(&graph);
    let describe = |cycle: &BTreeSet<String>| {
        let edges = cycle.iter().map(|file| {
            let imports: Vec<_> = graph[file].intersection(cycle).collect();
            format!("  {file} imports {imports:?}\n")
        });
        edges.collect::<String>() + "\n"
    };
    let described: String = cycles.iter().map(describe).collect();
    assert!(cycles.is_empty(), "cycles:\n{described}");
}

/// Counts the lines of a text without the examples in documentation comments, and the empty lines around them.
fn lines_without_examples(text: &str) -> usize {
    let outside = text.split("/// ```").step_by(2);
    let trimmed = outside.map(|part| part.trim_matches(|c: char| c == '/' || c.is_whitespace()));
    trimmed.map(|part| part.lines().count()).sum()
}

#[test]
fn no_source_file_is_too_long() {
    let long = rust_files(&root().join("src"))
        .into_iter()
        .filter_map(|path| {
            let lines = lines_without_examples(&fs::read_to_string(&path).unwrap());
            (lines > MAX_LINES).then(|| format!("{}: {lines}", path.display()))
        });
    assert_eq!(
        long.collect::<Vec<_>>(),
        [""; 0],
        "more than {MAX_LINES} lines"
    );
}

/// Returns the texts in backquotes that are paths of Rust files or end with a slash.
fn quoted_paths(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split('`').skip(1).step_by(2);
    // `/tokens` and `/auth` are endpoints.
    code.filter(|code| {
        let extension = Path::new(code).extension();
        let is_file = extension.is_some_and(|extension| extension == "rs");
        !code.starts_with('/') && !code.contains([' ', '\n']) && (is_file || code.ends_with('/'))
    })
}

#[test]
fn each_path_in_documents_and_comments_exists() {
    let architecture = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    assert!(quoted_paths(&architecture).count() > 40);
    let mut texts = Vec::new();
    for name in [
        "README.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "bench/README.md",
    ] {
        texts.push((
            name.to_owned(),
            fs::read_to_string(root().join(name)).unwrap(),
        ));
    }
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(root()).unwrap();
            texts.push((name.display().to_string(), text));
        }
    }
    for folder in ["src", "tests", "examples"] {
        for path in rust_files(&root().join(folder)) {
            let text = fs::read_to_string(&path).unwrap();
            let comments = text.lines().filter(|line| line.trim().starts_with("//"));
            let comments = comments.collect::<Vec<_>>().join("\n");
            texts.push((path.display().to_string(), comments));
        }
    }
    let mut missing = Vec::new();
    for (name, text) in &texts {
        for path in quoted_paths(text) {
            // A comment can name a file of its own folder. `FILE` is a placeholder.
            let is_checked = name == "docs/architecture.md" || path.contains('/');
            if !is_checked || path.contains("FILE") {
                continue;
            }
            if !root().join("src").join(path).exists() && !root().join(path).exists() {
                missing.push(format!("{name}: {path}"));
            }
        }
    }
    assert_eq!(missing, [""; 0]);
}

#[test]
fn instants_come_from_the_clock() {
    for SourceFile { name, code } in source_files() {
        let reads_clock = code.contains("Utc::now") || code.contains("SystemTime::now");
        assert!(!reads_clock || name == "clock.rs", "{name}");
    }
}

#[test]
fn each_test_file_is_part_of_the_test_program() {
    let tests = root().join("tests");
    for path in rust_files(&tests) {
        let folder = path.parent().unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let (name, parents) = match name {
            "main" => continue,
            "mod" => {
                let name = folder.file_name().unwrap().to_str().unwrap();
                (name, vec![folder.parent().unwrap().join("main.rs")])
            }
            _ => (
                name,
                vec![
                    folder.join("main.rs"),
                    folder.join("mod.rs"),
                    folder.with_extension("rs"),
                ],
            ),
        };
        let declaration = format!("mod {name};");
        let mut declares = parents
            .iter()
            .filter_map(|parent| fs::read_to_string(parent).ok());
        assert!(
            declares.any(|text| text.contains(&declaration)),
            "{}",
            path.display()
        );
    }
}

#[test]
fn background_tasks_are_started_with_supervise() {
    // The other calls that start tasks and threads: how many each file has, and why they are allowed.
    let exceptions = [
        ("cli/healthcheck.rs", 1, "the task ends with the command"),
        (
            "cli/serve.rs",
            1,
            "each metrics request has a task of its own",
        ),
        (
            "http/request_body.rs",
            1,
            "an ignored body, which is discarded for at most 2 s",
        ),
        (
            "http/server.rs",
            2,
            "a connection, and the refusal of a connection",
        ),
        (
            "http/websocket/mod.rs",
            1,
            "a WebSocket, which is closed after a panic",
        ),
        (
            "service/hash_queue.rs",
            2,
            "the hashing threads, which catch the panics of their jobs",
        ),
        (
            "service/run_to_completion.rs",
            1,
            "a mutation, whose request reports the panic",
        ),
        (
            "service/token_look_ups.rs",
            1,
            "a look-up of tokens, whose requests report the panic",
        ),
        (
            "service/token_watch.rs",
            1,
            "a look-up of a token, whose WebSockets end with it",
        ),
        (
            "store/transaction.rs",
            2,
            "begin and commit, which report the panic",
        ),
    ];
    let calls = ["spawn(", "spawn_blocking(", "spawn_local(", "spawn_on("];
    let count = |code: &str, call: &str| {
        let starts = code.match_indices(call).filter(|(at, _)| {
            let is_call = code[..*at].ends_with(['.', ':']);
            is_call && !code[at + call.len()..].starts_with("supervise(")
        });
        starts.count()
    };
    let found = source_files().into_iter().map(|SourceFile { name, code }| {
        let starts: usize = calls.iter().map(|call| count(&code, call)).sum();
        (name, starts)
    });
    let found: Vec<_> = found.filter(|(_, starts)| *starts > 0).collect();
    let expected = exceptions.map(|(name, starts, _)| (name.to_owned(), starts));
    assert_eq!(
        found, expected,
        "start background tasks with supervised_tasks::supervise"
    );
}

#[test]
fn only_the_operator_is_exempt_from_authorization() {
    for SourceFile { name, code } in source_files() {
        let may_be_exempt = name == "operator.rs" || name.starts_with("service/");
        for exemption in ["Caller::Operator", "Actor::Operator", "into_user("] {
            assert!(
                may_be_exempt || !code.contains(exemption),
                "{name}: {exemption}"
            );
        }
        // Endpoints call use cases, which authorize their caller.
        let is_endpoint = name.starts_with("graphql/") || name.starts_with("http/");
        assert!(!is_endpoint || !code.contains(".store."), "{name}: .store.");
        let is_guard = ["graphql/guard.rs", "http/forward_auth.rs"].contains(&&*name);
        let names_requirement = code.contains("model::requirement::Requirement");
        assert!(
            !is_endpoint || is_guard || !names_requirement,
            "{name}: Requirement"
        );
    }
}

/// Returns the files of the services that call a method.
fn callers(method: &str) -> Vec<String> {
    let call = format!(".{method}(");
    let calls = |file: &SourceFile| file.name.starts_with("service/") && file.code.contains(&call);
    let files = source_files().into_iter().filter(calls);
    files.map(|file| file.name).collect()
}

#[test]
fn only_the_throttle_reserves_places_in_the_hash_queue() {
    // `passwords` passes the call on to the pool, and only the operator runs the import.
    let expected = [
        "service/import.rs",
        "service/passwords/tests.rs",
        "service/passwords.rs",
        "service/throttle.rs",
    ];
    assert_eq!(callers("reserve"), expected);
}

#[test]
fn only_the_uniqueness_check_queries_taken_values() {
    assert_eq!(callers("find_taken_fields"), ["service/uniqueness.rs"]);
}

#[test]
fn the_library_without_features_has_no_dependency_of_the_program() {
    let tree = |depth: &str, features: &[&str]| {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--offline", "--no-default-features"])
            .args(["--edges", "normal", "--prefix", "none", "--depth", depth])
            .args(features)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&tree.stderr);
        assert!(tree.status.success(), "{error}");
        let tree = String::from_utf8(tree.stdout).unwrap();
        let names = tree.lines().filter_map(|line| line.split(' ').next());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let all = tree("99", &[]);
    let of_the_program = ["clap", "csv", "indicatif", "mimalloc", "rpassword"];
    for name in of_the_program.iter().chain(&["symbolon-explorer"]) {
        assert!(!all.iter().any(|dependency| dependency == name), "{name}");
    }
    // sea-orm-migration depends on it.
    let direct = tree("1", &[]);
    assert!(!direct.iter().any(|name| name == "tracing-subscriber"));
    let with_program = tree("1", &["--features", "server"]);
    for name in of_the_program.iter().chain(&["tracing-subscriber"]) {
        let has_it = with_program.iter().any(|dependency| dependency == name);
        assert!(has_it, "{name}");
    }
}
