//! The files in `deploy/`, and the Dockerfile: their settings exist, and systemd accepts the units.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{finish, unconfigured_symbolon};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the text of the Dockerfile and of each file below `deploy/`, with its name.
fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut paths = vec![root().join("Dockerfile"), root().join("deploy")];
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            files.push((name, fs::read_to_string(path).unwrap()));
        }
    }
    assert!(files.len() > 11);
    files
}

#[test]
fn every_variable_in_the_deployment_files_is_a_setting() {
    let folder = tempfile::tempdir().unwrap();
    let (_, help, _) = finish(unconfigured_symbolon(folder.path()).arg("--help"));
    let mut settings: BTreeSet<_> = help
        .split("[env: ")
        .skip(1)
        .map(|setting| setting.split(['=', ']', ',']).next().unwrap())
        .collect();
    settings.extend(["SYMBOLON_SECRET_KEY", "SYMBOLON_LOG", "SYMBOLON_LOG_FORMAT"]);
    let mut found = 0;
    for (name, text) in files() {
        for (at, _) in text.match_indices("SYMBOLON_") {
            let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            let variable = text[at..].split(|c| !is_name(c)).next().unwrap();
            assert!(settings.contains(variable), "{name}: {variable}");
            found += 1;
        }
    }
    assert!(found > 10);
}

#[test]
fn the_image_is_built_with_the_declared_version_of_rust() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let version = manifest.split("rust-version = \"").nth(1).unwrap();
    let version = version.split('"').next().unwrap();
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).unwrap();
    assert!(dockerfile.contains(&format!("ARG RUST_VERSION={version}\n")));
}

#[test]
#[ignore = "needs systemd-analyze, which scripts/test installs"]
fn systemd_accepts_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    let mut units = 0;
    for (name, text) in files() {
        let path = Path::new(&name);
        let extension = path.extension().unwrap_or_default();
        if extension != "service" && extension != "timer" {
            continue;
        }
        // `verify` requires that the program exists.
        let program = env!("CARGO_BIN_EXE_symbolon");
        let unit = text.replace("/usr/local/bin/symbolon", program);
        let file = folder.path().join(path.file_name().unwrap());
        fs::write(&file, unit).unwrap();
        verify.arg(file);
        units += 1;
    }
    assert_eq!(units, 3);
    let (code, output, error) = finish(&mut verify);
    // `verify` ends with the code 0 after it has reported an unknown setting.
    assert_eq!((code, &*output, &*error), (Some(0), "", ""));
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--threshold=20"]);
    let (code, output, _) = finish(security.arg(folder.path().join("symbolon.service")));
    assert_eq!(code, Some(0), "{output}");
}
