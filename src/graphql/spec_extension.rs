//! An async-graphql extension for rules of the GraphQL specification that async-graphql does not implement.
//! Variables are checked before execution, and an error in a nullable field makes only that field null. The
//! extension also skips validation for documents that have already been validated.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextParseQuery, NextResolve,
    NextValidation, ResolveInfo,
};
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::{Response, ServerError, ServerResult, ValidationResult, Value, Variables};

use crate::graphql::context::ResolverContext;
use crate::graphql::errors::TOO_COMPLEX;
use crate::graphql::variables;

/// The maximum number of validation errors in a response, as in graphql-js. A short document can have thousands.
const MAX_VALIDATION_ERRORS: usize = 100;

/// Creates a [`RequestExtension`] for each request.
pub(super) struct SpecExtension;

impl ExtensionFactory for SpecExtension {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(RequestExtension::default())
    }
}

/// The errors in the nullable fields of a request. After an error, a nullable field is null, and its
/// sibling fields are not affected
/// ([GraphQL specification, section 6.4.4](https://spec.graphql.org/October2021/#sec-Handling-Field-Errors)).
/// async-graphql follows this rule if the field's value causes the error. If the field's resolver or
/// guard causes the error, async-graphql makes the parent null.
#[derive(Default)]
struct RequestExtension(Mutex<Vec<ServerError>>);

impl RequestExtension {
    fn errors(&self) -> MutexGuard<'_, Vec<ServerError>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Extension for RequestExtension {
    async fn parse_query(
        &self,
        ctx: &ExtensionContext<'_>,
        query: &str,
        variables: &Variables,
        next: NextParseQuery<'_>,
    ) -> ServerResult<ExecutableDocument> {
        let request = ctx.data_opt::<ResolverContext>();
        if let Some(operation) = request.and_then(|request| request.document.operation()) {
            variables::check(&ctx.schema_env.registry, operation, variables)?;
        }
        next.run(ctx, query, variables).await
    }

    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let Some(request) = ctx.data_opt::<ResolverContext>() else {
            return next.run(ctx).await;
        };
        let document = &request.document;
        if let Some(validated) = document.validated() {
            return Ok(validated.result);
        }
        let result = next.run(ctx).await.map_err(|mut errors| {
            errors.truncate(MAX_VALIDATION_ERRORS);
            errors
        })?;
        if !document.is_within_complexity(result.complexity) {
            return Err(vec![ServerError::new(TOO_COMPLEX, None)]);
        }
        document.mark_validated(result, ctx.schema_env);
        Ok(result)
    }

    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let mut response = next.run(ctx, operation_name).await;
        response.errors.append(&mut self.errors());
        response
    }

    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let is_nullable = !info.return_type.ends_with('!');
        match next.run(ctx, info).await {
            Err(error) if is_nullable => {
                self.errors().push(error);
                Ok(Some(Value::Null))
            }
            resolved => resolved,
        }
    }
}
