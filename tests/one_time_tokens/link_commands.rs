//! `symbolon user reset-link` and `symbolon user invite`.

use serde_json::json;

use super::{BASE, NEW, NOT_VALID, USED, is_done, refusal, reset, signs_in};
use crate::support::{Cli, PASSWORD, Server, finish};

/// Returns the output of a command with `SYMBOLON_PUBLIC_URL`.
fn run(cli: &Cli, line: &str) -> String {
    let (code, output, error) = finish(cli.command(line).env("SYMBOLON_PUBLIC_URL", BASE));
    assert_eq!(code, Some(0), "{line}: {error}");
    output
}

#[tokio::test]
async fn a_link_of_a_command_sets_a_password_in_the_running_server() {
    let cli = Cli::with_users(&["Ada"]);
    // The server needs no setting.
    let server = Server::start(cli.folder.path());
    let session = server.sign_in("ada").await;
    let output = run(&cli, "user reset-link ADA");
    let (url, rest) = output.split_once('\n').unwrap();
    let token = url.strip_prefix(&format!("{BASE}/reset#token=")).unwrap();
    let token = token.strip_suffix("&username=Ada").unwrap();
    let told = rest.strip_prefix("send this link to Ada only; it expires at 20");
    assert!(
        told.is_some_and(|rest| rest.ends_with("Z and can be used once\n")),
        "{rest}"
    );
    assert!(server.accepts(&session).await);
    assert!(is_done(&reset(&server, token, NEW).await));
    assert!(!server.accepts(&session).await);
    assert!(signs_in(&server, "ada", NEW).await);

    let invited = run(
        &cli,
        "user invite bob --email bob@example.org --admin --json",
    );
    let invited: serde_json::Value = serde_json::from_str(&invited).unwrap();
    let token = invited["token"].as_str().unwrap();
    let url = format!("{BASE}/invite#token={token}&username=bob");
    let expires_at = &invited["expiresAt"];
    let expected = json!({
        "userId": "2", "username": "bob", "url": url, "token": token, "expiresAt": expires_at,
    });
    assert_eq!(invited, expected);
    let list = || {
        let output = cli.run("user list");
        let line = output.lines().find(|line| line.contains("bob")).unwrap();
        let cells: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        (cells[2].clone(), cells[3].clone())
    };
    assert_eq!(list(), ("admin".to_owned(), "invited".to_owned()));
    assert!(cli.run("user show bob").contains("state         invited\n"));
    assert!(is_done(&reset(&server, token, NEW).await));
    assert_eq!(list(), ("admin".to_owned(), "active".to_owned()));
    assert_eq!(refusal(&reset(&server, token, PASSWORD).await), USED);
}

#[test]
fn a_refused_command_says_what_to_do() {
    let cli = Cli::with_users(&["ada"]);
    for line in ["user reset-link ada", "user invite bob"] {
        let refused = cli.refusal(line, "");
        assert!(refused.contains("Set SYMBOLON_PUBLIC_URL"), "{refused}");
    }
    let refused = |line: &str, url: &str| {
        let (code, output, error) = finish(cli.command(line).env("SYMBOLON_PUBLIC_URL", url));
        assert!(code != Some(0) && output.is_empty(), "{line}: {output}");
        error
    };
    for (line, expected) in [
        ("user reset-link bob", "there is no user \"bob\""),
        ("user invite ada", "username: This username is taken."),
        ("user invite bob --email x", "email: "),
    ] {
        let error = refused(line, BASE);
        assert!(error.contains(expected), "{line}: {error}");
    }
    let error = refused("user list", "login.example.org");
    assert!(
        error.contains("SYMBOLON_PUBLIC_URL is invalid") && error.contains("such as https://"),
        "{error}"
    );
    let list = cli.run("user list");
    assert_eq!(list.lines().count(), 2, "{list}");
}

#[tokio::test]
async fn token_revoke_deletes_links() {
    let cli = Cli::with_users(&["ada"]);
    let server = Server::start(cli.folder.path());
    for (line, output) in [
        (
            "token revoke --all --yes",
            "live tokens of all users revoked: 0\n",
        ),
        ("token revoke ada", "live tokens of ada revoked: 0\n"),
    ] {
        let link = run(&cli, "user reset-link ada --json");
        let link: serde_json::Value = serde_json::from_str(&link).unwrap();
        assert_eq!(cli.run(line), output);
        let refused = reset(&server, link["token"].as_str().unwrap(), NEW).await;
        assert_eq!(refusal(&refused), NOT_VALID, "{line}");
    }
}
