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
    ///
    /// ```
    /// use async_graphql::{Context, Object, Result};
    ///
    /// struct FileServer(&'static str);
    ///
    /// #[derive(Default)]
    /// struct Files;
    ///
    /// #[Object]
    /// impl Files {
    ///     async fn logo(&self, ctx: &Context<'_>) -> Result<String> {
    ///         Ok(format!("{}/logo.svg", ctx.data::<FileServer>()?.0))
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// # #[derive(async_graphql::MergedObject, Default)]
    /// # struct Query(symbolon::Query, Files);
    /// # let builder = symbolon.schema(Query::default(), symbolon::Mutation, async_graphql::EmptySubscription);
    /// let schema = builder.data(FileServer("https://files.example.org")).finish();
    /// # use poem::{Endpoint as _, Request as Post};
    /// # let request = Post::builder().method(poem::http::Method::POST).uri_str("/graphql");
    /// # let request = request.header("Host", "localhost").content_type("application/json");
    /// # let request = request.body(r#"{"query": "{ logo }"}"#);
    /// # let response = symbolon.routes(schema).get_response(request).await;
    /// # let body: serde_json::Value = response.into_body().into_json().await?;
    /// # assert_eq!(body["data"]["logo"], "https://files.example.org/logo.svg");
    /// # Ok(())
    /// # }
    /// ```
    pub fn data(self, data: impl Any + Send + Sync) -> Self {
        self.map(|builder| builder.data(data))
    }

    /// Adds a custom directive.
    ///
    /// ```
    /// use async_graphql::{Context, CustomDirective, Directive, ResolveFut, ServerResult, Value};
    ///
    /// struct Uppercase;
    ///
    /// #[symbolon::async_trait]
    /// impl CustomDirective for Uppercase {
    ///     async fn resolve_field(
    ///         &self,
    ///         _: &Context<'_>,
    ///         resolve: ResolveFut<'_>,
    ///     ) -> ServerResult<Option<Value>> {
    ///         Ok(resolve.await?.map(|value| match value {
    ///             Value::String(text) => Value::String(text.to_uppercase()),
    ///             other => other,
    ///         }))
    ///     }
    /// }
    ///
    /// #[Directive(location = "Field")]
    /// fn uppercase() -> impl CustomDirective {
    ///     Uppercase
    /// }
    ///
    /// # #[derive(Default)]
    /// # struct Files;
    /// # #[async_graphql::Object]
    /// # impl Files { async fn title(&self) -> &str { "notes" } }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// # #[derive(async_graphql::MergedObject, Default)]
    /// # struct Query(symbolon::Query, Files);
    /// # let builder = symbolon.schema(Query::default(), symbolon::Mutation, async_graphql::EmptySubscription);
    /// let schema = builder.directive(uppercase).finish();
    /// # use poem::{Endpoint as _, Request as Post};
    /// # let request = Post::builder().method(poem::http::Method::POST).uri_str("/graphql");
    /// # let request = request.header("Host", "localhost").content_type("application/json");
    /// # let request = request.body(r#"{"query": "{ title @uppercase }"}"#);
    /// # let response = symbolon.routes(schema).get_response(request).await;
    /// # let body: serde_json::Value = response.into_body().into_json().await?;
    /// // The response to `{ title @uppercase }`:
    /// assert_eq!(body["data"]["title"], "NOTES");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the schema already has a directive with this name.
    pub fn directive(self, directive: impl CustomDirectiveFactory) -> Self {
        self.map(|builder| builder.directive(directive))
    }

    /// Adds an extension. With an extension, async-graphql validates each request and calls the extension for each field,
    /// so small queries take about twice as long.
    ///
    /// ```
    /// use async_graphql::extensions::Analyzer;
    ///
    /// # #[derive(Default)]
    /// # struct Files;
    /// # #[async_graphql::Object]
    /// # impl Files { async fn title(&self) -> &str { "notes" } }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// # #[derive(async_graphql::MergedObject, Default)]
    /// # struct Query(symbolon::Query, Files);
    /// # let builder = symbolon.schema(Query::default(), symbolon::Mutation, async_graphql::EmptySubscription);
    /// let schema = builder.extension(Analyzer).finish();
    /// # use poem::{Endpoint as _, Request as Post};
    /// # let request = Post::builder().method(poem::http::Method::POST).uri_str("/graphql");
    /// # let request = request.header("Host", "localhost").content_type("application/json");
    /// # let request = request.body(r#"{"query": "{ title }"}"#);
    /// # let response = symbolon.routes(schema).get_response(request).await;
    /// # let body: serde_json::Value = response.into_body().into_json().await?;
    /// // The response to `{ title }`:
    /// assert_eq!(body["extensions"]["analyzer"]["complexity"], 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn extension(self, extension: impl ExtensionFactory) -> Self {
        Self {
            is_direct: false,
            ..self.map(|builder| builder.extension(extension))
        }
    }

    /// Adds an input type that no field of the schema refers to.
    ///
    /// ```
    /// use async_graphql::InputObject;
    ///
    /// /// The content of a bookmark. The argument `bookmark` of a field is this input as JSON.
    /// #[derive(InputObject)]
    /// struct Filter {
    ///     text: String,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// # #[derive(async_graphql::MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// # let builder = symbolon.schema(Query::default(), symbolon::Mutation, async_graphql::EmptySubscription);
    /// let schema = builder.register_input_type::<Filter>().finish();
    /// assert!(schema.sdl().contains("input Filter"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn register_input_type<T: InputType>(self) -> Self {
        self.map(LibraryBuilder::register_input_type::<T>)
    }

    /// Adds an output type that no field of the schema refers to, for example an implementation of an
    /// interface.
    ///
    /// ```
    /// use async_graphql::{Interface, SimpleObject};
    ///
    /// #[derive(SimpleObject)]
    /// struct Note {
    ///     title: String,
    /// }
    ///
    /// #[derive(Interface)]
    /// #[graphql(field(name = "title", ty = "&String"))]
    /// enum Document {
    ///     Note(Note),
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// # #[derive(async_graphql::MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// # let builder = symbolon.schema(Query::default(), symbolon::Mutation, async_graphql::EmptySubscription);
    /// let schema = builder.register_output_type::<Document>().finish();
    /// assert!(schema.sdl().contains("type Note implements Document"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn register_output_type<T: OutputType>(self) -> Self {
        self.map(LibraryBuilder::register_output_type::<T>)
    }

    /// Replaces the description of an input type.
    ///
    /// ```
    /// # use async_graphql::{EmptySubscription, MergedObject};
    /// # use symbolon::{Mutation, Schema, Symbolon};
    /// # #[derive(MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// #[derive(async_graphql::InputObject)]
    /// struct NoteInput {
    ///     text: String,
    /// }
    ///
    /// # fn schema(symbolon: &Symbolon) -> Schema<Query, Mutation, EmptySubscription> {
    /// let builder = symbolon.schema(Query::default(), Mutation, EmptySubscription);
    /// builder.override_input_type_description::<NoteInput>("A new note.").finish()
    /// # }
    /// ```
    pub fn override_input_type_description<T: InputType>(self, description: &'static str) -> Self {
        self.map(|builder| builder.override_input_type_description::<T>(description))
    }

    /// Replaces the description of an output type, for example of [`User`](crate::graphql::User).
    ///
    /// ```
    /// # use async_graphql::{EmptySubscription, MergedObject};
    /// # use symbolon::{Mutation, Schema, Symbolon};
    /// # #[derive(MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// #[derive(async_graphql::SimpleObject)]
    /// struct Note {
    ///     text: String,
    /// }
    ///
    /// # fn schema(symbolon: &Symbolon) -> Schema<Query, Mutation, EmptySubscription> {
    /// let builder = symbolon.schema(Query::default(), Mutation, EmptySubscription);
    /// builder.override_output_type_description::<Note>("A note of a user.").finish()
    /// # }
    /// ```
    pub fn override_output_type_description<T: OutputType>(
        self,
        description: &'static str,
    ) -> Self {
        self.map(|builder| builder.override_output_type_description::<T>(description))
    }

    /// Lists the fields of each type in alphabetical order. Does not affect types that are registered later.
    ///
    /// ```
    /// # use async_graphql::{EmptySubscription, MergedObject};
    /// # use symbolon::{Mutation, Schema, Symbolon};
    /// # #[derive(MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// # fn schema(symbolon: &Symbolon) -> Schema<Query, Mutation, EmptySubscription> {
    /// let builder = symbolon.schema(Query::default(), Mutation, EmptySubscription);
    /// builder.with_sorted_fields().finish()
    /// # }
    /// ```
    pub fn with_sorted_fields(self) -> Self {
        self.map(LibraryBuilder::with_sorted_fields)
    }

    /// Lists the values of each enum in alphabetical order. Does not affect enums that are registered later.
    ///
    /// ```
    /// # use async_graphql::{EmptySubscription, MergedObject};
    /// # use symbolon::{Mutation, Schema, Symbolon};
    /// # #[derive(MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// # fn schema(symbolon: &Symbolon) -> Schema<Query, Mutation, EmptySubscription> {
    /// let builder = symbolon.schema(Query::default(), Mutation, EmptySubscription);
    /// builder.with_sorted_enums().finish()
    /// # }
    /// ```
    pub fn with_sorted_enums(self) -> Self {
        self.map(LibraryBuilder::with_sorted_enums)
    }

    /// Refuses the fields `__schema`, `__type` and `_service`, as if [`Limits::introspection`] were `false`.
    ///
    /// ```
    /// # use async_graphql::{EmptySubscription, MergedObject};
    /// # use symbolon::{Mutation, Schema, Symbolon};
    /// # #[derive(MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// # fn schema(symbolon: &Symbolon) -> Schema<Query, Mutation, EmptySubscription> {
    /// let builder = symbolon.schema(Query::default(), Mutation, EmptySubscription);
    /// builder.disable_introspection().finish()
    /// # }
    /// ```
    pub fn disable_introspection(self) -> Self {
        let mut schema = self.map(LibraryBuilder::disable_introspection);
        schema.limits.introspection = false;
        schema
    }

    /// Answers introspection only. All other fields are null.
    ///
    /// ```
    /// # use async_graphql::{EmptySubscription, MergedObject};
    /// # use symbolon::{Mutation, Schema, Symbolon};
    /// # #[derive(MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// # fn schema(symbolon: &Symbolon) -> Schema<Query, Mutation, EmptySubscription> {
    /// let builder = symbolon.schema(Query::default(), Mutation, EmptySubscription);
    /// builder.introspection_only().finish()
    /// # }
    /// ```
    pub fn introspection_only(self) -> Self {
        Self {
            is_direct: false,
            ..self.map(LibraryBuilder::introspection_only)
        }
    }

    /// Removes suggestions of similar names from the errors of async-graphql. The errors of Symbolon's validation contain no
    /// suggestions.
    ///
    /// ```
    /// # use async_graphql::{EmptySubscription, MergedObject};
    /// # use symbolon::{Mutation, Schema, Symbolon};
    /// # #[derive(MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// # fn schema(symbolon: &Symbolon) -> Schema<Query, Mutation, EmptySubscription> {
    /// let builder = symbolon.schema(Query::default(), Mutation, EmptySubscription);
    /// builder.disable_suggestions().finish()
    /// # }
    /// ```
    pub fn disable_suggestions(self) -> Self {
        self.map(LibraryBuilder::disable_suggestions)
    }

    /// Lowers [`Limits::complexity`] for this schema.
    ///
    /// ```
    /// # use async_graphql::{EmptySubscription, MergedObject};
    /// # use symbolon::{Mutation, Schema, Symbolon};
    /// # #[derive(MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// # fn schema(symbolon: &Symbolon) -> Schema<Query, Mutation, EmptySubscription> {
    /// let builder = symbolon.schema(Query::default(), Mutation, EmptySubscription);
    /// builder.limit_complexity(500).finish()
    /// # }
    /// ```
    pub fn limit_complexity(mut self, complexity: usize) -> Self {
        self.limits.complexity = self.limits.complexity.min(complexity);
        self
    }

    /// Lowers [`Limits::depth`] for this schema.
    ///
    /// ```
    /// # use async_graphql::{EmptySubscription, MergedObject};
    /// # use symbolon::{Mutation, Schema, Symbolon};
    /// # #[derive(MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// # fn schema(symbolon: &Symbolon) -> Schema<Query, Mutation, EmptySubscription> {
    /// let builder = symbolon.schema(Query::default(), Mutation, EmptySubscription);
    /// builder.limit_depth(8).finish()
    /// # }
    /// ```
    pub fn limit_depth(mut self, depth: usize) -> Self {
        self.limits.depth = self.limits.depth.min(depth);
        self
    }

    /// Lowers [`Limits::nesting`] for this schema.
    ///
    /// ```
    /// # use async_graphql::{EmptySubscription, MergedObject};
    /// # use symbolon::{Mutation, Schema, Symbolon};
    /// # #[derive(MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// # fn schema(symbolon: &Symbolon) -> Schema<Query, Mutation, EmptySubscription> {
    /// let builder = symbolon.schema(Query::default(), Mutation, EmptySubscription);
    /// builder.limit_recursive_depth(16).finish()
    /// # }
    /// ```
    pub fn limit_recursive_depth(mut self, depth: usize) -> Self {
        self.limits.nesting = self.limits.nesting.min(depth);
        self
    }

    /// Adds the field `_service` of Apollo Federation. Not required if the schema has entities, for example
    /// [`UserEntities`](crate::graphql::UserEntities).
    ///
    /// ```
    /// # use async_graphql::{EmptySubscription, MergedObject};
    /// # use symbolon::{Mutation, Schema, Symbolon};
    /// # #[derive(MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// # fn schema(symbolon: &Symbolon) -> Schema<Query, Mutation, EmptySubscription> {
    /// let builder = symbolon.schema(Query::default(), Mutation, EmptySubscription);
    /// builder.enable_federation().finish()
    /// # }
    /// ```
    pub fn enable_federation(self) -> Self {
        self.map(LibraryBuilder::enable_federation)
    }

    /// Includes subscriptions in the SDL that `_service` returns.
    ///
    /// ```
    /// # use async_graphql::{EmptySubscription, MergedObject};
    /// # use symbolon::{Mutation, Schema, Symbolon};
    /// # #[derive(MergedObject, Default)]
    /// # struct Query(symbolon::Query);
    /// # fn schema(symbolon: &Symbolon) -> Schema<Query, Mutation, EmptySubscription> {
    /// let builder = symbolon.schema(Query::default(), Mutation, EmptySubscription);
    /// builder.enable_subscription_in_federation().finish()
    /// # }
    /// ```
    pub fn enable_subscription_in_federation(self) -> Self {
        self.map(LibraryBuilder::enable_subscription_in_federation)
    }

    /// Builds the schema.
    ///
    /// ```
    /// use async_graphql::{EmptySubscription, MergedObject};
    /// use symbolon::Mutation;
    ///
    /// #[derive(MergedObject, Default)]
    /// struct Query(symbolon::Query);
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// let schema = symbolon.schema(Query::default(), Mutation, EmptySubscription).finish();
    /// # let folder = tempfile::tempdir()?;
    /// # let file = folder.path().join("schema.graphql");
    /// std::fs::write(file, schema.sdl())?;
    /// # Ok(())
    /// # }
    /// ```
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

#[cfg(feature = "explorer")]
impl<Q, M, S> Schema<Q, M, S> {
    /// Returns whether the schema has a mutation with this name.
    pub(crate) fn has_mutation(&self, name: &str) -> bool {
        let registry = &self.definitions.env.registry;
        let root = registry.mutation_type.as_ref();
        let root = root.and_then(|root| registry.types.get(root));
        root.is_some_and(|root| root.field_by_name(name).is_some())
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
