//! `symbolon backup`

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use symbolon::Operator;

use super::database::Database;
use super::settings::Settings;

#[derive(Args, Debug)]
pub(super) struct Backup {
    #[command(flatten)]
    database: Database,

    /// File to create. The file must not exist yet
    file: PathBuf,
}

impl Backup {
    pub(super) async fn run(self, settings: Settings) -> Result<(), Box<dyn Error>> {
        let file = self.file;
        let work = async |operator: &Operator| {
            let users = operator.back_up(&file).await?;
            Ok(writeln!(
                std::io::stdout(),
                "{} contains all {users} users, and does not contain the server key",
                file.display()
            )?)
        };
        self.database.with_operator(settings, work).await
    }
}
