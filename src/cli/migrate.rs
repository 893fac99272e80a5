//! `symbolon migrate`

use std::error::Error;
use std::io::Write;

use clap::Args;

use super::database::Database;
use super::settings::Settings;

#[derive(Args, Debug)]
pub(super) struct Migrate {
    #[command(flatten)]
    database: Database,
}

impl Migrate {
    pub(super) async fn run(self, settings: Settings) -> Result<(), Box<dyn Error>> {
        let (database, similar) = self.database.migrate(settings).await?;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{database} is up to date")?;
        if similar.count == 0 {
            return Ok(());
        }
        writeln!(
            output,
            "usernames that look like the name of an older user (UTS #39): {}; they remain valid",
            similar.count
        )?;
        for (older, newer) in &similar.pairs {
            // Escapes make letters of different scripts distinguishable.
            let [older, newer] = [older, newer]
                .map(|user| format!("{} (user {})", user.username.escape_default(), user.id));
            writeln!(output, "  {newer} looks like {older}")?;
        }
        let more = similar.count - similar.pairs.len() as u64;
        if more > 0 {
            writeln!(output, "  and {more} more")?;
        }
        Ok(())
    }
}
