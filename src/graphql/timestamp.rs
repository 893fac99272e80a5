//! Instants in responses.

use std::borrow::Cow;

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, OutputType, Positioned, ServerResult, Value};
use chrono::{DateTime, Utc};

use crate::model::timestamp::rfc3339;

/// An instant of the GraphQL type `DateTime`, with three fractional digits. The library writes 0 to 9 digits.
///
/// The schema type is the type of the library, so that an embedding application can use `chrono::DateTime` in the same
/// schema.
#[derive(Clone, Copy)]
pub(crate) struct Timestamp(pub(crate) DateTime<Utc>);

impl From<DateTime<Utc>> for Timestamp {
    fn from(at: DateTime<Utc>) -> Self {
        Self(at)
    }
}

impl OutputType for Timestamp {
    fn type_name() -> Cow<'static, str> {
        <DateTime<Utc> as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <DateTime<Utc> as OutputType>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        _: &ContextSelectionSet<'_>,
        _: &Positioned<Field>,
    ) -> ServerResult<Value> {
        Ok(Value::String(rfc3339(self.0)))
    }
}
