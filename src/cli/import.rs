//! `symbolon user import`

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use encoding_rs::Encoding;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use symbolon::{ImportResult, ImportedPassword, Operator};

use self::duplicates::Duplicates;
use self::row::Row;
use self::source::Source;
use super::output::Output;

mod columns;
mod csv_file;
mod duplicates;
mod keycloak;
mod records;
mod row;
mod source;
mod text;
mod values;

/// The number of rows between two progress messages if standard error is not a terminal.
const PROGRESS_ROWS: u64 = 10_000;

#[derive(Args, Debug)]
pub(super) struct Import {
    /// CSV file, JSON export of Keycloak, or SQLite database of a Flask application
    ///
    /// A CSV file must have the column `username`, and at least one of the columns `password` and `password_hash`. The
    /// columns `email`, `disabled` or `is_active`, `role` and `created_at` are optional. If the file is an SQLite
    /// database, the command reads the table `user`. docs/import.md describes the formats.
    file: PathBuf,

    /// Encoding of the CSV file, such as utf-8, utf-16le or windows-1252
    ///
    /// By default, the command detects UTF-8 and UTF-16, and reads other files as windows-1252. The command cannot detect
    /// other encodings.
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    encoding: Option<&'static Encoding>,

    /// Character between the fields of the CSV file, or `tab`
    ///
    /// By default, the command detects commas, semicolons and tabs.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<char>,

    /// Print the result without importing any user
    #[arg(long)]
    dry_run: bool,
}

fn encoding(name: &str) -> Result<&'static Encoding, String> {
    let encoding = Encoding::for_label(name.as_bytes());
    encoding
        .ok_or_else(|| "unknown encoding; examples are utf-8, utf-16le and windows-1252".to_owned())
}

fn delimiter(text: &str) -> Result<char, String> {
    let mut characters = text.chars();
    match (text, characters.next(), characters.next()) {
        ("tab" | "\\t", ..) => Ok('\t'),
        (_, Some(one), None) if one.is_ascii() && !"\"\r\n\0".contains(one) => Ok(one),
        _ => Err("the delimiter is one ASCII character, or `tab`".to_owned()),
    }
}

/// The numbers of users by result.
#[derive(Default)]
struct Counts {
    added: u64,
    skipped: u64,
    refused: u64,
    /// The numbers of added users who are disabled, have no password, or have a weak hash.
    disabled: u64,
    without_password: u64,
    wrapped: u64,
}

impl Counts {
    fn rows(&self) -> u64 {
        self.added + self.skipped + self.refused
    }

    fn print(&self, dry_run: bool, output: &Output) -> io::Result<()> {
        let Self {
            added,
            skipped,
            refused,
            disabled,
            without_password,
            wrapped,
        } = self;
        let would = if dry_run { "would be " } else { "" };
        let details = [
            (disabled, "disabled"),
            (without_password, "without a password"),
            (wrapped, "with a weak hash, which is wrapped in Argon2id"),
        ];
        let details = details.iter().filter(|(count, _)| **count > 0);
        let details: Vec<_> = details
            .map(|(count, kind)| format!("{count} {kind}"))
            .collect();
        let details = if details.is_empty() {
            String::new()
        } else {
            format!(" ({})", details.join(", "))
        };
        output.print_result(
            &json!({
                "added": added, "skipped": skipped, "refused": refused, "disabled": disabled,
                "withoutPassword": without_password, "wrapped": wrapped, "dryRun": dry_run,
            }),
            &format!(
                "{added} {would}added{details}, {skipped} skipped because they exist, {refused} {would}refused"
            ),
        )
    }
}

impl Import {
    pub(super) async fn run(
        self,
        operator: &Operator,
        output: &Output,
    ) -> Result<(), Box<dyn Error>> {
        let mut source = Source::open(&self.file, self.encoding, self.delimiter).await?;
        // The progress bar is hidden if standard error is not a terminal.
        let bar = ProgressBar::new(source.length().await?).with_style(
            ProgressStyle::with_template("{wide_bar} {percent} % {eta} {msg}")?,
        );
        let print_line = |line: &str| bar.suspend(|| writeln!(io::stderr(), "{line}"));
        for note in source.notes() {
            print_line(&note)?;
        }
        let unit = source.position_unit();
        let (mut counts, mut duplicates) = (Counts::default(), Duplicates::default());
        loop {
            let (rows, note) = source.next_batch().await?;
            if rows.is_empty() {
                break;
            }
            if let Some(note) = note {
                print_line(note)?;
            }
            let rows = rows.into_iter().map(|row| duplicates.check(row, unit));
            let rows: Vec<_> = rows.collect();
            let before = counts.rows();
            let users = rows.iter().filter_map(|row| row.user.clone().ok());
            let results = operator.import(users.collect(), self.dry_run).await?;
            let mut results = results.into_iter();
            for Row { position, user } in rows {
                let result = match &user {
                    Ok(_) => results.next().ok_or("a row has no result")?,
                    Err(reason) => ImportResult::Refused(reason.clone()),
                };
                let user = user.ok();
                if let (ImportResult::Added { is_wrapped }, Some(user)) = (&result, &user) {
                    let is_unset = matches!(user.password, ImportedPassword::Unset);
                    counts.disabled += u64::from(user.is_disabled);
                    counts.without_password += u64::from(is_unset);
                    counts.wrapped += u64::from(*is_wrapped);
                }
                match result {
                    ImportResult::Added { .. } => counts.added += 1,
                    ImportResult::Skipped => counts.skipped += 1,
                    ImportResult::Refused(reason) => {
                        counts.refused += 1;
                        if output.json {
                            let username = user.map(|user| user.username);
                            let row =
                                json!({ unit: position, "username": username, "refused": reason });
                            output.print_result(&row, "")?;
                        } else {
                            print_line(&format!("{unit} {position}: {reason}"))?;
                        }
                    }
                }
            }
            let rows = counts.rows();
            bar.set_position(source.progress());
            bar.set_message(format!("{rows} rows"));
            if bar.is_hidden() && rows / PROGRESS_ROWS > before / PROGRESS_ROWS {
                print_line(&format!("{rows} rows"))?;
            }
        }
        bar.finish_and_clear();
        counts.print(self.dry_run, output)?;
        if counts.refused > 0 {
            return Err(match counts.refused {
                1 => "1 row is not a valid user".into(),
                refused => format!("{refused} rows are not valid users").into(),
            });
        }
        Ok(())
    }
}
