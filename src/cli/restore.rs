//! `symbolon restore`

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use symbolon::Symbolon;

use super::database::{Database, print_name};
use super::file_owner;
use super::output::{Output, after};
use super::prompt;
use super::settings::Settings;

#[derive(Args, Debug)]
pub(super) struct Restore {
    #[command(flatten)]
    database: Database,

    #[command(flatten)]
    output: Output,

    /// Backup: an SQLite database of this version or of an older version of Symbolon
    file: PathBuf,

    /// Keep the tokens that were valid at the time of the backup, even if they were revoked since
    #[arg(long)]
    keep_tokens: bool,

    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

impl Restore {
    pub(super) async fn run(self, settings: Settings) -> Result<(), Box<dyn Error>> {
        let (config, sources) = self.database.complete(settings);
        let database = Symbolon::database_name(&config);
        let database = database.map_err(|error| sources.explain(error))?;
        print_name(&database);
        let backup = self.file.display();
        if let Some(file) = Symbolon::database_file(&config) {
            file_owner::check(&file)?;
            let question = format!("replace the database {database} by {backup}?");
            prompt::confirm(self.yes, &question, "nothing is restored")?;
        }
        let restored = Symbolon::restore(&config, &self.file, self.keep_tokens).await;
        let report = restored.map_err(|error| sources.explain(error))?;
        let replaced = report.replaced.map(|file| file.display().to_string());
        let tokens = match report.revoked {
            Some(revoked) => format!("live tokens of the backup revoked: {revoked}"),
            None => "the tokens of the backup are valid until they expire".to_owned(),
        };
        let kept = replaced.as_ref().map_or_else(String::new, |file| {
            format!("\nthe replaced database is {file}")
        });
        let value =
            json!({ "restored": self.file, "revoked": report.revoked, "replaced": replaced });
        let sentence = format!("{database} is restored from {backup}; {tokens}{kept}");
        let printed = self.output.print_result(&value, &sentence);
        Ok(printed.map_err(|error| after(&sentence, &error))?)
    }
}
