//! `symbolon migrate`

use std::error::Error;
use std::io::Write;

use clap::Args;
use symbolon::SimilarUsernames;

use super::database::Database;

#[derive(Args, Debug)]
pub(super) struct Migrate {
    #[command(flatten)]
    database: Database,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), Box<dyn Error>> {
        let (database, similar) = self.database.migrate().await?;
        let mut output = std::io::stdout().lock();
        writeln!(output, "{database} is up to date")?;
        if similar.count == 0 {
            return Ok(());
        }
        let SimilarUsernames { count, pairs, .. } = similar;
        writeln!(
            output,
            "usernames that look like that of an older account (UTS #39): {count}; they keep working"
        )?;
        for (older, newer) in &pairs {
            // Escaped, since they look alike.
            let [older, newer] = [older, newer]
                .map(|user| format!("{} (user {})", user.username.escape_default(), user.id));
            writeln!(output, "  {newer} looks like {older}")?;
        }
        let more = count - pairs.len() as u64;
        if more > 0 {
            writeln!(output, "  and {more} more")?;
        }
        Ok(())
    }
}
