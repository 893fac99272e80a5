//! The highest id that was ever assigned in a table, so that the ids of deleted rows are not assigned again.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};

/// Returns the highest id that was assigned in a table, or 0.
pub(super) async fn read(
    database: &DatabaseTransaction,
    table: &'static str,
) -> Result<i64, DbErr> {
    let backend = database.get_database_backend();
    let assigned = if backend == DbBackend::Postgres {
        let name = "SELECT pg_get_serial_sequence($1, 'id')";
        let name = Statement::from_sql_and_values(backend, name, [table.into()]);
        let row = database.query_one_raw(name).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound(table.to_owned()))?;
        let sequence: String = row.try_get_by_index(0)?;
        // The name is quoted.
        let last = format!("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {sequence}");
        Statement::from_string(backend, last)
    } else {
        let last = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?";
        Statement::from_sql_and_values(backend, last, [table.into()])
    };
    let greatest = format!("SELECT coalesce(max(id), 0) FROM {table}");
    let greatest = Statement::from_string(backend, greatest);
    let mut last = 0;
    for statement in [assigned, greatest] {
        if let Some(row) = database.query_one_raw(statement).await? {
            last = row.try_get_by_index::<i64>(0)?.max(last);
        }
    }
    Ok(last)
}

/// Makes the database assign ids greater than `last`.
pub(super) async fn write(
    database: &DatabaseTransaction,
    table: &'static str,
    last: i64,
) -> Result<(), DbErr> {
    if last == 0 {
        return Ok(());
    }
    let backend = database.get_database_backend();
    let statements: &[&str] = if backend == DbBackend::Postgres {
        &["SELECT setval(pg_get_serial_sequence($1, 'id'), $2)"]
    } else {
        // The table has no unique key.
        &[
            "DELETE FROM sqlite_sequence WHERE name = ?1 AND ?2 > 0",
            "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)",
        ]
    };
    for statement in statements {
        let values = [table.into(), last.into()];
        let statement = Statement::from_sql_and_values(backend, *statement, values);
        database.execute_raw(statement).await?;
    }
    Ok(())
}
