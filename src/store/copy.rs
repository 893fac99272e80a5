//! Copies of all rows from one database to another, between SQLite and PostgreSQL in both directions.

mod claim;
mod endpoint;
mod error;
mod last_ids;
mod table;

use sea_orm::DatabaseTransaction;

use self::claim::Claim;
use self::endpoint::{Endpoint, first_used_table};
pub(crate) use self::error::CopyError;
use self::table::{Table, TableSum};
use crate::store::database_url::Location;
use crate::store::inspection::{TablesState, inspect};
use crate::store::migrations::TABLES;

/// The progress of a copy.
///
/// ```
/// use symbolon::CopyProgress;
///
/// fn percentage(progress: CopyProgress) -> u64 {
///     progress.done * 100 / progress.total.max(1)
/// }
/// assert_eq!(percentage(CopyProgress { done: 30, total: 120 }), 25);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyProgress {
    /// The number of rows that were copied, plus the number of rows that were verified.
    pub done: u64,
    /// The value of `done` at the end.
    pub total: u64,
}

/// The result of a copy.
///
/// ```
/// use symbolon::Symbolon;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let source = config.clone();
/// # let target = symbolon::Config::new(format!("sqlite://{}/target.db", folder.path().display()));
/// # Symbolon::open(config).await?.close().await?;
/// let report = Symbolon::copy(&source, &target, true, |_| {}).await?;
/// for (table, rows) in &report.tables {
///     println!("{table}: {rows} rows");
/// }
/// for obstacle in &report.obstacles {
///     println!("The copy would be refused: {obstacle}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CopyReport {
    /// The name and the number of rows of each table.
    pub tables: Vec<(&'static str, u64)>,
    /// The names of the other tables of the source, for example of an embedding application. They are not copied.
    pub other_tables: Vec<String>,
    /// The reasons why a copy would be refused. Empty except after a dry run.
    pub obstacles: Vec<String>,
}

/// Copies all rows of Symbolon's tables from `source` to `target` in one transaction, and compares the copy with its
/// source before the commit. Creates and migrates the tables of the target. A dry run does not change the target.
///
/// # Errors
///
/// Returns an error if a process is using one of the databases, if the tables of the source are not those of this version,
/// if the target has rows, or if a database fails. No row has then been copied, except that the outcome of a commit can be
/// unknown.
pub(crate) async fn copy(
    source: &Location,
    target: &Location,
    is_dry_run: bool,
    on_progress: &(dyn Fn(CopyProgress) + Send + Sync),
) -> Result<CopyReport, CopyError> {
    // The source is checked before the target is touched.
    Endpoint::check(source).await?;
    let inspection = inspect(target).await?;
    let has_tables = matches!(
        inspection.tables,
        TablesState::Current | TablesState::Outdated
    );
    let mut refusals = Vec::new();
    if let Some(obstacle) = inspection.write_obstacle {
        refusals.push(CopyError::NotWritable(target.full_name(), obstacle));
    }
    if endpoint::is_same_database(source, target).await? {
        // Both claims would refuse each other.
        return Err(CopyError::SameDatabase(target.full_name()));
    }
    let claim_target = async {
        match (is_dry_run, has_tables, target) {
            // A lock would create a file.
            (true, false, Location::File(_)) => Ok(None),
            _ => Claim::acquire(target).await.map(Some),
        }
    };
    let (source_claim, target_claim) = tokio::join!(Claim::acquire(source), claim_target);
    let mut claims = Vec::new();
    for claim in [source_claim.map(Some), target_claim] {
        match claim {
            Ok(claim) => claims.extend(claim),
            Err(error) => refusals.push(error),
        }
    }
    if has_tables {
        let endpoint = Endpoint::connect(target, false).await?;
        let used = first_used_table(&endpoint.connection).await;
        let used = used.map_err(|error| endpoint.failed(error))?;
        refusals.extend(used.map(|table| CopyError::NotEmpty(target.full_name(), table)));
        endpoint.close().await;
    }
    if !is_dry_run && !refusals.is_empty() {
        return Err(refusals.swap_remove(0));
    }
    let source = Endpoint::connect(source, false).await?;
    let reader = source.begin_snapshot().await?;
    let mut counts = Vec::with_capacity(TABLES.len());
    for table in Table::all() {
        counts.push((table.name, table.count(&reader).await?));
    }
    let other_tables = endpoint::other_tables(&reader).await;
    let other_tables = other_tables.map_err(|error| source.failed(error))?;
    if !is_dry_run {
        let target = Endpoint::connect_and_migrate(target).await?;
        let copied = transfer(&source, &reader, &target, claims, &counts, on_progress).await;
        target.close().await;
        copied?;
    }
    drop(reader);
    source.close().await;
    Ok(CopyReport {
        tables: counts,
        other_tables,
        obstacles: refusals.iter().map(ToString::to_string).collect(),
    })
}

/// Copies the rows in one transaction of the target.
async fn transfer(
    source: &Endpoint,
    reader: &DatabaseTransaction,
    target: &Endpoint,
    mut claims: Vec<Claim>,
    counts: &[(&'static str, u64)],
    on_progress: &(dyn Fn(CopyProgress) + Send + Sync),
) -> Result<(), CopyError> {
    let rows: u64 = counts.iter().map(|(_, rows)| rows).sum();
    let total = 2 * rows;
    let done = std::sync::atomic::AtomicU64::new(0);
    let count_rows = |rows: u64| {
        let done = done.fetch_add(rows, std::sync::atomic::Ordering::Relaxed) + rows;
        on_progress(CopyProgress { done, total });
    };
    let no_rows = |error| CopyError::NoRows(target.name(), Box::new(error));
    let work = async {
        let writer = target.begin_exclusive().await?;
        if let Some(table) = first_used_table(&writer)
            .await
            .map_err(|error| target.failed(error))?
        {
            return Err(CopyError::NotEmpty(target.name(), table));
        }
        let mut sums: Vec<(Table, TableSum)> = Vec::new();
        for table in Table::all() {
            let sum = table.read(reader, Some(&writer), &count_rows).await?;
            sums.push((table, sum));
        }
        for (table, sum) in sums {
            if table.read(&writer, None, &count_rows).await? != sum {
                return Err(CopyError::Different(table.name));
            }
        }
        // PostgreSQL does not roll back the change of a sequence, so the sequences are changed last.
        for table in Table::all().into_iter().filter(|table| table.has_ids) {
            let last = last_ids::read(reader, table.name).await;
            let last = last.map_err(|error| source.failed(error))?;
            let written = last_ids::write(&writer, table.name, last).await;
            written.map_err(|error| target.failed(error))?;
        }
        for claim in &mut claims {
            claim.check().await?;
        }
        Ok(writer)
    };
    let writer = work.await.map_err(no_rows)?;
    writer.commit().await.map_err(CopyError::Commit)
}
