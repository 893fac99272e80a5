//! What is done within the library's way through a request: coerce variables before anything is
//! executed, validate no document twice, and keep what stands beside a nullable field that errs.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextParseQuery, NextResolve,
    NextValidation, ResolveInfo,
};
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::{Response, ServerError, ServerResult, ValidationResult, Value, Variables};

use crate::graphql::context::Call;
use crate::graphql::variables;

/// Makes one [`OfRequest`] for each request.
pub(super) struct SpecExtension;

impl ExtensionFactory for SpecExtension {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(OfRequest::default())
    }
}

/// The errors of a request's nullable fields. Such a field is null, and what stands beside it stays
/// (GraphQL specification, section 6.4.4). The library does so when the value errs, but not when the
/// resolver or its guard does: then the parent is lost.
#[derive(Default)]
struct OfRequest(Mutex<Vec<ServerError>>);

#[async_trait]
impl Extension for OfRequest {
    async fn parse_query(
        &self,
        ctx: &ExtensionContext<'_>,
        query: &str,
        variables: &Variables,
        next: NextParseQuery<'_>,
    ) -> ServerResult<ExecutableDocument> {
        let call = ctx.data_opt::<Call>();
        if let Some(operation) = call.and_then(|call| call.document.operation()) {
            variables::check(&ctx.schema_env.registry, operation, variables)?;
        }
        next.run(ctx, query, variables).await
    }

    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let Some(call) = ctx.data_opt::<Call>() else {
            return next.run(ctx).await;
        };
        if let Some(known) = call.document.known() {
            return Ok(known.found);
        }
        let found = next.run(ctx).await?;
        if !call.document.is_within_complexity(found.complexity) {
            // The library's message about a document that is too complex.
            return Err(vec![ServerError::new("Query is too complex.", None)]);
        }
        call.document.is_valid(found, ctx.schema_env);
        Ok(found)
    }

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
