//! `symbolon completions`: the shells accept the scripts, and bash completes with one.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{finish, succeed, unconfigured_symbolon};

const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

fn completions(folder: &Path, shell: &str) -> Command {
    let mut command = unconfigured_symbolon(folder);
    command.args(["completions", shell]);
    command
}

/// Returns the completions that bash proposes for the last word.
fn completions_in_bash(script: &Path, words: &[&str]) -> Vec<String> {
    let complete = r#"
        source "$1"
        shift
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        # `complete -p` prints the registration, which names the function.
        function=$(complete -p symbolon | grep --only-matching -e '-F [^ ]*')
        "${function#-F }" symbolon "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", complete, "bash"]).arg(script);
    let output = succeed(bash.arg("symbolon").args(words));
    output.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_subcommands_and_options() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("symbolon.bash");
    fs::write(&script, succeed(&mut completions(folder.path(), "bash"))).unwrap();
    for (words, expected) in [
        (&["us"][..], &["user"][..]),
        (&["user", "set-"], &["set-password", "set-role"]),
        (&["token", "revoke", "--al"], &["--all"]),
        (&["--token-l"], &["--token-lifetime"]),
        (&["completions", "z"], &["zsh"]),
    ] {
        assert_eq!(completions_in_bash(&script, words), expected, "{words:?}");
    }
}

#[test]
fn the_scripts_depend_on_no_setting_and_contain_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    for shell in SHELLS {
        let script = succeed(&mut completions(folder.path(), shell));
        assert!(script.contains("set-password"), "{shell}");
        let mut configured = completions(folder.path(), shell);
        configured
            .env("SYMBOLON_SECRET_KEY", "c2VjcmV0")
            .env(
                "DATABASE_URL",
                "postgres://symbolon:secret@localhost/symbolon",
            )
            // An invalid value is an error of each command that reads this setting.
            .env("SYMBOLON_TOKEN_LIFETIME", "secret");
        let (code, output, error) = finish(&mut configured);
        assert_eq!((code, &*error), (Some(0), ""), "{shell}");
        assert!(output == script, "{shell}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_unknown_shell_is_refused_with_the_known_shells() {
    let folder = tempfile::tempdir().unwrap();
    let (code, output, error) = finish(&mut completions(folder.path(), "tcsh"));
    assert_eq!((code, &*output), (Some(2), ""));
    for shell in SHELLS {
        assert!(error.contains(shell), "{error}");
    }
}

#[test]
#[ignore = "needs zsh and fish, which scripts/test installs"]
fn zsh_and_fish_accept_the_scripts() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = folder.path().join(shell);
        fs::write(&script, succeed(&mut completions(folder.path(), shell))).unwrap();
        let mut check = Command::new(shell);
        let (code, output, error) = finish(check.arg("-n").arg(&script));
        assert_eq!((code, &*output, &*error), (Some(0), "", ""), "{shell}");
    }
}
