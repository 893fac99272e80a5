//! `symbolon backup`

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::database::Database;

#[derive(Args, Debug)]
pub(super) struct Backup {
    #[command(flatten)]
    database: Database,

    /// The file to be made; it must not be there yet
    file: PathBuf,
}

impl Backup {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let file = self.file;
        let work = async |operator: &symbolon::Operator| {
            let accounts = operator.back_up(&file).await?;
            Ok(writeln!(
                std::io::stdout(),
                "{} holds all {accounts} accounts; the server key is not in it",
                file.display()
            )?)
        };
        self.database.operate(work).await
    }
}
