//! A nullable field that errs is null, and what stands beside it stays (GraphQL specification,
//! section 6.4.4). The library does so when the value errs, but not when the resolver or its guard
//! does: then the parent is lost.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextResolve, ResolveInfo,
};
use async_graphql::{Response, ServerError, ServerResult, Value};

/// Makes one [`Caught`] for each request.
pub(super) struct NullableFields;

impl ExtensionFactory for NullableFields {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Caught::default())
    }
}

/// The errors of a request's nullable fields.
#[derive(Default)]
struct Caught(Mutex<Vec<ServerError>>);

#[async_trait]
impl Extension for Caught {
    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let mut response = next.run(ctx, operation_name).await;
        let mut caught = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        response.errors.append(&mut caught);
        response
    }

    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let nullable = !info.return_type.ends_with('!');
        match next.run(ctx, info).await {
            Err(error) if nullable => {
                let mut caught = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                caught.push(error);
                Ok(Some(Value::Null))
            }
            resolved => resolved,
        }
    }
}
