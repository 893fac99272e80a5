//! `symbolon migrate`

use std::error::Error;
use std::io::Write;

use clap::Args;
use symbolon::{Config, Symbolon};

#[derive(Args, Debug)]
pub(super) struct Migrate {
    #[command(flatten)]
    config: Config,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let symbolon = Symbolon::open(self.config).await?;
        let database = symbolon.database().display();
        writeln!(std::io::stdout(), "{database} is up to date")?;
        symbolon.close().await?;
        Ok(())
    }
}
