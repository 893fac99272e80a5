//! The rows of one table: copies of them, and their checksum.

use entity::{access_token, audit_event, known_address, one_time_token, session, throttle, user};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr,
    EntityName, EntityTrait, ExprTrait, IntoActiveModel, Iterable, ModelTrait, PaginatorTrait,
    PrimaryKeyToColumn, PrimaryKeyTrait, QueryFilter, QueryOrder, QuerySelect, Value,
};
use sha2::{Digest, Sha256};

use super::error::CopyError;

/// The number of rows that are read and written at once.
const BATCH: u64 = 500;

/// The number of rows of a table, and a checksum that does not depend on the order of the rows, because the collations of
/// the databases differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TableSum {
    rows: u64,
    /// The sum of the digests of the rows, modulo 2⁶⁴ in each part.
    parts: [u64; 4],
}

impl TableSum {
    /// Adds a row, given its values in the order of the columns of the entity.
    fn add(&mut self, row: impl Iterator<Item = Value>) {
        let mut digest = Sha256::new();
        for value in row {
            let (tag, bytes) = match value {
                Value::BigInt(Some(number)) => (1, number.to_be_bytes().to_vec()),
                Value::String(Some(text)) => (2, text.into_bytes()),
                Value::Bytes(Some(bytes)) => (3, bytes),
                Value::BigInt(None) | Value::String(None) | Value::Bytes(None) => (0, Vec::new()),
                // The tables have no other types.
                other => (4, format!("{other:?}").into_bytes()),
            };
            digest.update([tag]);
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        }
        self.rows += 1;
        let digest = digest.finalize();
        for (part, bytes) in self.parts.iter_mut().zip(digest.chunks_exact(8)) {
            let mut number = [0; 8];
            number.copy_from_slice(bytes);
            *part = part.wrapping_add(u64::from_be_bytes(number));
        }
    }
}

type Work<'a, T> = BoxFuture<'a, Result<T, CopyError>>;

/// Called with the number of rows after each batch.
pub(super) type OnRows<'a> = &'a (dyn Fn(u64) + Send + Sync);

type Count = for<'a> fn(&'a DatabaseTransaction, &'static str) -> Work<'a, u64>;

type Read = for<'a> fn(
    &'a DatabaseTransaction,
    Option<&'a DatabaseTransaction>,
    &'static str,
    OnRows<'a>,
) -> Work<'a, TableSum>;

/// One of Symbolon's tables.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Whether the database assigns the ids of new rows.
    pub(super) has_ids: bool,
    count: Count,
    read: Read,
}

impl Table {
    /// Returns all tables whose rows are copied.
    pub(super) fn all() -> [Self; 7] {
        [
            Self::of::<user::Entity>(),
            Self::of::<session::Entity>(),
            Self::of::<access_token::Entity>(),
            Self::of::<one_time_token::Entity>(),
            Self::of::<audit_event::Entity>(),
            Self::of::<throttle::Entity>(),
            Self::of::<known_address::Entity>(),
        ]
    }

    fn of<E>() -> Self
    where
        E: EntityTrait,
        E::Model: IntoActiveModel<E::ActiveModel> + Sync,
        E::ActiveModel: ActiveModelBehavior + Send,
    {
        Self {
            name: E::default().static_name(),
            has_ids: E::PrimaryKey::auto_increment(),
            count: |database, name| count::<E>(database, name).boxed(),
            read: |from, to, name, on_rows| read::<E>(from, to, name, on_rows).boxed(),
        }
    }

    /// Returns the number of rows.
    pub(super) fn count<'a>(&self, database: &'a DatabaseTransaction) -> Work<'a, u64> {
        (self.count)(database, self.name)
    }

    /// Reads all rows of `from`, and writes them to `to` if there is one. Returns the checksum of the rows.
    pub(super) fn read<'a>(
        &self,
        from: &'a DatabaseTransaction,
        to: Option<&'a DatabaseTransaction>,
        on_rows: OnRows<'a>,
    ) -> Work<'a, TableSum> {
        (self.read)(from, to, self.name, on_rows)
    }
}

/// The name of the table of an entity.
trait StaticName {
    fn static_name(&self) -> &'static str;
}

impl<E: EntityName> StaticName for E {
    fn static_name(&self) -> &'static str {
        self.table_name()
    }
}

async fn count<E>(database: &DatabaseTransaction, name: &'static str) -> Result<u64, CopyError>
where
    E: EntityTrait,
    E::Model: Sync,
{
    let count = E::find().count(database).await;
    count.map_err(|error| CopyError::Read(name, error))
}

async fn read<E>(
    from: &DatabaseTransaction,
    to: Option<&DatabaseTransaction>,
    name: &'static str,
    on_rows: OnRows<'_>,
) -> Result<TableSum, CopyError>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel> + Sync,
    E::ActiveModel: ActiveModelBehavior + Send,
{
    let mut sum = TableSum::default();
    let mut last = None;
    loop {
        let rows = page::<E>(from, last.as_ref()).await;
        let rows = rows.map_err(|error| CopyError::Read(name, error))?;
        let Some(row) = rows.last() else {
            return Ok(sum);
        };
        last = Some(row.clone());
        on_rows(rows.len() as u64);
        for row in &rows {
            sum.add(E::Column::iter().map(|column| row.get(column)));
        }
        if let Some(to) = to {
            if to.get_database_backend() == DbBackend::Postgres {
                refuse_nul::<E>(&rows, name)?;
            }
            let rows = rows
                .into_iter()
                .map(|row| row.into_active_model().reset_all());
            let inserted = E::insert_many(rows).exec_without_returning(to).await;
            inserted.map_err(|error| CopyError::Write(name, error))?;
        }
    }
}

fn key<E: EntityTrait>() -> Vec<E::Column> {
    E::PrimaryKey::iter()
        .map(PrimaryKeyToColumn::into_column)
        .collect()
}

/// Returns the next rows in the order of the primary key.
async fn page<E: EntityTrait>(
    database: &DatabaseTransaction,
    last: Option<&E::Model>,
) -> Result<Vec<E::Model>, DbErr> {
    let key = key::<E>();
    let mut select = E::find().limit(BATCH);
    if let Some(last) = last {
        let columns = Expr::tuple(key.iter().map(|column| Expr::col(*column)));
        let values = Expr::tuple(key.iter().map(|column| Expr::val(last.get(*column))));
        select = select.filter(columns.gt(values));
    }
    for column in key {
        select = select.order_by_asc(column);
    }
    select.all(database).await
}

/// Refuses rows with a character that PostgreSQL cannot store.
fn refuse_nul<E: EntityTrait>(rows: &[E::Model], name: &'static str) -> Result<(), CopyError> {
    let has_nul = |row: &&E::Model| {
        E::Column::iter().any(
            |column| matches!(row.get(column), Value::String(Some(text)) if text.contains('\0')),
        )
    };
    match rows.iter().find(has_nul) {
        None => Ok(()),
        Some(row) => {
            let key = key::<E>()
                .into_iter()
                .map(|column| row.get(column).to_string());
            let key = key.collect::<Vec<_>>().join(", ");
            Err(CopyError::Nul(name, key.escape_default().to_string()))
        }
    }
}
