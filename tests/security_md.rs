//! SECURITY.md says of each control which tests show it: they are there.

use std::fs;
use std::path::Path;

#[test]
fn every_row_of_the_threat_model_points_at_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let rows: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .collect();
    assert!(rows.len() > 20);
    for row in rows {
        let shown_by = row.split('|').nth(3).unwrap();
        let tests: Vec<_> = shown_by.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        for test in tests {
            let (file, name) = test.split_once("::").unwrap();
            let source = fs::read_to_string(root.join(format!("tests/{file}.rs"))).unwrap();
            let (before, _) = source
                .split_once(&format!("fn {name}("))
                .unwrap_or_else(|| panic!("there is no {test}"));
            // Nothing between the attribute and the function but other attributes.
            let attributes = before.rsplit("\n\n").next().unwrap();
            let is_test = ["test]", "test("]
                .iter()
                .any(|end| attributes.contains(end));
            assert!(is_test, "{test} is no test");
        }
    }
}
