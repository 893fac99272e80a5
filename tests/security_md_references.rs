//! Each row of the threat model in SECURITY.md names the tests that show its control.

use std::fs;
use std::path::Path;

/// Whether `source` has this test, given as the path below the file: `name`, or `module::name`.
fn has_test(source: &str, path: &str) -> bool {
    let (module, name) = path.rsplit_once("::").unwrap_or(("", path));
    let source = match module {
        "" => Some(source),
        module => source
            .split_once(&format!("\nmod {module} {{\n"))
            .map(|(_, rest)| rest),
    };
    let function = format!("fn {name}(");
    source.is_some_and(|source| {
        // A test of several modules calls a function of the same name.
        source.match_indices(&function).any(|(at, _)| {
            // The attributes of a function follow the last empty line before it.
            let attributes = source[..at].rsplit("\n\n").next().unwrap();
            attributes.contains("test]") || attributes.contains("test(")
        })
    })
}

/// Whether a test exists, by the path that `cargo test` prints.
pub(crate) fn exists(test: &str) -> bool {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    test.match_indices("::").any(|(at, _)| {
        let file = tests
            .join(test[..at].replace("::", "/"))
            .with_extension("rs");
        fs::read_to_string(file).is_ok_and(|source| has_test(&source, &test[at + 2..]))
    })
}

#[test]
fn every_row_of_the_threat_model_names_existing_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(2);
    let rows: Vec<_> = rows.collect();
    assert!(rows.len() > 20);
    for row in rows {
        let tests = row.split('|').nth(3).unwrap();
        let tests: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        for test in tests {
            assert!(exists(test), "{test} does not exist");
        }
    }
}
