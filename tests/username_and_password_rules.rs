//! The rules of new usernames (UTS #39) and new passwords.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::registration::problems;
use crate::support::{Answer, Cli, PASSWORD, TestApp};

async fn create(app: &TestApp, username: &str, password: &str) -> Answer {
    app.graphql_with(
        "mutation($i: CreateUserInput!) {
            createUser(input: $i) { user { id } userErrors { field code message } } }",
        &json!({ "i": { "username": username, "password": password } }),
    )
    .send()
    .await
}

/// Returns the code of the only user error of a payload.
fn code<'a>(answer: &'a Answer, mutation: &str) -> &'a str {
    let errors = answer.at(&format!("/data/{mutation}/userErrors"));
    let errors = errors.as_array().unwrap_or_else(|| panic!("{answer:?}"));
    assert!(errors.len() < 2, "{answer:?}");
    let code = errors.first().map(|error| error["code"].as_str().unwrap());
    code.unwrap_or_default()
}

/// Latin with a Cyrillic letter.
pub const MIXED: &str = "p\u{430}ypal";

/// Gives a user a name that earlier versions allowed.
async fn rename(app: &TestApp, id: i64, name: &str) {
    app.sql(&format!(
        "UPDATE symbolon_user SET username = '{name}', username_canonical = '{name}' WHERE id = {id}"
    ))
    .await;
}

#[tokio::test]
async fn a_new_username_uses_one_script() {
    let app = TestApp::unthrottled().await;
    for name in [
        "Ada",
        "ada@example.org",
        "Zoë",
        "Пётр",
        "田中さん",
        "김민준",
        "李xiao",
        "مريم",
    ] {
        let answer = create(&app, name, PASSWORD).await;
        assert_eq!(code(&answer, "createUser"), "", "{name}");
    }
    for name in [MIXED, "αda", "ada\u{10d3}", "a\u{16a0}\u{16a2}"] {
        let answer = create(&app, name, PASSWORD).await;
        assert_eq!(code(&answer, "createUser"), "INVALID", "{name}");
        assert_eq!(answer.at("/data/createUser/userErrors/0/field"), "username");
    }
}

#[tokio::test]
async fn names_that_differ_only_in_case_or_normalization_are_equal() {
    let app = TestApp::unthrottled().await;
    for (name, spellings) in [
        ("νικος", &["ΝΙΚΟΣ", "νικοσ", "Νικος"][..]),
        ("ςα-ΣΣ", &["σα-σς", "ΣΑ-ΣΣ"]),
        ("İbrahim", &["I\u{307}BRAHIM"]),
        ("ǰa", &["J\u{30c}A", "j\u{30c}a"]),
        ("Straẞe", &["straße"]),
        // Hangul syllables as the letters that macOS sends, and composed characters.
        (
            "김철수",
            &["\u{1100}\u{1175}\u{11b7}\u{110e}\u{1165}\u{11af}\u{1109}\u{116e}"],
        ),
        ("がくせい", &["か\u{3099}くせい"]),
        ("Zoe\u{308}", &["ZOË"]),
    ] {
        let created = create(&app, name, PASSWORD).await;
        assert_eq!(code(&created, "createUser"), "", "{name}");
        for spelling in spellings {
            let created = create(&app, spelling, PASSWORD).await;
            assert_eq!(code(&created, "createUser"), "TAKEN", "{spelling}");
            app.sign_in(spelling).await;
        }
    }
    // Decomposed Hangul can also be the first spelling.
    let created = create(&app, "\u{1112}\u{1161}\u{11ab}", PASSWORD).await;
    assert_eq!(code(&created, "createUser"), "");
    app.sign_in("한").await;
}

#[tokio::test]
async fn a_new_username_has_no_marks_that_hide_or_pile_up() {
    let app = TestApp::unthrottled().await;
    let stacked = format!("a{}", "\u{301}\u{302}".repeat(14));
    for name in [
        // The dot of the letter hides the mark.
        "i\u{307}van",
        "j\u{307}x",
        "xi\u{323}\u{307}",
        "\u{131}\u{307}van",
        "\u{456}\u{307}",
        // Marks without a letter.
        "\u{301}ada",
        "\u{93e}\u{915}",
        "a_\u{332}b",
        "a-\u{338}",
        // Many marks, and the same mark twice.
        stacked.as_str(),
        "a\u{301}\u{302}\u{303}\u{304}\u{306}",
        "e\u{301}\u{301}",
    ] {
        let answer = create(&app, name, PASSWORD).await;
        assert_eq!(code(&answer, "createUser"), "INVALID", "{name:?}");
        assert_eq!(answer.at("/data/createUser/userErrors/0/field"), "username");
    }
    for name in [
        "İvan",
        "Nguyễn",
        "नमस्ते",
        "สวัสดี",
        "ကြွင်း",
        "q\u{301}\u{323}",
        "שָׁלוֹם",
    ] {
        let answer = create(&app, name, PASSWORD).await;
        assert_eq!(code(&answer, "createUser"), "", "{name:?}");
    }
    // The lower case of `İ` has a hidden dot. A user cannot change a valid name into an invalid spelling.
    let update = app.graphql_with(
        "mutation($n: String!) { updateUser(input: { username: $n }) { userErrors { code } } }",
        &json!({ "n": "i\u{307}van" }),
    );
    let updated = update.basic("İvan", PASSWORD).send().await;
    assert_eq!(code(&updated, "updateUser"), "INVALID", "{updated:?}");
}

#[tokio::test]
async fn an_existing_username_keeps_working() {
    let app = TestApp::unthrottled().await;
    let id = app.register("ada").await;
    rename(&app, id, MIXED).await;
    let token = app.sign_in(MIXED).await;
    assert_eq!(app.me(&token).await.at("/data/me/username"), MIXED);
    let find = app.graphql_with(
        "query($n: String!) { user(username: $n) { id } }",
        &json!({ "n": MIXED }),
    );
    let found = find.bearer(&token).send().await;
    assert_eq!(found.at("/data/user/id"), "1");
    for (name, expected) in [
        // Another spelling of the name, another mixed name, and a valid one.
        ("P\u{430}ypal", ""),
        ("p\u{430}ypal2", "INVALID"),
        ("paypal", ""),
    ] {
        let update = "mutation($n: String!) {
            updateUser(input: { username: $n }) { userErrors { code field } } }";
        let update = app.graphql_with(update, &json!({ "n": name }));
        let updated = update.bearer(&token).send().await;
        assert_eq!(
            code(&updated, "updateUser"),
            expected,
            "{name}: {updated:?}"
        );
    }
}

#[tokio::test]
async fn a_new_password_must_not_contain_the_username() {
    let app = TestApp::unthrottled().await;
    let contains = "PASSWORD_CONTAINS_USERNAME";
    for (name, password, expected) in [
        ("grace", "amazing GRACE of 1906", contains),
        ("hopper", "ｇｒａｓｓＨＯＰＰＥＲ", contains),
        ("Пётр", "это ПЁТР и его пароль", contains),
        ("νικος", "ο ΝΙΚΟΣ είναι εδώ", contains),
        ("ΝΙΚΟΣ", "νικος1234", contains),
        ("νικοςΑ", "νικοσα1234", contains),
        // Names of fewer than four characters occur in passwords by accident.
        ("ada", "an adaptation", ""),
        ("zqz", "zqzZQZzqz", contains),
    ] {
        let answer = create(&app, name, password).await;
        assert_eq!(code(&answer, "createUser"), expected, "{name}");
    }
    app.register("margaret").await;
    let token = app.sign_in("margaret").await;
    let change = |new: &str| {
        let change = "mutation($c: String!, $n: String!) {
            changePassword(input: { currentPassword: $c, newPassword: $n }) { userErrors { code } } }";
        let variables = json!({ "c": PASSWORD, "n": new });
        app.graphql_with(change, &variables).bearer(&token).send()
    };
    assert_eq!(
        code(&change("i am Margaret!").await, "changePassword"),
        contains
    );
    assert_eq!(app.me(&token).await.at("/data/me/username"), "margaret");

    let admin = app.register("admin").await;
    app.sql(&format!(
        "UPDATE symbolon_user SET role = 'admin' WHERE id = {admin}"
    ))
    .await;
    let token = app.sign_in("admin").await;
    let margaret = app.graphql_with("{ user(username: \"margaret\") { id } }", &json!({}));
    let margaret = margaret.bearer(&token).send().await;
    let set = app.graphql_with(
        "mutation($id: ID!) { setUserPassword(input: { id: $id, newPassword: \"margaret 1843\" }) {
            userErrors { code field } } }",
        &json!({ "id": margaret.at("/data/user/id") }),
    );
    let set = set.basic("admin", PASSWORD).send().await;
    assert_eq!(code(&set, "setUserPassword"), contains, "{set:?}");
}

#[tokio::test]
async fn a_rename_keeps_a_password_that_contains_the_new_name() {
    let app = TestApp::unthrottled().await;
    app.register("ada").await;
    let token = app.sign_in("ada").await;
    // The password is "correct horse battery staple".
    let update = app
        .graphql("mutation { updateUser(input: { username: \"horse\" }) { userErrors { code } } }");
    let updated = update.bearer(&token).send().await;
    assert_eq!(code(&updated, "updateUser"), "", "{updated:?}");
    app.sign_in("horse").await;
}

#[tokio::test]
async fn the_minimum_password_length_is_configurable() {
    let app = TestApp::configured(|config| config.password_min = 15).await;
    let refused = create(&app, "ada", "fourteen chars").await;
    assert_eq!(code(&refused, "createUser"), "TOO_SHORT");
    let message = refused.at("/data/createUser/userErrors/0/message");
    assert_eq!(message, "A password has at least 15 characters.");
    assert_eq!(
        code(&create(&app, "ada", "fifteen letters").await, "createUser"),
        ""
    );
    // Existing passwords stay valid.
    let app = app.restart(|config| config.password_min = 64).await;
    let token = app.graphql("mutation { createToken { token } }");
    let token = token.basic("ada", "fifteen letters").send().await;
    assert!(token.at("/data/createToken/token").is_string(), "{token:?}");
}

#[test]
fn the_command_line_applies_the_rules_for_names_and_passwords() {
    let cli = Cli::with_users(&["grace"]);
    let refused = cli.refusal("user add hopper", "my grasshopper");
    assert_eq!(
        refused,
        "password: A password must not contain the username; choose another."
    );
    let refused = cli.refusal("user set-password grace", "graceful one");
    assert_eq!(
        refused,
        "password: A password must not contain the username; choose another."
    );
    let refused = cli.refusal(&format!("user add {MIXED}"), PASSWORD);
    assert!(
        refused.starts_with("username: A username must not mix letters"),
        "{refused}"
    );
    let mut command = cli.command("user add ada");
    command.env("SYMBOLON_PASSWORD_MIN", "20");
    let (code, _, error) = crate::support::finish_with(&mut command, "nineteen characters");
    assert_eq!(code, Some(1));
    assert!(error.contains("at least 20 characters"), "{error}");
}

#[tokio::test]
async fn common_passwords_are_refused_in_any_case() {
    let app = TestApp::start().await;
    for (username, common, uncommon) in [
        ("a", "PasswordPassword", "PasswordPassphrase"),
        ("b", "12345678", "1 2 3 4 5 6 7 8"),
        ("c", "1q2w3e4r5t", "1q2w3e4r5t correct horse"),
        ("d", "trustno1", "trust no one"),
        // The last of the 100,000 common passwords, and the next one of the list.
        ("e", "Smokey24", "Smokey212"),
    ] {
        let create = async |password| problems(&create(&app, username, password).await);
        assert_eq!(
            create(common).await,
            ["password: PASSWORD_TOO_COMMON"],
            "{common}"
        );
        assert_eq!(create(uncommon).await, [""; 0], "{uncommon}");
    }
}

#[tokio::test]
async fn a_username_has_no_invisible_characters() {
    let app = TestApp::start().await;
    for invisible in [
        '\u{0}',
        '\t',
        '\n',
        ' ',
        '\u{7f}',
        '\u{85}',
        '\u{a0}',
        '\u{ad}',
        '\u{34f}',
        '\u{61c}',
        '\u{115f}',
        '\u{180e}',
        '\u{200b}',
        '\u{200c}',
        '\u{200d}',
        '\u{200e}',
        '\u{202e}',
        '\u{2028}',
        '\u{2060}',
        '\u{2066}',
        '\u{3164}',
        '\u{fe0f}',
        '\u{feff}',
        '\u{ffa0}',
        '\u{e0041}',
        '\u{e000}',
    ] {
        for name in [format!("a{invisible}da"), format!("ada{invisible}")] {
            let answer = create(&app, &name, PASSWORD).await;
            assert_eq!(problems(&answer), ["username: INVALID"], "{name:?}");
        }
    }
}

#[test]
#[ignore = "needs Node.js, which scripts/test installs"]
fn the_filter_of_common_passwords_equals_the_output_of_its_script() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = Command::new(root.join("scripts/common-passwords"))
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let committed = include_bytes!("../src/model/common_passwords.bin");
    assert!(
        made.stdout == committed,
        "the filter is out of date: scripts/common-passwords > src/model/common_passwords.bin"
    );
}
