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

/// A builder for a [`Schema`], returned by [`Symbolon::schema`](crate::Symbolon::schema).
///
/// The methods correspond to those of [`async_graphql::SchemaBuilder`], with these exceptions:
///
/// - `validation_mode` is missing, because Symbolon validates documents itself.
/// - `limit_directives` is missing, because directives count as selections ([`Limits::selections`]).
/// - [`limit_complexity`](Self::limit_complexity), [`limit_depth`](Self::limit_depth) and
///   [`limit_recursive_depth`](Self::limit_recursive_depth) can lower the [limits](Limits) of the configuration, and cannot raise
///   them.
///
/// ```
/// use async_graphql::{EmptySubscription, MergedObject};
/// use symbolon::{Mutation, Symbolon};
///
/// #[derive(MergedObject, Default)]
/// struct Query(symbolon::Query);
///
/// /// The base URL of the files of the application.
/// struct Files(String);
///
/// fn schema(symbolon: &Symbolon) -> symbolon::Schema<Query, Mutation, EmptySubscription> {
///     symbolon
///         .schema(Query::default(), Mutation, EmptySubscription)
///         .data(Files("https://files.example.org/".to_owned()))
///         .limit_depth(10)
///         .finish()
/// }
/// ```
#[must_use]
pub struct SchemaBuilder<Q, M, S> {
    builder: LibraryBuilder<Q, M, S>,
    query: Arc<Q>,
    limits: Limits,
    is_direct: bool,
    env: Arc<OnceLock<SchemaEnv>>,
}

type LibraryBuilder<Q, M, S> = async_graphql::SchemaBuilder<Arc<Q>, M, S>;

/// A schema for [`Symbolon::routes`](crate::Symbolon::routes). The schema dereferences to
/// [`async_graphql::Schema`].
///
/// ```
/// # use async_graphql::{EmptySubscription, MergedObject};
/// # use symbolon::{Mutation, Symbolon};
/// # #[derive(MergedObject, Default)]
/// # struct Query(symbolon::Query);
/// /// Prints the schema, for the tools of clients.
/// fn print(symbolon: &Symbolon) {
///     let schema = symbolon.schema(Query::default(), Mutation, EmptySubscription).finish();
///     println!("{}", schema.sdl());
/// }
/// ```
pub struct Schema<Q, M, S> {
    pub(super) library: async_graphql::Schema<Arc<Q>, M, S>,
    /// The query root for direct execution. `None` if the application has added extensions or allows introspection only,
    /// because direct execution does not take them into account.
    pub(super) query: Option<Arc<Q>>,
    pub(super) definitions: Arc<Definitions>,
    pub(super) limits: Limits,
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
            .validation_mode(ValidationMode::Fast);
        let schema = Self {
            builder,
            query,
            limits: limits.clone(),
            is_direct: true,
            env,
        };
        if limits.introspection {
            schema
        } else {
            schema.disable_introspection().disable_suggestions()
        }
    }

    fn map(self, change: impl FnOnce(LibraryBuilder<Q, M, S>) -> LibraryBuilder<Q, M, S>) -> Self {
        Self {
            builder: change(self.builder),
            ..self
        }
    }

    /// Adds data to the context of every resolver.
    pub fn data(self, data: impl Any + Send + Sync) -> Self {
        self.map(|builder| builder.data(data))
    }

    /// Adds a custom directive.
    ///
    /// # Panics
    ///
    /// Panics if the schema already has a directive with this name.
    pub fn directive(self, directive: impl CustomDirectiveFactory) -> Self {
        self.map(|builder| builder.directive(directive))
    }

    /// Adds an extension. With an extension, async-graphql validates each request and calls the extension for each field,
    /// so small queries take about twice as long.
    pub fn extension(self, extension: impl ExtensionFactory) -> Self {
        Self {
            is_direct: false,
            ..self.map(|builder| builder.extension(extension))
        }
    }

    /// Adds an input type that no field of the schema refers to.
    pub fn register_input_type<T: InputType>(self) -> Self {
        self.map(LibraryBuilder::register_input_type::<T>)
    }

    /// Adds an output type that no field of the schema refers to, for example an implementation of an
    /// interface.
    pub fn register_output_type<T: OutputType>(self) -> Self {
        self.map(LibraryBuilder::register_output_type::<T>)
    }

    /// Replaces the description of an input type.
    pub fn override_input_type_description<T: InputType>(self, description: &'static str) -> Self {
        self.map(|builder| builder.override_input_type_description::<T>(description))
    }

    /// Replaces the description of an output type, for example of [`User`](crate::graphql::User).
    pub fn override_output_type_description<T: OutputType>(
        self,
        description: &'static str,
    ) -> Self {
        self.map(|builder| builder.override_output_type_description::<T>(description))
    }

    /// Lists the fields of each type in alphabetical order. Does not affect types that are registered later.
    pub fn with_sorted_fields(self) -> Self {
        self.map(LibraryBuilder::with_sorted_fields)
    }

    /// Lists the values of each enum in alphabetical order. Does not affect enums that are registered later.
    pub fn with_sorted_enums(self) -> Self {
        self.map(LibraryBuilder::with_sorted_enums)
    }

    /// Refuses the fields `__schema`, `__type` and `_service`, as if [`Limits::introspection`] were `false`.
    pub fn disable_introspection(self) -> Self {
        let mut schema = self.map(LibraryBuilder::disable_introspection);
        schema.limits.introspection = false;
        schema
    }

    /// Answers introspection only. All other fields are null.
    pub fn introspection_only(self) -> Self {
        Self {
            is_direct: false,
            ..self.map(LibraryBuilder::introspection_only)
        }
    }

    /// Removes suggestions of similar names from the errors of async-graphql. The errors of Symbolon's validation contain no
    /// suggestions.
    pub fn disable_suggestions(self) -> Self {
        self.map(LibraryBuilder::disable_suggestions)
    }

    /// Lowers [`Limits::complexity`] for this schema.
    pub fn limit_complexity(mut self, complexity: usize) -> Self {
        self.limits.complexity = self.limits.complexity.min(complexity);
        self
    }

    /// Lowers [`Limits::depth`] for this schema.
    pub fn limit_depth(mut self, depth: usize) -> Self {
        self.limits.depth = self.limits.depth.min(depth);
        self
    }

    /// Lowers [`Limits::nesting`] for this schema.
    pub fn limit_recursive_depth(mut self, depth: usize) -> Self {
        self.limits.nesting = self.limits.nesting.min(depth);
        self
    }

    /// Adds the field `_service` of Apollo Federation. Not required if the schema has entities, for example
    /// [`UserEntities`](crate::graphql::UserEntities).
    pub fn enable_federation(self) -> Self {
        self.map(LibraryBuilder::enable_federation)
    }

    /// Includes subscriptions in the SDL that `_service` returns.
    pub fn enable_subscription_in_federation(self) -> Self {
        self.map(LibraryBuilder::enable_subscription_in_federation)
    }

    /// Builds the schema.
    ///
    /// # Panics
    ///
    /// Panics if the schema violates a rule of the
    /// [GraphQL specification](https://spec.graphql.org/September2025/#sec-Type-System) that async-graphql does not check. An
    /// example is an object without fields. async-graphql itself panics for other errors, such as two types with the same
    /// name. A schema consists of types of the program, so each start of the program has the same result.
    pub fn finish(self) -> Schema<Q, M, S> {
        let limits = self.limits;
        let builder = self.builder.limit_complexity(limits.complexity);
        let library = builder.limit_recursive_depth(limits.nesting).finish();
        // The extension stores the environment of the schema during the first request.
        let _ = library.execute("").now_or_never();
        let definitions = Definitions::new(self.env.get());
        let definitions = definitions
            .unwrap_or_else(|problem| panic!("the GraphQL schema is not valid: {problem}"));
        Schema {
            definitions: Arc::new(definitions),
            library,
            query: self.is_direct.then_some(self.query),
            limits,
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
            definitions: Arc::clone(&self.definitions),
            limits: self.limits.clone(),
        }
    }
}
