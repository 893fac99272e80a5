//! Reads the rows of several tokens with one statement.

use std::collections::HashMap;
use std::fmt::Write;

use sea_orm::sea_query::Expr;
use sea_orm::{
    ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryResult, QueryTrait, Select,
    Statement, Value,
};

use crate::error::Error;
use crate::model::token_digest::TokenDigest;
use crate::model::user::User;
use crate::store::database::Store;
use crate::store::users::to_array;

/// Tokens by their digests, and their users. A token whose row is damaged is an error, and does not affect the other tokens.
pub(crate) type FoundTokens<T> = HashMap<TokenDigest, Result<(User, T), Error>>;

impl Store {
    /// Returns a statement that selects the rows whose `column` equals one of the digests.
    pub(super) fn with_digests<E: EntityTrait>(
        &self,
        rows: Select<E>,
        column: &str,
        digests: &[TokenDigest],
    ) -> Statement {
        let backend = self.readers.get_database_backend();
        let parameter = match backend {
            DbBackend::Sqlite => "?",
            _ => "$1",
        };
        let (condition, value) = is_one_of(column, parameter, digests, backend);
        let condition = Expr::cust_with_values(condition, [value]);
        backend.build(&rows.filter(condition).into_query())
    }

    /// Executes a statement that reads the tokens with these digests, and converts the rows. The column with this index contains
    /// the digest. Skips the rows that `convert` maps to `None`.
    pub(super) async fn find_tokens<T>(
        &self,
        digests: &[TokenDigest],
        statement: Statement,
        digest_column: usize,
        convert: impl Fn(&QueryResult) -> Result<Option<(User, T)>, Error>,
    ) -> Result<FoundTokens<T>, Error> {
        let rows = if digests.len() > 1 {
            self.readers.query_all_raw(statement).await?
        } else {
            // `query_all_raw` would wait for two messages from the thread of an SQLite connection: the row, and the end.
            // A request that is alone then waited for another thread 4.0 times instead of 3.4 times.
            let row = self.readers.query_one_raw(statement).await?;
            row.into_iter().collect()
        };
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            if let Some(token) = convert(row).transpose() {
                let digest = to_array(row.try_get_by_index(digest_column)?)?;
                found.insert(TokenDigest(digest), token);
            }
        }
        Ok(found)
    }
}

/// Returns the condition that `column` equals one of the digests, and the value of its parameter. There are two texts, for
/// one digest and for several, so that each is prepared once.
pub(super) fn is_one_of(
    column: &str,
    parameter: &str,
    digests: &[TokenDigest],
    backend: DbBackend,
) -> (String, Value) {
    if let [digest] = digests {
        return (format!("{column} = {parameter}"), digest.0.to_vec().into());
    }
    let condition = if backend == DbBackend::Sqlite {
        format!("{column} IN (SELECT unhex(value) FROM json_each({parameter}))")
    } else {
        let digests = format!(
            "SELECT decode(value, 'hex') FROM json_array_elements_text({parameter}::json) AS value"
        );
        format!("{column} = ANY (ARRAY({digests}))")
    };
    (condition, to_json(digests).into())
}

/// Returns a JSON array of the digests in hexadecimal digits.
fn to_json(digests: &[TokenDigest]) -> String {
    let mut json = String::with_capacity(2 + digests.len() * 67);
    for digest in digests {
        json.push_str(if json.is_empty() { "[\"" } else { ",\"" });
        for part in digest.0.as_chunks::<16>().0 {
            // Writing to a `String` cannot fail.
            let _ = write!(json, "{:032x}", u128::from_be_bytes(*part));
        }
        json.push('"');
    }
    json.push(']');
    json
}
