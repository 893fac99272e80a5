//! `symbolon migrate`

use std::error::Error;
use std::io::Write;

use clap::Args;

use super::database::Database;

#[derive(Args, Debug)]
pub(super) struct Migrate {
    #[command(flatten)]
    database: Database,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let database = self.database.migrate().await?;
        Ok(writeln!(std::io::stdout(), "{database} is up to date")?)
    }
}
