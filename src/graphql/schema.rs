//! A schema of an app's roots, which Symbolon's are among.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;

use async_graphql::extensions::ExtensionFactory;
use async_graphql::{CustomDirectiveFactory, InputType, ObjectType, OutputType, SubscriptionType};

use crate::config::Limits;
use crate::graphql::spec_extension::SpecExtension;

/// Builds a [`Schema`]; what [`Symbolon::schema`](crate::Symbolon::schema) gives you. Its methods are
/// those of async-graphql's builder.
pub struct SchemaBuilder<Q, M, S> {
    builder: async_graphql::SchemaBuilder<Arc<Q>, M, S>,
    query: Arc<Q>,
    extended: bool,
}

/// A schema for [`Symbolon::routes`](crate::Symbolon::routes). It is also async-graphql's, of which it
/// has the methods.
pub struct Schema<Q, M, S> {
    pub(super) library: async_graphql::Schema<Arc<Q>, M, S>,
    /// The root of the queries, unless only the library may execute them.
    pub(super) query: Option<Arc<Q>>,
}

impl<Q, M, S> SchemaBuilder<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    pub(super) fn new(limits: &Limits, query: Q, mutation: M, subscription: S) -> Self {
        let query = Arc::new(query);
        let root = Arc::clone(&query);
        let builder = async_graphql::Schema::build(root, mutation, subscription)
            .extension(SpecExtension)
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
            extended: false,
        }
    }

    fn with(
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

    /// Adds what every resolver finds in its context.
    #[must_use]
    pub fn data(self, data: impl Any + Send + Sync) -> Self {
        self.with(|builder| builder.data(data))
    }

    /// Adds a directive of your own.
    #[must_use]
    pub fn directive(self, directive: impl CustomDirectiveFactory) -> Self {
        self.with(|builder| builder.directive(directive))
    }

    /// Adds an extension. With one, every request goes through all that the library does for
    /// extensions, which takes about as long again as the rest of a small query.
    #[must_use]
    pub fn extension(self, extension: impl ExtensionFactory) -> Self {
        Self {
            extended: true,
            ..self.with(|builder| builder.extension(extension))
        }
    }

    /// Adds an input type that nothing else in the schema mentions.
    #[must_use]
    pub fn register_input_type<T: InputType>(self) -> Self {
        self.with(async_graphql::SchemaBuilder::register_input_type::<T>)
    }

    /// Adds an output type that nothing else in the schema mentions, such as what implements an
    /// interface.
    #[must_use]
    pub fn register_output_type<T: OutputType>(self) -> Self {
        self.with(async_graphql::SchemaBuilder::register_output_type::<T>)
    }

    /// The schema.
    pub fn finish(self) -> Schema<Q, M, S> {
        Schema {
            library: self.builder.finish(),
            query: (!self.extended).then_some(self.query),
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
        }
    }
}
