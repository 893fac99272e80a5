//! An async-graphql extension for rules of the GraphQL specification that async-graphql does not implement.
//! An error in a nullable field makes only that field null. The extension also skips the calculation of the complexity
//! for documents whose complexity is known.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextRequest, NextResolve,
    NextValidation, ResolveInfo,
};
use async_graphql::{Response, SchemaEnv, ServerError, ServerResult, ValidationResult, Value};

use crate::graphql::context::ResolverContext;
use crate::graphql::errors::TOO_COMPLEX;

/// Creates an extension for each request.
pub(super) struct SpecExtension {
    /// The environment of the schema, which async-graphql makes available only to extensions and resolvers.
    env: Arc<OnceLock<SchemaEnv>>,
}

impl SpecExtension {
    /// Returns a factory that stores the environment of the schema in `env` during the first request. The
    /// first request is not executed.
    pub(super) fn new(env: Arc<OnceLock<SchemaEnv>>) -> Self {
        Self { env }
    }
}

impl ExtensionFactory for SpecExtension {
    fn create(&self) -> Arc<dyn Extension> {
        if self.env.get().is_none() {
            return Arc::new(EnvironmentExtension(Arc::clone(&self.env)));
        }
        Arc::new(RequestExtension::default())
    }
}

/// Stores the environment of the schema.
struct EnvironmentExtension(Arc<OnceLock<SchemaEnv>>);

#[async_trait]
impl Extension for EnvironmentExtension {
    async fn request(&self, ctx: &ExtensionContext<'_>, _: NextRequest<'_>) -> Response {
        self.0.get_or_init(|| ctx.schema_env.clone());
        Response::default()
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
        let result = next.run(ctx).await?;
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
