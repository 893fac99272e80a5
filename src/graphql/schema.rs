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
///
/// ```
/// use async_graphql::{EmptySubscription, MergedObject};
/// use symbolon::{Mutation, Schema, Symbolon};
///
/// #[derive(MergedObject, Default)]
/// struct Query(symbolon::Query);
///
/// fn schema(symbolon: &Symbolon) -> Schema<Query, Mutation, EmptySubscription> {
///     let builder = symbolon.schema(Query::default(), Mutation, EmptySubscription);
///     builder.data("https://files.example.org").finish()
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let symbolon = symbolon::Symbolon::open(config).await?;
/// # assert!(schema(&symbolon).sdl().contains("createToken"));
/// # Ok(())
/// # }
/// ```
pub struct SchemaBuilder<Q, M, S> {
    builder: async_graphql::SchemaBuilder<Arc<Q>, M, S>,
    query: Arc<Q>,
    has_extensions: bool,
    env: Arc<OnceLock<SchemaEnv>>,
}

/// A schema for [`Symbolon::routes`](crate::Symbolon::routes). The schema dereferences to
/// [`async_graphql::Schema`].
///
/// ```
/// use async_graphql::{EmptySubscription, MergedObject};
/// use symbolon::Mutation;
///
/// #[derive(MergedObject, Default)]
/// struct Query(symbolon::Query);
///
/// type Schema = symbolon::Schema<Query, Mutation, EmptySubscription>;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}/app.db", folder.path().display());
/// # let mut config = symbolon::Config::new(url);
/// # config.argon2_memory = 8;
/// # let symbolon = symbolon::Symbolon::open(config).await?;
/// let schema: Schema = symbolon.schema(Query::default(), Mutation, EmptySubscription).finish();
/// assert!(schema.sdl().contains("createToken"));
/// let app = symbolon.routes(schema);
/// # Ok(())
/// # }
/// ```
pub struct Schema<Q, M, S> {
    pub(super) library: async_graphql::Schema<Arc<Q>, M, S>,
    /// The query root for direct execution. `None` if the application has added extensions, because direct
    /// execution does not run extensions.
    pub(super) query: Option<Arc<Q>>,
    /// The types and directives of the schema. Always set.
    pub(super) definitions: Option<Arc<Definitions>>,
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

    /// Adds data to the context of every resolver. The data can be read with [`async_graphql::Context::data`]. A second
    /// value of the same type replaces the first one.
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
    #[must_use]
    pub fn data(self, data: impl Any + Send + Sync) -> Self {
        self.map(|builder| builder.data(data))
    }

    /// Adds a directive of the application, which clients can use in documents.
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
    #[must_use]
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
    #[must_use]
    pub fn extension(self, extension: impl ExtensionFactory) -> Self {
        Self {
            has_extensions: true,
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
    #[must_use]
    pub fn register_input_type<T: InputType>(self) -> Self {
        self.map(async_graphql::SchemaBuilder::register_input_type::<T>)
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
    #[must_use]
    pub fn register_output_type<T: OutputType>(self) -> Self {
        self.map(async_graphql::SchemaBuilder::register_output_type::<T>)
    }

    /// Builds the schema, which [`Symbolon::routes`](crate::Symbolon::routes) or
    /// [`Symbolon::graphql`](crate::Symbolon::graphql) serves.
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
    pub fn finish(self) -> Schema<Q, M, S> {
        let library = self.builder.finish();
        // The extension stores the environment of the schema during the first request.
        let _ = library.execute("").now_or_never();
        let env = self.env.get().cloned();
        Schema {
            definitions: env.map(Definitions::new).map(Arc::new),
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
