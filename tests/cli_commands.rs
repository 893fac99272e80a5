//! The commands of the operator, with and without a running server.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{
    Answer, Cli, PASSWORD, Server, digest_prefix, finish, finish_with, on_postgres,
    poll_until_propagated, succeed, symbolon, without_database_line,
};

pub async fn me(server: &Server, token: &str) -> Answer {
    let me = server.graphql("{ me { username role } }");
    me.bearer(token).send().await
}

#[tokio::test]
async fn user_add_creates_the_first_admin_before_the_first_start() {
    let cli = Cli::new();
    let output = cli.run_with_input("user add Ada --admin", &format!("{PASSWORD}\n"));
    assert_eq!(output, "Ada is added\n");
    let server = Server::start(cli.folder.path());
    let answer = me(&server, &server.sign_in("ada").await).await;
    assert_eq!(
        *answer.at("/data/me"),
        json!({ "username": "Ada", "role": "ADMIN" })
    );
}

#[tokio::test]
async fn user_add_works_while_registration_is_closed() {
    let cli = Cli::new();
    let mut add = cli.command("user add ada --email ada@example.org --json");
    add.env("SYMBOLON_REGISTRATION", "false");
    let (code, output, _) = finish_with(&mut add, PASSWORD);
    assert_eq!(code, Some(0));
    let added: Value = serde_json::from_str(&output).unwrap();
    assert_eq!([&added], *cli.json("user list").iter().collect::<Vec<_>>());
    assert_eq!(added["email"], "ada@example.org");
}

#[tokio::test]
async fn user_list_prints_columns_or_json() {
    let cli = Cli::with_users(&["Ada"]);
    cli.run_with_input("user add bob --email bob@example.org", PASSWORD);
    cli.run("user disable bob");
    cli.sql(
        "UPDATE symbolon_user SET created_at = 0, last_sign_in_at = 1500 WHERE id = 1;
             UPDATE symbolon_user SET created_at = 1000, disabled_at = 2000 WHERE id = 2",
    )
    .await;
    assert_eq!(
        cli.run("user list"),
        "id  username  role   state     created                   last sign-in              email\n\
         1   Ada       admin  active    1970-01-01T00:00:00.000Z  1970-01-01T00:00:01.500Z  -\n\
         2   bob       user   disabled  1970-01-01T00:00:01.000Z  -                         bob@example.org\n"
    );
    assert_eq!(
        cli.run("user show BOB"),
        "id            2\n\
         username      bob\n\
         role          user\n\
         state         disabled\n\
         created       1970-01-01T00:00:01.000Z\n\
         last sign-in  -\n\
         email         bob@example.org\n"
    );
    let ada = r#"{"id":"1","username":"Ada","email":null,"role":"ADMIN","createdAt":"1970-01-01T00:00:00.000Z","lastSignInAt":"1970-01-01T00:00:01.500Z","disabledAt":null}"#;
    let bob = r#"{"id":"2","username":"bob","email":"bob@example.org","role":"USER","createdAt":"1970-01-01T00:00:01.000Z","lastSignInAt":null,"disabledAt":"1970-01-01T00:00:02.000Z"}"#;
    assert_eq!(cli.run("user list --json"), format!("{ada}\n{bob}\n"));
    assert_eq!(cli.run("user --json show ada"), format!("{ada}\n"));
}

#[tokio::test]
async fn a_disabled_user_cannot_sign_in_until_enabled() {
    let cli = Cli::with_users(&["root", "ada"]);
    let server = Server::start(cli.folder.path());
    let [disabled] = cli.json("user disable ADA").try_into().unwrap();
    assert!(disabled["disabledAt"].is_string(), "{disabled}");
    assert_eq!(Answer::of(server.post_tokens("ada")).await.status, 401);
    assert_eq!(cli.run("user enable ada"), "ada is enabled\n");
    assert_eq!(Answer::of(server.post_tokens("ada")).await.status, 200);
    let [enabled] = cli.json("user enable ada").try_into().unwrap();
    assert_eq!(enabled["disabledAt"], Value::Null);
}

#[tokio::test]
async fn set_role_takes_effect_at_the_next_request() {
    let cli = Cli::with_users(&["root", "ada"]);
    let server = Server::start(cli.folder.path());
    let token = server.sign_in("ada").await;
    for (role, expected_text, answers) in [
        ("admin", "ada is an admin\n", "ADMIN"),
        ("USER", "ada is a user\n", "USER"),
    ] {
        let set = format!("user set-role ada {role}");
        assert_eq!(cli.run(&set), expected_text);
        let fetch = async || me(&server, &token).await;
        let answer =
            poll_until_propagated(fetch, |answer| answer.at("/data/me/role") == answers).await;
        assert_eq!(answer.at("/data/me/role"), answers);
        assert_eq!(cli.json(&set)[0]["role"], answers);
    }
}

#[tokio::test]
async fn a_password_is_read_from_one_line_of_standard_input() {
    let cli = Cli::with_users(&["ada"]);
    let server = Server::start(cli.folder.path());
    for (input, password) in [
        ("ends with the input", "ends with the input"),
        ("ends with a newline\n", "ends with a newline"),
        ("ends as on Windows\r\n", "ends as on Windows"),
        (" has spaces around \n", " has spaces around "),
        ("is the first line\nof several\n", "is the first line"),
    ] {
        cli.run_with_input("user set-password ada", input);
        let tokens = server.request(reqwest::Method::POST, "/tokens");
        let answer = Answer::of(tokens.basic_auth("ada", Some(password))).await;
        assert_eq!(answer.status, 200, "{input:?}");
    }
    assert_eq!(Answer::of(server.post_tokens("ada")).await.status, 401);
    for command in ["user set-password ada", "user add bob"] {
        let error = cli.refusal(command, "");
        assert!(error.contains("standard input"), "{error}");
        let error = cli.refusal(command, "short\n");
        assert_eq!(error, "password: A password has at least 8 characters.");
    }
}

#[test]
fn a_refusal_is_printed_in_one_line() {
    let cli = Cli::with_users(&["ada", "bob"]);
    cli.run_with_input("user add carol --email carol@example.org", PASSWORD);
    for (line, input, expected_text) in [
        (
            "user add ADA --email CAROL@example.org",
            PASSWORD,
            "username: This username is taken. email: This e-mail address is taken.",
        ),
        (
            "user add a:b --email nonsense",
            "weak",
            "username: A username must not contain a colon. email: This is not an e-mail address. \
             password: A password has at least 8 characters.",
        ),
        (
            "user set-role ada user",
            "",
            "There would be no admin left.",
        ),
        ("user disable ada", "", "There would be no admin left."),
        ("user delete ada --yes", "", "There would be no admin left."),
        (
            "user delete bob",
            "y\n",
            "nothing is deleted: standard input is not a terminal, and --yes is not given",
        ),
    ] {
        assert_eq!(cli.refusal(line, input), expected_text, "{line}");
    }
    let accounts = cli.json("user list");
    assert_eq!(accounts.len(), 3);
    assert!(
        accounts
            .iter()
            .all(|account| account["disabledAt"].is_null())
    );
    for line in [
        "user set-role ada root",
        "user set-role ada",
        "user",
        "token",
        "audit --kind nonsense",
        "audit --user ada --user-id 1",
        "audit --limit some",
    ] {
        let (code, output, _) = finish(&mut cli.command(line));
        assert_eq!((code, output.as_str()), (Some(2), ""), "{line}");
    }
}

#[test]
fn an_unknown_username_is_printed_without_control_characters() {
    let cli = Cli::with_users(&["ada"]);
    for line in [
        "user show nobody",
        "user set-password nobody",
        "user set-role nobody admin",
        "user disable nobody",
        "user enable nobody",
        "user delete nobody",
        "user delete nobody --yes",
        "token revoke nobody",
        "audit --user nobody",
    ] {
        assert_eq!(cli.refusal(line, PASSWORD), r#"there is no user "nobody""#);
    }
    let error = cli.refusal("user show \u{1b}[31mred", "");
    assert_eq!(error, r#"there is no user "\u{1b}[31mred""#);
    // A quoted local part of an email address can contain a tab.
    let mut add = cli.command("user add bob --email");
    add.arg("\"b\tb\"@example.org");
    assert_eq!(finish_with(&mut add, PASSWORD).0, Some(0));
    let list = cli.run("user list");
    assert!(list.contains("@example.org") && !list.contains('\t'));
    assert_eq!(cli.json("user list")[1]["email"], "\"b\tb\"@example.org");
}

#[tokio::test]
async fn token_list_revoke_and_purge_handle_live_and_ended_tokens() {
    let cli = Cli::with_users(&["ada", "bob"]);
    let server = Server::start(cli.folder.path());
    let token = server.sign_in("ada").await;
    let [session] = cli.json("token list").try_into().unwrap();
    assert_eq!(
        (&session["username"], &session["userId"]),
        (&json!("ada"), &json!("1"))
    );
    let [issued] = cli.json("audit --kind token_issued").try_into().unwrap();
    assert_eq!(session["token"], issued["token"]);
    let expires = session["expiresAt"].as_str().unwrap();
    let list = cli.run("token list");
    let words: Vec<_> = list.split_whitespace().collect();
    assert_eq!(
        words[..9],
        [
            "username",
            "type",
            "name",
            "token",
            "expires",
            "ada",
            "session",
            "-",
            issued["token"].as_str().unwrap()
        ]
    );
    assert_eq!(words[9][..19], expires[..19]);
    assert!(!list.contains(&token));

    let create = r#"mutation { createAccessToken(input: { name: "laptop" }) { token } }"#;
    let made = server.graphql(create).basic("ada", PASSWORD).send().await;
    let access = made.at("/data/createAccessToken/token").as_str().unwrap();
    let phone = server.sign_in_on("ada", "phone").await;
    let [_, on_phone, listed] = cli.json("token list").try_into().unwrap();
    assert_eq!(
        (&on_phone["type"], &on_phone["name"]),
        (&json!("device session"), &json!("phone"))
    );
    assert_eq!(on_phone["token"], digest_prefix(&phone));
    assert_eq!(
        (&listed["type"], &listed["name"], &listed["expiresAt"]),
        (&json!("access token"), &json!("laptop"), &json!(null))
    );

    assert_eq!(
        cli.run("token purge"),
        "expired and revoked session tokens deleted: 0\n"
    );
    assert_eq!(me(&server, &token).await.at("/data/me/username"), "ada");
    let revoke = "token revoke Ada";
    assert_eq!(
        cli.json(revoke),
        [json!({ "userId": "1", "username": "ada", "revoked": 3 })]
    );
    assert_eq!(cli.run(revoke), "live tokens of ada revoked: 0\n");
    assert_eq!(
        cli.run("token list"),
        "username  type  name  token  expires\n"
    );
    assert_eq!(cli.run("token list --json"), "");
    let dead = |reason| ("UNAUTHENTICATED", reason);
    assert_eq!(me(&server, &token).await.error(), dead("TOKEN_EXPIRED"));
    assert_eq!(me(&server, access).await.error(), dead("TOKEN_INVALID"));
    assert_eq!(cli.json("token purge"), [json!({ "purged": 2 })]);
    assert_eq!(me(&server, &token).await.error(), dead("TOKEN_INVALID"));
    assert_eq!(
        cli.run("token purge"),
        "expired and revoked session tokens deleted: 0\n"
    );
}

#[tokio::test]
async fn the_audit_command_lists_events_newest_first_and_filters_them() {
    let cli = Cli::with_users(&["ada", "bob"]);
    let server = Server::start(cli.folder.path());
    server.sign_in("bob").await;
    cli.run("user disable bob");
    cli.run("user delete bob --yes");
    let kinds = |line: &str| {
        let events = cli.json(line).into_iter();
        events
            .map(|event| event["kind"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let of_bob = [
        "DELETED",
        "DISABLED",
        "TOKEN_REVOKED",
        "TOKEN_ISSUED",
        "SIGNED_IN",
        "REGISTERED",
    ];
    let all = kinds("audit");
    assert_eq!(all[..6], of_bob);
    assert_eq!(all[6..], ["REGISTERED"]);
    assert_eq!(kinds("audit --user-id 2"), of_bob);
    assert_eq!(kinds("audit --user ADA"), ["REGISTERED"]);
    assert_eq!(kinds("audit --kind DISABLED"), ["DISABLED"]);
    assert_eq!(kinds("audit --kind registered --user-id 2"), ["REGISTERED"]);
    assert_eq!(kinds("audit --limit 2"), ["DELETED", "DISABLED"]);
    assert_eq!(kinds("audit --limit 0"), [""; 0]);

    let [revoked] = cli.json("audit --kind token_revoked").try_into().unwrap();
    assert_eq!(revoked["userId"], "2");
    for nothing in [
        "actorId",
        "address",
        "requestId",
        "credentialType",
        "oldRole",
    ] {
        assert_eq!(revoked.get(nothing), Some(&Value::Null), "{nothing}");
    }
    assert_eq!(revoked["actorType"], "OPERATOR");
    let [deleted] = cli.json("audit --kind deleted").try_into().unwrap();
    assert_eq!(
        (&deleted["actorType"], &deleted["username"]),
        (&json!("OPERATOR"), &json!("bob"))
    );
    let [issued] = cli.json("audit --kind token_issued").try_into().unwrap();
    assert_eq!(
        (&issued["actorId"], &issued["address"]),
        (&json!("2"), &json!("127.0.0.1"))
    );
    let lines = cli.run("audit");
    let lines: Vec<Vec<_>> = lines
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        [
            "at",
            "kind",
            "user",
            "change",
            "actor",
            "credential",
            "token",
            "address",
            "request",
            "repeated"
        ]
    );
    assert_eq!(
        lines[1][1..],
        ["DELETED", "(2)", "bob", "operator", "-", "-", "-", "-", "-"]
    );
    assert_eq!(
        lines[4][1..6],
        ["TOKEN_ISSUED", "(2)", "-", "(2)", "password"]
    );
    assert_eq!(lines[7][1..4], ["REGISTERED", "ada", "(1)"]);
}

#[tokio::test]
async fn long_lists_are_complete_and_a_closed_pipe_is_no_error() {
    let cli = Cli::with_users(&["ada"]);
    // Inserts a user with a session for each number up to 2500, and an event for each.
    let rows = "WITH RECURSIVE n(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 2500)";
    let (nonce, digest, live) = if on_postgres() {
        (
            "decode(repeat('00', 24), 'hex')",
            "sha256(n::text::bytea)",
            "extract(epoch FROM now())::bigint * 1000 + 3600000",
        )
    } else {
        (
            "randomblob(24)",
            "randomblob(32)",
            "CAST(strftime('%s', 'now') AS INTEGER) * 1000 + 3600000",
        )
    };
    cli
        .sql(&format!(
            "INSERT INTO symbolon_user (username, username_canonical, password_hash, password_version,
                 role, created_at, token_nonce, token_digest, token_expiration)
             {rows} SELECT 'user' || n, 'user' || n, 'x', 1, 'user', 0, {nonce}, {digest}, {live} FROM n;
             INSERT INTO symbolon_audit_event (kind, at, last_at, count, user_id)
             {rows} SELECT 'SIGN_IN_FAILED', 0, 3600000, 25, n FROM n;"
        ))
        .await;
    for (line, entries) in [
        ("user list", 2500),
        ("token list", 2499),
        ("audit --limit 2100", 2100),
        ("audit --limit 9999", 2500),
        ("audit", 100),
    ] {
        assert_eq!(cli.json(line).len(), entries, "{line}");
        assert_eq!(cli.run(line).lines().count(), entries + 1, "{line}");
    }
    let audit = cli.run("audit --limit 1");
    assert!(
        audit.contains("25 times until 1970-01-01T01:00:00.000Z"),
        "{audit}"
    );
    for line in ["user list", "user list --json", "audit --limit 9999"] {
        let mut command = cli.command(line);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();
        drop(output);
        let mut error = String::new();
        let mut log = child.stderr.take().unwrap();
        log.read_to_string(&mut error).unwrap();
        assert!(
            child.wait().unwrap().success() && without_database_line(&error).is_empty(),
            "{error}"
        );
    }
}

#[test]
fn commands_have_few_flags_and_log_nothing_by_default() {
    let cli = Cli::with_users(&["ada"]);
    for line in ["user add", "user list", "token purge", "audit", "migrate"] {
        let help = succeed(&mut cli.command(&format!("{line} --help")));
        assert!(
            help.contains("DATABASE_URL") && !help.contains("argon2"),
            "{line}"
        );
    }
    let mut add = cli.command("user add bob");
    let (_, _, log) = finish_with(add.env("SYMBOLON_LOG", "info"), PASSWORD);
    assert!(
        log.contains("symbolon::audit") && log.contains("REGISTERED"),
        "{log}"
    );
}

#[test]
fn the_help_lists_every_setting() {
    let folder = tempfile::tempdir().unwrap();
    let (code, help, _) = finish(symbolon(folder.path()).arg("--help"));
    assert_eq!(code, Some(0));
    for word in [
        "serve",
        "migrate",
        "schema",
        "DATABASE_URL",
        "HOST",
        "PORT",
        "SYMBOLON_SECRET_KEY",
        "SYMBOLON_SECRET_KEY_FILE",
        "SYMBOLON_TOKEN_LIFETIME",
        "SYMBOLON_ARGON2_MEMORY",
        "SYMBOLON_HASH_THREADS",
        "SYMBOLON_LOG",
    ] {
        assert!(help.contains(word), "{word}");
    }
}
