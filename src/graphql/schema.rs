//! The schema of an application, which includes Symbolon's types, and the builder of this schema.

use std::any::Any;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use async_graphql::extensions::ExtensionFactory;
use async_graphql::{
    CustomDirectiveFactory, InputType, ObjectType, OutputType, SchemaEnv, SubscriptionType,
    ValidationMode,
};
use futures_util::FutureExt;

use crate::config::Limits;
use crate::graphql::complexity_check::ComplexityCheck;
use crate::graphql::direct_execution::OnError;
use crate::graphql::schema_definitions::Definitions;

/// A builder for a [`Schema`], returned by [`Symbolon::schema`](crate::Symbolon::schema). Its methods
/// correspond to those of [`async_graphql::SchemaBuilder`].
pub struct SchemaBuilder<Q, M, S> {
    builder: async_graphql::SchemaBuilder<Arc<Q>, M, S>,
    query: Arc<Q>,
    has_extensions: bool,
    env: Arc<OnceLock<SchemaEnv>>,
}

/// A schema for [`Symbolon::routes`](crate::Symbolon::routes). The schema dereferences to
/// [`async_graphql::Schema`].
pub struct Schema<Q, M, S> {
    pub(super) library: async_graphql::Schema<Arc<Q>, M, S>,
    /// The query root for direct execution. `None` if the application has added extensions, because direct
    /// execution does not run extensions.
    pub(super) query: Option<Arc<Q>>,
    pub(super) definitions: Arc<Definitions>,
}

impl<Q, M, S> SchemaBuilder<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    pub(crate) fn new(limits: &Limits, query: Q, mutation: M, subscription: S) -> Self {
        let query = Arc::new(query);
        let root = Arc::clone(&query);
        let env = Arc::<OnceLock<_>>::default();
        let builder = async_graphql::Schema::build(root, mutation, subscription)
            .extension(ComplexityCheck {
                env: Arc::clone(&env),
            })
            .directive(OnError::Null)
            .directive(OnError::AddPath)
            // `graphql/document_validation.rs` validates documents.
            .validation_mode(ValidationMode::Fast)
            .limit_complexity(limits.complexity)
            .limit_recursive_depth(limits.nesting);
        let builder = if limits.introspection {
            builder
        } else {
            builder.disable_introspection().disable_suggestions()
        };
        Self {
            builder,
            query,
            has_extensions: false,
            env,
        }
    }

    fn map(
        self,
        change: impl FnOnce(
            async_graphql::SchemaBuilder<Arc<Q>, M, S>,
        ) -> async_graphql::SchemaBuilder<Arc<Q>, M, S>,
    ) -> Self {
        Self {
            builder: change(self.builder),
            ..self
        }
    }

    /// Adds data to the context of every resolver.
    #[must_use]
    pub fn data(self, data: impl Any + Send + Sync) -> Self {
        self.map(|builder| builder.data(data))
    }

    /// Adds a custom directive.
    #[must_use]
    pub fn directive(self, directive: impl CustomDirectiveFactory) -> Self {
        self.map(|builder| builder.directive(directive))
    }

    /// Adds an extension. With an extension, async-graphql validates each request and calls the extension for each field,
    /// so small queries take about twice as long.
    #[must_use]
    pub fn extension(self, extension: impl ExtensionFactory) -> Self {
        Self {
            has_extensions: true,
            ..self.map(|builder| builder.extension(extension))
        }
    }

    /// Adds an input type that no field of the schema refers to.
    #[must_use]
    pub fn register_input_type<T: InputType>(self) -> Self {
        self.map(async_graphql::SchemaBuilder::register_input_type::<T>)
    }

    /// Adds an output type that no field of the schema refers to, for example an implementation of an
    /// interface.
    #[must_use]
    pub fn register_output_type<T: OutputType>(self) -> Self {
        self.map(async_graphql::SchemaBuilder::register_output_type::<T>)
    }

    /// Builds the schema.
    ///
    /// # Panics
    ///
    /// Panics if the schema violates a rule of the
    /// [GraphQL specification](https://spec.graphql.org/September2025/#sec-Type-System) that async-graphql does not check. An
    /// example is an object without fields.
    pub fn finish(self) -> Schema<Q, M, S> {
        let library = self.builder.finish();
        // The extension stores the environment of the schema during the first request.
        let _ = library.execute("").now_or_never();
        let definitions = Definitions::new(self.env.get());
        let definitions = definitions
            .unwrap_or_else(|problem| panic!("the GraphQL schema is not valid: {problem}"));
        Schema {
            definitions: Arc::new(definitions),
            library,
            query: (!self.has_extensions).then_some(self.query),
        }
    }
}

impl<Q, M, S> Deref for Schema<Q, M, S> {
    type Target = async_graphql::Schema<Arc<Q>, M, S>;

    fn deref(&self) -> &Self::Target {
        &self.library
    }
}

impl<Q, M, S> Clone for Schema<Q, M, S> {
    fn clone(&self) -> Self {
        Self {
            library: self.library.clone(),
            query: self.query.clone(),
            definitions: self.definitions.clone(),
        }
    }
}
