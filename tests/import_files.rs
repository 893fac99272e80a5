//! The files that `symbolon user import` reads: encodings, delimiters, line ends, quotation marks and values.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli_user_import::{import, signs_in, users, with_database};
use crate::support::{Server, finish, succeed, symbolon};

fn utf_16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}

fn write(folder: &Path, content: impl AsRef<[u8]>) {
    fs::write(folder.join("users.csv"), content).unwrap();
}

const ROWS: &str = "Username,email,Password,note\nzo\u{eb},zoe@example.org,\"a \"\"b\"\", c; d\",\"two\nlines\"\n\neve , ,secret word,\nmal formed,,secret word,\n";

#[test]
fn every_encoding_delimiter_and_line_end_gives_the_same_users() {
    let folder = with_database();
    let latin = |text: &str| {
        text.chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect()
    };
    for (delimiter, name) in [(",", "','"), (";", "';'"), ("\t", "tab")] {
        for line_end in ["\n", "\r\n", "\r"] {
            // The only commas outside of quotation marks are delimiters.
            let text = ROWS.replace(", c; d", "\u{1}").replace(',', delimiter);
            let text = text.replace('\u{1}', ", c; d").replace('\n', line_end);
            let marked = format!("\u{feff}{text}");
            let files: [(&str, Vec<u8>); 7] = [
                ("UTF-8", text.clone().into_bytes()),
                ("UTF-8", marked.clone().into_bytes()),
                ("UTF-16LE", utf_16(&marked, u16::to_le_bytes)),
                ("UTF-16BE", utf_16(&marked, u16::to_be_bytes)),
                ("UTF-16LE", utf_16(&text, u16::to_le_bytes)),
                ("UTF-16BE", utf_16(&text, u16::to_be_bytes)),
                ("windows-1252", latin(&text)),
            ];
            // Without transcoding, the combinations of delimiters and line ends suffice.
            let most = if delimiter == "\t" { 7 } else { 1 };
            for (encoding, file) in files.into_iter().take(most) {
                write(folder.path(), file);
                let (code, output, error) = import(folder.path(), &["users.csv", "--dry-run"]);
                assert_eq!(code, Some(1), "{error}");
                assert!(
                    output.starts_with("2 would be added, 0 skipped"),
                    "{output}"
                );
                let lines: Vec<_> = error.lines().collect();
                assert_eq!(
                    lines[0],
                    format!("CSV file: encoding {encoding}, delimiter {name}")
                );
                assert_eq!(lines[1], "ignored columns: note");
                let is_assumed = encoding == "windows-1252";
                assert_eq!(lines[2].contains("--encoding"), is_assumed, "{error}");
                let refused = lines[2 + usize::from(is_assumed)];
                assert!(refused.starts_with("line 6: "), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn the_columns_of_a_spreadsheet_are_imported() {
    let folder = with_database();
    write(
        folder.path(),
        "sep=;\r\n\"user_name\";password;is_active;Role;date_joined\r\n\
         ada; secret word ;TRUE;Admin;2021-03-04 05:06:07.25+01\r\n\
         bob;secret word;FALSE;;1614834367\r\n\
         eve;;;user;2021-03-04\r\n;;;;\r\n",
    );
    let (code, output, error) = import(folder.path(), &["users.csv", "--json"]);
    assert_eq!(code, Some(0), "{error}");
    let counts: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        counts,
        json!({ "added": 3, "skipped": 0, "refused": 0, "disabled": 1, "withoutPassword": 1, "wrapped": 0, "dryRun": false })
    );
    let users = users(folder.path());
    assert_eq!(users[0]["createdAt"], "2021-03-04T04:06:07.250Z");
    assert_eq!(users[1]["createdAt"], "2021-03-04T05:06:07.000Z");
    assert_eq!(users[2]["createdAt"], "2021-03-04T00:00:00.000Z");
    assert_eq!(
        (&users[0]["role"], &users[1]["role"]),
        (&json!("ADMIN"), &json!("USER"))
    );
    assert!(users[1]["disabledAt"].is_string());
    let trail = succeed(symbolon(folder.path()).args(["audit", "--json"]));
    for kind in ["REGISTERED", "DISABLED", "ROLE_CHANGED"] {
        assert_eq!(trail.matches(&format!("\"{kind}\"")).count(), 1, "{trail}");
    }
    let server = Server::start(folder.path());
    // Passwords are not trimmed.
    assert!(signs_in(&server, "ada", " secret word ").await);
    assert!(!signs_in(&server, "bob", "secret word").await);
    assert!(!signs_in(&server, "eve", "").await);
}

#[test]
fn invalid_rows_are_refused_with_their_lines() {
    let folder = with_database();
    let head = "username,password,is_active,role,created_at\r\n";
    for (row, reason) in [
        ("ada,secret word,,,,more", "line 2: The row has 6 fields"),
        ("ada", "line 2: The row ends before the column password"),
        ("ada,NULL", "line 2: The column password contains NULL"),
        (
            "\\N,secret word",
            "line 2: The column username contains \\N",
        ),
        (
            "ada,secret word,maybe",
            "line 2: The column is_active is neither",
        ),
        (
            "ada,secret word,,root",
            "line 2: The column role is neither",
        ),
        (
            "ada,secret word,,,31.12.2020",
            "line 2: The column created_at is not a time",
        ),
        (
            "ada,secret word,,,45443",
            "line 2: The column created_at is not a time",
        ),
        (
            "ada,secret word,,,20240531",
            "line 2: The column created_at is not a time",
        ),
        (
            "ada,secret word,,,17171568000",
            "line 2: The column created_at is not a time",
        ),
        (
            "ada, \"secret word\"",
            "line 2: White space precedes an opening quotation mark",
        ),
        (
            "ada,secret word,,,2999-01-01",
            "line 2: The time of registration",
        ),
        (
            "ada,\"secret\" word",
            "line 2: Text follows a closing quotation mark",
        ),
        (
            "ada,\"open\r\nbob,\"x\"",
            "line 2: Text follows a closing quotation mark on line 3",
        ),
        (
            "eve,secret word\r\nada,\"open\r\nbob,x",
            "line 3: The quotation mark that opens on line 3",
        ),
        (
            "ada,secret word\r\n\r\nAda,other word",
            "line 4: line 2 has the same username",
        ),
        (
            "ada,5f4dcc3b5aa765d61d8327deb882cf99",
            "line 2: The password hash cannot be imported",
        ),
        ("ada,$6$saltsalt$UzRlYXZlIG1lIGFsb25l", "sha512crypt"),
    ] {
        write(folder.path(), format!("{head}{row}"));
        let (code, _, error) = import(folder.path(), &["users.csv", "--dry-run"]);
        assert_eq!(code, Some(1), "{row}");
        assert!(error.contains(reason), "{row}: {error}");
    }
    for (file, reason) in [
        ("username,password,Password\na,b,c", "contradict each other"),
        (
            "username,password,active,disabled\na,b,c,d",
            "contradict each other",
        ),
        ("PK\u{3}\u{4}\0\0", "save the table as CSV"),
        ("username,password\nada,\0", "NUL characters"),
        ("{\"users\": 1}", "not an export of Keycloak"),
        (
            "{\"users\": [{\"username\": \"\\ud800\"}]}",
            "not an export",
        ),
    ] {
        write(folder.path(), file);
        let (code, output, error) = import(folder.path(), &["users.csv"]);
        assert_eq!((code, output.as_str()), (Some(1), ""), "{file}");
        assert!(error.contains(reason), "{file}: {error}");
    }
    let (code, _, error) = import(folder.path(), &["."]);
    assert!(
        code == Some(1) && error.contains("cannot be read"),
        "{error}"
    );
}

#[test]
fn the_encoding_and_the_delimiter_can_be_given() {
    let folder = with_database();
    write(folder.path(), b"username|password\n\xb3ukasz|secret word\n");
    let options = ["users.csv", "--encoding", "iso-8859-2", "--delimiter", "|"];
    let (code, _, error) = import(folder.path(), &options);
    assert_eq!(code, Some(0), "{error}");
    assert!(
        error.starts_with("CSV file: encoding ISO-8859-2, delimiter '|'"),
        "{error}"
    );
    assert_eq!(users(folder.path())[0]["username"], "\u{142}ukasz");
    write(
        folder.path(),
        b"\xef\xbb\xbfusername,password\n\xff,secret word\n",
    );
    let (_, _, error) = import(folder.path(), &["users.csv"]);
    assert!(
        error.contains("line 2: The row is not valid UTF-8."),
        "{error}"
    );
    for option in ["--encoding=ebcdic", "--delimiter=ab"] {
        let mut refused = symbolon(folder.path());
        let (code, ..) = finish(refused.args(["user", "import", "users.csv", option]));
        assert_eq!(code, Some(2), "{option}");
    }
}

#[tokio::test]
async fn invalid_bytes_do_not_change_other_rows() {
    let folder = with_database();
    let mut file = "username,password\nm\u{fc}ller,gr\u{fc}n gr\u{fc}n\n"
        .as_bytes()
        .to_vec();
    file.extend(b"bad,secret\xe9x\nbob,secret word\n");
    write(folder.path(), &file);
    let (code, output, error) = import(folder.path(), &["users.csv"]);
    assert_eq!(code, Some(1), "{error}");
    assert!(output.starts_with("2 added"), "{output}");
    assert!(
        error.contains("line 3: The row is not valid UTF-8"),
        "{error}"
    );
    assert!(
        error.contains("symbolon: 1 row is not a valid user"),
        "{error}"
    );
    let server = Server::start(folder.path());
    assert!(signs_in(&server, "m\u{fc}ller", "gr\u{fc}n gr\u{fc}n").await);
    drop(server);
    for user in [&b"m\xfcller"[..], b"m\xc3\xbcller\xff"] {
        let json = [&b"{\"users\": [{\"username\": \""[..], user, b"\"}]}"].concat();
        write(folder.path(), &json);
        let (code, output, error) = import(folder.path(), &["users.csv"]);
        assert_eq!((code, output.as_str()), (Some(1), ""), "{error}");
        assert!(error.contains("is not valid UTF-8 or UTF-16"), "{error}");
    }
}

#[test]
fn a_malformed_user_of_keycloak_is_refused_alone() {
    let folder = with_database();
    let odd = [
        json!({ "username": "odd", "enabled": "false" }),
        json!({ "username": "odd", "createdTimestamp": 1.7e12 }),
        json!({ "username": "odd", "createdTimestamp": i64::MAX }),
        json!({ "username": "odd", "createdTimestamp": u64::MAX }),
        json!({ "username": "odd", "credentials": "none" }),
        json!({ "username": ["odd"] }),
    ];
    for user in odd {
        let no_credentials = json!({ "username": "ada", "credentials": null });
        let blank =
            json!({ "username": "bob", "credentials": [{ "type": "password", "value": " " }] });
        let export = json!({ "users": [no_credentials, user, blank] });
        write(folder.path(), utf_16(&export.to_string(), u16::to_le_bytes));
        let (code, output, error) = import(folder.path(), &["users.csv", "--dry-run"]);
        assert_eq!(code, Some(1), "{error}");
        assert!(
            output.starts_with("2 would be added (2 without a password)"),
            "{output}"
        );
        assert!(
            error.contains("\nuser 2: The ") && error.contains("odd"),
            "{error}"
        );
    }
    write(folder.path(), "[{\"realm\": \"a\", \"users\": []}]");
    let (_, _, error) = import(folder.path(), &["users.csv"]);
    assert!(error.contains("list of realms"), "{error}");
}
