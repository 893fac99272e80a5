//! `symbolon copy`

use std::error::Error;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use symbolon::{CopyProgress, Symbolon};

use super::database::{Database, print_name};
use super::environment::{COPY_TO, variable};
use super::file_owner::{self, DATABASE_URL};
use super::output::{Output, Row, after};
use super::settings::Settings;

/// The number of rows between two progress messages if standard error is not a terminal.
const PROGRESS_ROWS: u64 = 100_000;

#[derive(Args, Debug)]
pub(super) struct Copy {
    #[command(flatten)]
    database: Database,

    #[command(flatten)]
    output: Output,

    /// Print the number of rows, and the reasons why the copy would be refused, without changing the target
    #[arg(long)]
    dry_run: bool,
}

/// The number of rows of a table.
#[derive(Serialize)]
struct TableRow {
    table: &'static str,
    rows: u64,
}

impl Row for TableRow {
    const COLUMNS: &'static [&'static str] = &["table", "rows"];

    fn cells(&self) -> Vec<String> {
        vec![self.table.to_owned(), self.rows.to_string()]
    }
}

impl Copy {
    pub(super) async fn run(self, settings: Settings) -> Result<(), Box<dyn Error>> {
        let (source, sources) = self.database.complete(settings);
        let name = Symbolon::database_name(&source).map_err(|error| sources.explain(error))?;
        let url = variable(COPY_TO)?;
        let url = url.ok_or_else(|| {
            format!("set {COPY_TO} to the URL of the database to which the rows are copied")
        })?;
        let mut target = source.clone();
        target.database_url = url.into();
        let target_name = Symbolon::database_name(&target);
        let target_name = target_name.map_err(|error| format!("{COPY_TO}: {error}"))?;
        let files = [&source, &target].map(Symbolon::database_file);
        let [source_file, target_file] = files.each_ref().map(Option::as_deref);
        let variables = [(DATABASE_URL, source_file), (COPY_TO, target_file)];
        for file in files.iter().flatten() {
            file_owner::check_with(file, &variables)?;
        }
        print_name(&name);
        // The progress bar is hidden if standard error is not a terminal.
        let style = ProgressStyle::with_template("{wide_bar} {percent} % {eta} {msg}")?;
        let bar = ProgressBar::new(0).with_style(style);
        let printed = AtomicU64::new(0);
        let on_progress = |CopyProgress { done, total }: CopyProgress| {
            bar.set_length(total);
            bar.set_position(done);
            let message = format!("{done} of {total} rows copied or verified");
            let step = done / PROGRESS_ROWS;
            if bar.is_hidden() && printed.swap(step, Ordering::Relaxed) < step {
                // The command continues even if standard error is closed.
                let _ = writeln!(io::stderr(), "{message}");
            }
            bar.set_message(message);
        };
        let copied = Symbolon::copy(&source, &target, self.dry_run, on_progress).await;
        bar.finish_and_clear();
        let report = copied.map_err(|error| sources.explain(error))?;
        let tables = report.tables.iter();
        let tables: Vec<_> = tables
            .map(|(table, rows)| TableRow { table, rows: *rows })
            .collect();
        let rows: u64 = tables.iter().map(|table| table.rows).sum();
        if !report.other_tables.is_empty() {
            // The command continues even if standard error is closed.
            let names = report.other_tables.join(", ");
            let _ = writeln!(
                io::stderr(),
                "tables of other programs are not copied: {names}"
            );
        }
        let printed = self.output.table().print(&tables);
        if !report.obstacles.is_empty() {
            return Err(report.obstacles.join("; ").into());
        }
        let would = if self.dry_run { "would be " } else { "" };
        let value = json!({ "copied": rows, "to": target_name, "dryRun": self.dry_run });
        let sentence = format!("{rows} rows {would}copied to {target_name}");
        let printed = printed.and_then(|()| self.output.print_result(&value, &sentence));
        Ok(printed.map_err(|error| after(&sentence, &error))?)
    }
}
