//! Texts of clients: the current version of Unicode, spaces, empty values, and timestamps.

use chrono::TimeDelta;
use serde_json::{Value, json};
use symbolon::AuditEventFilter;

use crate::registration::{create, problems};
use crate::sign_in::CREATE;
use crate::support::{Answer, Cli, PASSWORD, TestApp};

/// Texts with the invisible characters of emoji, and characters that Unicode defines since 2014.
const EMOJI: [&str; 9] = [
    "🙂🤔",
    "₽ 2026 ₿",
    // A variation selector.
    "❤\u{fe0f}",
    // A zero width joiner.
    "👩\u{200d}💻",
    "👩🏽\u{200d}❤\u{fe0f}\u{200d}💋\u{200d}👨🏿",
    // A keycap, a flag of two letters, and a flag with tags.
    "1\u{fe0f}\u{20e3}",
    "🇪🇺",
    "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
    "می\u{200c}خواهم",
];

/// Characters that are not printable.
const INVISIBLE: [char; 17] = [
    '\0',
    '\t',
    '\n',
    '\u{1b}',
    '\u{7f}',
    '\u{85}',
    '\u{ad}',
    '\u{200b}',
    '\u{200e}',
    '\u{202e}',
    '\u{2028}',
    '\u{2066}',
    '\u{3164}',
    '\u{feff}',
    '\u{e000}',
    '\u{ffff}',
    '\u{e0000}',
];

async fn register(app: &TestApp, username: &str, password: &str) -> Vec<String> {
    let input = json!({ "username": username, "password": password });
    problems(&create(app, input).await)
}

async fn sign_in(app: &TestApp, username: &str, password: &str) -> Answer {
    app.graphql(CREATE).basic(username, password).send().await
}

#[tokio::test]
async fn a_password_can_contain_any_printable_character() {
    let app = TestApp::unthrottled().await;
    for (index, emoji) in EMOJI.iter().enumerate() {
        let (name, password) = (format!("user{index}"), format!("cafe\u{301} crème {emoji}"));
        assert_eq!(register(&app, &name, &password).await, [""; 0], "{emoji}");
        // Another keyboard sends the composed or the decomposed form.
        for spelling in [
            format!("café crème {emoji}"),
            format!("cafe\u{301}\u{a0}cre\u{300}me\u{2003}{emoji}"),
        ] {
            let answer = sign_in(&app, &name, &spelling).await;
            assert!(
                answer.at("/data/createToken/token").is_string(),
                "{spelling}"
            );
        }
    }
    for invisible in INVISIBLE {
        let password = format!("correct {invisible} horse");
        let refused = register(&app, "ada", &password).await;
        assert_eq!(refused, ["password: INVALID"], "{invisible:?}");
    }
}

#[tokio::test]
async fn a_username_can_use_a_script_that_unicode_added_recently() {
    let app = TestApp::unthrottled().await;
    for (name, other_case) in [
        // Adlam and Osage have upper-case letters.
        ("𞤀𞤣𞤤𞤢𞤥", "𞤢𞤣𞤤𞤢𞤥"),
        ("𐒰𐓏𐓛𐓘", "𐓘𐓷𐓛𐓘"),
        ("𛅰𛅱", "𛅰𛅱"),
        // Ideographs of the extensions E and G.
        ("\u{2b820}\u{30000}", "\u{2b820}\u{30000}"),
        ("ᏣᎳᎩ", "ꮳꮃꭹ"),
    ] {
        assert_eq!(register(&app, name, PASSWORD).await, [""; 0], "{name}");
        assert_eq!(
            register(&app, other_case, PASSWORD).await,
            ["username: TAKEN"]
        );
        let token = app.sign_in(other_case).await;
        assert_eq!(app.me(&token).await.at("/data/me/username"), name);
    }
    for name in [
        // Two scripts.
        "𞤀da",
        "𐒰\u{430}",
        // Osage, Lisu and Deseret letters that look like Latin letters.
        "𐓂",
        "ꓐꓳꓐ",
        // Cherokee letters that look like Latin letters in upper case.
        "ᎠᎡ",
        "ꭰꭱ",
        // Right-to-left letters mixed with left-to-right letters.
        "𞤀𛅰",
        "🙂",
        "ada❤\u{fe0f}",
        "\u{378}",
    ] {
        let refused = register(&app, name, PASSWORD).await;
        assert_eq!(refused, ["username: INVALID"], "{name}");
    }
}

#[tokio::test]
async fn names_of_devices_and_access_tokens_can_contain_emoji() {
    let app = TestApp::unthrottled().await;
    app.register("ada").await;
    for emoji in EMOJI {
        let sent = format!(" Ada's\u{a0} {emoji} ");
        let variables = json!({ "name": sent });
        let token = app.graphql_with(
            "mutation($name: String!) { createAccessToken(input: { name: $name }) {
                accessToken { name } userErrors { message } } }",
            &variables,
        );
        let token = token.basic("ada", PASSWORD).send().await;
        let name = token.at("/data/createAccessToken/accessToken/name");
        assert_eq!(name, &format!("Ada's {emoji}"), "{token:?}");
        let device = app.graphql_with(
            "mutation($name: String) { createToken(device: $name) { user { sessions { nodes {
                device } } } } }",
            &variables,
        );
        let device = device.basic("ada", PASSWORD).send().await;
        let sessions = device
            .at("/data/createToken/user/sessions/nodes")
            .as_array();
        let last = sessions.and_then(|sessions| sessions.last());
        assert_eq!(last, Some(&json!({ "device": name })), "{device:?}");
    }
    for invisible in INVISIBLE {
        let variables = json!({ "name": format!("a{invisible}b") });
        let document = "mutation($name: String) { createToken(device: $name) { token } }";
        let refused = app.graphql_with(document, &variables);
        let refused = refused.basic("ada", PASSWORD).send().await;
        assert_eq!(refused.error().0, "BAD_USER_INPUT", "{invisible:?}");
    }
}

#[tokio::test]
async fn spaces_around_a_username_are_ignored_at_a_sign_in() {
    let app = TestApp::unthrottled().await;
    let id = app.register("ada").await;
    for name in [" ada", "ada ", "\t ada\r\n", "\u{c}ADA"] {
        let token = sign_in(&app, name, PASSWORD).await;
        assert!(token.at("/data/createToken/token").is_string(), "{name:?}");
        let rest = app.post_tokens(name).send().await.unwrap();
        assert_eq!(rest.status(), 200, "{name:?}");
        // The attempt is counted and recorded as an attempt for this user.
        let refused = sign_in(&app, name, "wrong").await;
        assert_eq!(refused.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
        let last = app
            .operator()
            .audit_events(AuditEventFilter::default(), None)
            .await;
        let last = last.unwrap().into_iter().max_by_key(|event| event.id);
        assert_eq!(
            last.unwrap().user.map(|user| user.to_string()),
            Some(id.to_string()),
            "{name:?}"
        );
    }
    // Other spaces are not ignored, and a new name must not contain spaces.
    for name in ["\u{a0}ada", "a da", " "] {
        let refused = sign_in(&app, name, PASSWORD).await;
        assert_eq!(refused.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
        assert_eq!(register(&app, name, PASSWORD).await, ["username: INVALID"]);
    }
    let password = sign_in(&app, "ada", &format!("{PASSWORD} ")).await;
    assert_eq!(password.error(), ("UNAUTHENTICATED", "INVALID_CREDENTIALS"));
}

#[test]
fn commands_ignore_spaces_around_the_name_of_a_user() {
    let cli = Cli::with_users(&["ada"]);
    let mut command = cli.command("user show");
    command.arg(" ADA\n");
    let shown = crate::support::finish(&mut command);
    assert!(shown.1.contains("ada"), "{shown:?}");
}

#[tokio::test]
async fn an_empty_email_is_null() {
    let app = TestApp::unthrottled().await;
    for (index, email) in ["", " ", "\u{a0}\t"].into_iter().enumerate() {
        let username = format!("user{index}");
        let input = json!({ "username": username, "password": PASSWORD, "email": email });
        let created = create(&app, input).await;
        assert_eq!(problems(&created), [""; 0]);
        assert_eq!(created.at("/data/createUser/user/email"), &Value::Null);
        for (sent, stored) in [
            (json!("a@b.example"), json!("a@b.example")),
            (json!(email), json!(null)),
        ] {
            let update = app.graphql_with(
                "mutation($e: String) { updateUser(input: { email: $e }) {
                    user { email } userErrors { message } } }",
                &json!({ "e": sent }),
            );
            let updated = update.basic(&username, PASSWORD).send().await;
            assert_eq!(
                updated.at("/data/updateUser/user/email"),
                &stored,
                "{updated:?}"
            );
        }
    }
    let refused = json!({ "username": "ada", "password": PASSWORD, "email": "none" });
    assert_eq!(problems(&create(&app, refused).await), ["email: INVALID"]);
}

#[tokio::test]
async fn the_normalization_of_an_email_address_makes_no_difference() {
    let app = TestApp::unthrottled().await;
    let create = async |username: &str, email: &str| {
        let input = json!({ "username": username, "password": PASSWORD, "email": email });
        create(&app, input).await
    };
    for (username, email, stored, others) in [
        (
            "a",
            "ame\u{301}lie@exa\u{308}mple.example",
            "amélie@exämple.example",
            ["AMÉLIE@exämple.example", "AME\u{301}LIE@EXÄMPLE.example"],
        ),
        (
            "b",
            "\u{1112}\u{1161}\u{11ab}@한국.example",
            "한@한국.example",
            ["한@한국.EXAMPLE", "한@\u{1112}\u{1161}\u{11ab}국.example"],
        ),
        (
            "c",
            "νικος@example.org",
            "νικος@example.org",
            ["ΝΙΚΟΣ@example.org", "νικοσ@example.org"],
        ),
    ] {
        let created = create(username, email).await;
        assert_eq!(created.at("/data/createUser/user/email"), stored);
        for other in others {
            let taken = problems(&create("other", other).await);
            assert_eq!(taken, ["email: TAKEN"], "{other}");
        }
    }
}

#[tokio::test]
async fn timestamps_have_three_fractional_digits() {
    let app = TestApp::unthrottled().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    for (by, expected) in [(0, "00.000"), (5, "00.005"), (495, "00.500")] {
        app.advance(TimeDelta::milliseconds(by));
        let rest = Answer::of(app.post_tokens("ada")).await;
        let at = rest.string("/expires_at").to_owned();
        assert!(at.ends_with(".000+00:00"), "{at}");
        let me = app.graphql("{ me { createdAt lastSignInAt disabledAt } }");
        let me = me.bearer(&token).send().await;
        assert_eq!(me.at("/data/me/createdAt"), "2026-01-01T00:00:00.000+00:00");
        let last = format!("2026-01-01T00:00:{expected}+00:00");
        assert_eq!(me.at("/data/me/lastSignInAt"), &last);
    }
    for (index, (sent, stored)) in [
        ("2030-01-01T00:00:00Z", "2030-01-01T00:00:00.000+00:00"),
        (
            "2030-01-01t02:00:00.5+02:00",
            "2030-01-01T00:00:00.500+00:00",
        ),
        (
            "2030-01-01T00:00:00.123456789Z",
            "2030-01-01T00:00:00.123+00:00",
        ),
        (
            "2030-01-01T00:00:00.1234567890123Z",
            "2030-01-01T00:00:00.123+00:00",
        ),
        ("9999-12-31T23:59:59.9999Z", "9999-12-31T23:59:59.999+00:00"),
    ]
    .into_iter()
    .enumerate()
    {
        let created = access_token(&app, index, sent).await;
        let at = created.at("/data/createAccessToken/accessToken/expiresAt");
        assert_eq!(at, stored, "{created:?}");
    }
    for sent in [
        "9999-12-31T23:59:59-01:00",
        "+10000-01-01T00:00:00Z",
        "+12027-06-01T00:00:00Z",
    ] {
        let refused = access_token(&app, 9, sent).await;
        let code = refused.at("/data/createAccessToken/userErrors/0/code");
        assert_eq!(code, "INVALID", "{refused:?}");
    }
    // A row of an earlier version.
    app.sql("UPDATE symbolon_access_token SET expires_at = 317400000000000")
        .await;
    let listed = app
        .graphql("{ me { accessTokens { expiresAt } } }")
        .bearer(&token);
    let listed = listed.send().await;
    let at = listed.at("/data/me/accessTokens/0/expiresAt");
    assert_eq!(at, "9999-12-31T23:59:59.999+00:00", "{listed:?}");
}

async fn access_token(app: &TestApp, index: usize, expires_at: &str) -> Answer {
    let create = app.graphql_with(
        "mutation($n: String!, $at: DateTime) { createAccessToken(input: { name: $n, expiresAt: $at }) {
            accessToken { expiresAt } userErrors { code message } } }",
        &json!({ "n": format!("t{index}"), "at": expires_at }),
    );
    create.basic("ada", PASSWORD).send().await
}

/// The rule of each text that a client can send to the GraphQL endpoint.
const TEXTS: &[(&str, &[&str])] = &[
    (
        "username",
        &[
            "CreateUserInput.username",
            "InviteUserInput.username",
            "UpdateUserInput.username",
        ],
    ),
    (
        "password",
        &[
            "ChangePasswordInput.newPassword",
            "CreateUserInput.password",
            "Mutation.resetPassword.newPassword",
            "SetUserPasswordInput.newPassword",
        ],
    ),
    (
        "label",
        &["CreateAccessTokenInput.name", "Mutation.createToken.device"],
    ),
    (
        "e-mail address",
        &[
            "CreateUserInput.email",
            "InviteUserInput.email",
            "UpdateUserInput.email",
        ],
    ),
    ("scope", &["CreateAccessTokenInput.scopes"]),
    (
        "compared with stored values",
        &[
            "ChangePasswordInput.currentPassword",
            "DeleteUserInput.password",
            "Mutation.resetPassword.token",
            "Query.auditEvents.after",
            "Query.auditEvents.before",
            "Query.user.username",
            "Query.users.after",
            "Query.users.before",
        ],
    ),
];

/// A new text input must be added to [`TEXTS`], and follow the rule of its kind.
#[tokio::test]
async fn each_text_input_has_a_rule() {
    let app = TestApp::start().await;
    let kinds = "type { name ofType { name ofType { name ofType { name } } } }";
    let schema = app.graphql(&format!(
        "{{ __schema {{ types {{ name inputFields {{ name {kinds} }} fields {{ name args {{ name {kinds} }} }} }} }} }}"
    ));
    let schema = schema.send().await;
    let is_text = |value: &Value| {
        let text = value["type"].to_string();
        text.contains("\"String\"")
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for class in list(schema.at("/data/__schema/types")) {
        let name = class["name"].as_str().unwrap();
        for field in list(&class["inputFields"])
            .iter()
            .filter(|field| is_text(field))
        {
            found.push(format!("{name}.{}", field["name"].as_str().unwrap()));
        }
        for field in list(&class["fields"]) {
            for argument in list(&field["args"])
                .iter()
                .filter(|argument| is_text(argument))
            {
                let (field, argument) = (&field["name"], &argument["name"]);
                found.push(format!(
                    "{name}.{}.{}",
                    field.as_str().unwrap(),
                    argument.as_str().unwrap()
                ));
            }
        }
    }
    found.retain(|name| !name.starts_with("__"));
    found.sort();
    let mut expected: Vec<_> = TEXTS.iter().flat_map(|(_, names)| names.iter()).collect();
    expected.sort();
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
}
