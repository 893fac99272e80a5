//! The report of usernames that can be confused.

use serde_json::Value;

use crate::support::Cli;
use crate::username_and_password_rules::MIXED;

#[tokio::test]
async fn migrate_reports_confusable_usernames_and_changes_none() {
    let cli = Cli::with_users(&["root", "paypal", "second", "third"]);
    let quiet = cli.run("migrate");
    assert_eq!(quiet.lines().count(), 1, "{quiet}");
    for (id, name) in [(3, MIXED), (4, "p\u{430}yp\u{430}l")] {
        let sql =
            "UPDATE symbolon_user SET username = '{n}', username_canonical = '{n}' WHERE id = {id}";
        let sql = sql.replace("{n}", name).replace("{id}", &id.to_string());
        cli.sql(&sql).await;
    }
    let names = |cli: &Cli| -> Vec<Value> {
        let users = cli.json("user list");
        users.iter().map(|user| user["username"].clone()).collect()
    };
    let before = names(&cli);
    let report = cli.run("migrate");
    let lines: Vec<_> = report.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "usernames that look like the name of an older user (UTS #39): 2; they remain valid",
            "  p\\u{430}ypal (user 3) looks like paypal (user 2)",
            "  p\\u{430}yp\\u{430}l (user 4) looks like paypal (user 2)",
        ]
    );
    assert_eq!(names(&cli), before);
}

/// Each of these names satisfies the rules for new names.
#[tokio::test]
async fn migrate_reports_names_of_different_scripts_that_look_alike() {
    let pairs = [
        ("ace", "\u{430}\u{441}\u{435}"),
        ("oo", "\u{3bf}\u{3bf}"),
        ("工", "エ"),
        ("口", "ロ"),
        ("apple", "\u{430}\u{440}\u{440}\u{4cf}\u{435}"),
        // In one script.
        ("ill", "iIl"),
        ("modern", "modem"),
    ];
    let names: Vec<_> = pairs
        .iter()
        .flat_map(|(one, other)| [*one, *other])
        .collect();
    let cli = Cli::with_users(&names);
    let report = cli.run("migrate");
    let lines: Vec<_> = report.lines().skip(2).collect();
    assert_eq!(lines.len(), pairs.len(), "{report}");
    for (line, (older, _)) in lines.iter().zip(pairs) {
        let older = older.escape_default().to_string();
        assert!(
            line.contains(&format!(" looks like {older} (user ")),
            "{report}"
        );
    }
}

#[tokio::test]
async fn the_report_of_confusable_usernames_is_bounded() {
    let cli = Cli::with_users(&["root"]);
    // Each of 7 letters in two forms.
    let letters = [
        ("a", "\u{430}"),
        ("c", "\u{441}"),
        ("e", "\u{435}"),
        ("o", "\u{43e}"),
        ("p", "\u{440}"),
        ("x", "\u{445}"),
        ("y", "\u{443}"),
    ];
    let rows = (0..128).map(|number| {
        let name: String = (letters.iter().enumerate())
            .map(|(bit, (latin, cyrillic))| {
                if number >> bit & 1 == 0 {
                    *latin
                } else {
                    *cyrillic
                }
            })
            .collect();
        format!("('{name}', '{name}', 'x', 0, 'user', 0)")
    });
    let rows: Vec<_> = rows.collect();
    cli.sql(&format!(
        "INSERT INTO symbolon_user
                (username, username_canonical, password_hash, password_version, role, created_at)
             VALUES {}",
        rows.join(", ")
    ))
    .await;
    let report = cli.run("migrate");
    assert!(report.contains("older user (UTS #39): 127;"), "{report}");
    assert_eq!(report.lines().count(), 103, "{report}");
    assert!(report.ends_with("  and 27 more\n"), "{report}");
}
