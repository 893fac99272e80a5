//! The ids of users as values of columns, for the tables of an application.

use sea_orm::sea_query::{ArrayType, Nullable, ValueType, ValueTypeErr};
use sea_orm::{
    ActiveValue, ColIdx, ColumnType, DbErr, IntoActiveValue, QueryResult, TryFromU64, TryGetError,
    TryGetable, Value,
};

use crate::model::user::UserId;

impl From<UserId> for Value {
    fn from(id: UserId) -> Self {
        id.0.into()
    }
}

impl TryGetable for UserId {
    fn try_get_by<I: ColIdx>(row: &QueryResult, column: I) -> Result<Self, TryGetError> {
        i64::try_get_by(row, column).map(Self)
    }
}

impl ValueType for UserId {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        <i64 as ValueType>::try_from(value).map(Self)
    }

    fn type_name() -> String {
        "UserId".to_owned()
    }

    fn array_type() -> ArrayType {
        <i64 as ValueType>::array_type()
    }

    fn column_type() -> ColumnType {
        <i64 as ValueType>::column_type()
    }
}

impl Nullable for UserId {
    fn null() -> Value {
        i64::null()
    }
}

impl IntoActiveValue<Self> for UserId {
    fn into_active_value(self) -> ActiveValue<Self> {
        ActiveValue::Set(self)
    }
}

/// Required of the type of a primary key.
impl TryFromU64 for UserId {
    fn try_from_u64(number: u64) -> Result<Self, DbErr> {
        i64::try_from_u64(number).map(Self)
    }
}
