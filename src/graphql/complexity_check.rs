//! The check of the complexity of documents. Only async-graphql can calculate the complexity, because the functions
//! that applications define for their fields need its context.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextRequest, NextValidation,
};
use async_graphql::{
    ObjectType, Request, Response, Schema, SchemaEnv, ServerError, SubscriptionType,
    ValidationResult, Value, Variables,
};
use futures_util::FutureExt;

use crate::error::Error;
use crate::graphql::context::ResolverContext;
use crate::graphql::document::Document;
use crate::graphql::errors::{TOO_COMPLEX, refusal};

/// The data of a request that is validated and not executed.
struct ValidationOnly {
    document: Arc<Document>,
    representations: usize,
}

/// Checks that the complexity of a document is within the limit. The schema must have no extensions that wait.
pub(super) fn check_complexity<Q, M, S>(
    schema: &Schema<Q, M, S>,
    document: &Arc<Document>,
    variables: &Variables,
) -> Result<(), Error>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let mut request = Request::new("").variables(variables.clone());
    request.set_parsed_query(document.parsed(variables));
    let request = request.data(ValidationOnly {
        document: Arc::clone(document),
        representations: document.representations(variables),
    });
    // A function of the application can panic.
    let validation = AssertUnwindSafe(schema.execute(request)).catch_unwind();
    let Some(Ok(response)) = validation.now_or_never() else {
        return Err(Error::internal("the validation of a document failed"));
    };
    let error = response.errors.first();
    error.map_or(Ok(()), |error| Err(refusal(&error.message)))
}

/// An extension that makes the environment of the schema available, and that checks the complexity of documents.
pub(super) struct ComplexityCheck {
    /// The environment of the schema. The first request sets the environment and is not executed.
    pub(super) env: Arc<OnceLock<SchemaEnv>>,
}

impl ExtensionFactory for ComplexityCheck {
    fn create(&self) -> Arc<dyn Extension> {
        let env = Arc::clone(&self.env);
        Arc::new(Self { env })
    }
}

#[async_trait]
impl Extension for ComplexityCheck {
    async fn request(&self, ctx: &ExtensionContext<'_>, next: NextRequest<'_>) -> Response {
        if self.env.get().is_some() {
            return next.run(ctx).await;
        }
        self.env.get_or_init(|| ctx.schema_env.clone());
        Response::default()
    }

    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let result = next.run(ctx).await?;
        let validated = ctx.data_opt::<ValidationOnly>();
        let validated = validated.map(|it| (&it.document, it.representations));
        let executed = ctx.data_opt::<ResolverContext>();
        let executed = executed.map(|it| (&it.document, it.representations));
        if let Some((document, representations)) = validated.or(executed)
            && !document.is_within_complexity(result.complexity, representations)
        {
            return Err(vec![ServerError::new(TOO_COMPLEX, None)]);
        }
        if validated.is_some() {
            // The request ends before execution.
            return Err(Vec::new());
        }
        Ok(result)
    }

    /// Makes a nullable root field of a subscription null if an event fails, because async-graphql does not
    /// execute the directives of this field.
    async fn execute(
        &self,
        ctx: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let mut response = next.run(ctx, operation_name).await;
        let request = ctx.data_opt::<ResolverContext>();
        if response.data == Value::Null
            && let Some(field) = request.and_then(|it| it.document.nullable_event())
        {
            response.data = Value::Object([(field.clone(), Value::Null)].into());
        }
        response
    }
}
