//! Executes queries without async-graphql's validation and extensions, and without a copy of the document. The file
//! contains all code that depends on the following internals of async-graphql, which are public only for its macros:
//!
//! - [`QueryEnvInner`] has all the state of a request, and [`resolve_container`] executes the selections of an object.
//! - The query root of a schema adds the fields in [`LIBRARY_FIELDS`] to the query root of the application.
//! - Before execution, async-graphql removes the selections that `@skip` and `@include` exclude.
//! - [`resolve_container`] calls the directives of a field by their names, and the last directive runs around the
//!   others. A schema can have a directive whose name is not a GraphQL name, and that is not in its SDL.
//!
//! `tests/direct_execution.rs` compares direct execution with the execution by async-graphql. `Cargo.toml` restricts
//! the version of async-graphql.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{Extensions, ResolveFut};
use async_graphql::parser::types::{
    Directive, Field, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::resolve_container;
use async_graphql::{
    Context, ContextDirective, CustomDirective, CustomDirectiveFactory, Data, EmptyMutation,
    EmptySubscription, IntrospectionMode, Name, Object, ObjectType, Pos, Positioned, QueryEnv,
    QueryEnvInner, Response, Schema, SchemaEnv, ServerResult, Value, Variables,
};
use async_graphql_value::Value as DocumentValue;
use futures_util::FutureExt;

/// The fields that async-graphql adds to the query root. They cannot be executed directly.
pub(super) const LIBRARY_FIELDS: [&str; 4] = ["__schema", "__type", "_service", "_entities"];

/// An operation with its fragments expanded.
pub(super) struct ExpandedOperation {
    /// The operation without its selections.
    pub(super) definition: Positioned<OperationDefinition>,
    pub(super) selections: Positioned<SelectionSet>,
    pub(super) properties: Properties,
}

impl ExpandedOperation {
    /// Returns the selections without the arguments and the fields of input objects whose variable has no value (GraphQL
    /// specification, sections 6.4.1 and 3.10). async-graphql would replace them by null.
    pub(super) fn selections(&self, variables: &Variables) -> Cow<'_, Positioned<SelectionSet>> {
        let mut selections = Cow::Borrowed(&self.selections);
        if variables.len() < self.definition.node.variable_definitions.len() {
            remove_unset(&mut selections.to_mut().node, variables);
        }
        selections
    }
}

/// The properties of the selections of an operation.
#[derive(Default)]
pub(super) struct Properties {
    /// Whether a selection has directives, for example `@skip` or `@include`.
    pub(super) has_directives: bool,
    /// Whether a field is one of the [`LIBRARY_FIELDS`].
    pub(super) has_library_fields: bool,
    /// Whether the complexity of a field depends on the values of variables.
    pub(super) complexity_depends_on_variables: bool,
}

/// The query root, and values of async-graphql that all executions share.
pub(super) struct DirectExecution<Q> {
    query: Arc<Q>,
    env: SchemaEnv,
    extensions: Extensions,
}

impl<Q: ObjectType> DirectExecution<Q> {
    pub(super) fn new(query: Arc<Q>, env: SchemaEnv) -> Option<Self> {
        Some(Self {
            query,
            env,
            extensions: no_extensions()?,
        })
    }

    /// Executes a valid query without [`LIBRARY_FIELDS`]. The resolvers get `data` and `session` from their context.
    pub(super) async fn execute(
        &self,
        operation: &ExpandedOperation,
        variables: Variables,
        data: Data,
        session: Option<Arc<Data>>,
    ) -> Response {
        let mut selections = operation.selections(&variables);
        if operation.properties.has_directives {
            remove_excluded(&mut selections.to_mut().node, &variables);
        }
        let env = QueryEnv::new(QueryEnvInner {
            extensions: self.extensions.clone(),
            variables,
            operation_name: None,
            operation: operation.definition.clone(),
            fragments: HashMap::new(),
            uploads: Vec::new(),
            session_data: session.unwrap_or_default(),
            query_data: Arc::new(data),
            http_headers: Mutex::default(),
            introspection_mode: IntrospectionMode::Enabled,
            errors: Mutex::default(),
        });
        let context = env.create_context(&self.env, None, &*selections, None);
        let mut response = match resolve_container(&context, &*self.query).await {
            Ok(value) => Response::new(value),
            Err(error) => Response::from_errors(vec![error]),
        };
        response.errors.extend(take(&env.errors));
        response.http_headers = take(&env.http_headers);
        response
    }
}

fn take<T: Default>(mutex: &Mutex<T>) -> T {
    std::mem::take(&mut *mutex.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Returns an empty set of extensions. [`Extensions`] has no public constructor, so a resolver copies
/// the set from its context.
fn no_extensions() -> Option<Extensions> {
    struct Probe(Mutex<Option<Extensions>>);

    #[Object]
    impl Probe {
        async fn probe(&self, ctx: &Context<'_>) -> bool {
            let mut extensions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *extensions = Some(ctx.query_env.extensions.clone());
            true
        }
    }

    let probe = Arc::new(Probe(Mutex::default()));
    let schema = Schema::new(Arc::clone(&probe), EmptyMutation, EmptySubscription);
    schema.execute("{ probe }").now_or_never()?;
    take(&probe.0)
}

/// Removes the selections that `@skip` or `@include` excludes (section 6.3.2).
fn remove_excluded(set: &mut SelectionSet, variables: &Variables) {
    let is_excluded = |directive: &Positioned<Directive>| {
        let included = match directive.node.name.node.as_str() {
            "skip" => false,
            "include" => true,
            _ => return false,
        };
        let is_true = match directive.node.get_argument("if").map(|it| &it.node) {
            Some(DocumentValue::Variable(name)) => variables.get(name) == Some(&Value::from(true)),
            value => value == Some(&DocumentValue::Boolean(true)),
        };
        is_true != included
    };
    set.items
        .retain(|item| !item.node.directives().iter().any(is_excluded));
    for item in &mut set.items {
        // The directives that remain have no effect, and a field without directives is executed faster.
        let directives = item.node.directives_mut();
        directives.retain(|it| !["skip", "include"].contains(&it.node.name.node.as_str()));
        if let Some(set) = selection_set(&mut item.node) {
            remove_excluded(set, variables);
        }
    }
}

/// Removes the arguments and the fields of input objects whose variable has no value.
fn remove_unset(set: &mut SelectionSet, variables: &Variables) {
    type Arguments = Vec<(Positioned<Name>, Positioned<DocumentValue>)>;

    fn is_set(value: &mut DocumentValue, variables: &Variables) -> bool {
        match value {
            DocumentValue::Variable(name) => return variables.contains_key(name),
            DocumentValue::Object(fields) => fields.retain(|_, value| is_set(value, variables)),
            DocumentValue::List(items) => {
                for item in items {
                    // A variable without a value in a list is null (section 3.11).
                    is_set(item, variables);
                }
            }
            _ => {}
        }
        true
    }

    let remove = |arguments: &mut Arguments| {
        arguments.retain_mut(|(_, value)| is_set(&mut value.node, variables));
    };
    for item in &mut set.items {
        for directive in item.node.directives_mut() {
            remove(&mut directive.node.arguments);
        }
        if let Selection::Field(field) = &mut item.node {
            remove(&mut field.node.arguments);
        }
        if let Some(set) = selection_set(&mut item.node) {
            remove_unset(set, variables);
        }
    }
}

fn selection_set(selection: &mut Selection) -> Option<&mut SelectionSet> {
    match selection {
        Selection::Field(field) => Some(&mut field.node.selection_set.node),
        Selection::InlineFragment(inline) => Some(&mut inline.node.selection_set.node),
        Selection::FragmentSpread(_) => None,
    }
}

/// A directive for fields of validated documents, which handles the error of the resolver or the guard of the field.
#[derive(Clone, Copy)]
pub(super) enum OnError {
    /// Records the error, and makes the field null
    /// ([GraphQL specification, section 6.4.4](https://spec.graphql.org/September2025/#sec-Handling-Execution-Errors)).
    /// Without the directive, async-graphql makes the parent null.
    Null,
    /// Adds the path of the field to the error. async-graphql resolves fields of interfaces without a path.
    AddPath,
}

impl OnError {
    /// A document cannot contain these names, because they have spaces.
    fn name(self) -> &'static str {
        match self {
            Self::Null => "null on error",
            Self::AddPath => "path on error",
        }
    }

    /// Adds the directive to a field.
    pub(super) fn add_to(self, field: &mut Field, pos: Pos) {
        let name = Positioned::new(Name::new(self.name()), pos);
        let arguments = Vec::new();
        field.directives.reserve_exact(1);
        field
            .directives
            .push(Positioned::new(Directive { name, arguments }, pos));
    }

    /// Returns whether a field has the directive.
    pub(super) fn is_on(self, field: &Field) -> bool {
        let last = field.directives.last();
        last.is_some_and(|directive| directive.node.name.node == self.name())
    }
}

impl CustomDirectiveFactory for OnError {
    fn name(&self) -> Cow<'static, str> {
        Self::name(*self).into()
    }

    /// Does nothing, so that neither the SDL nor introspection contains the directive.
    fn register(&self, _: &mut Registry) {}

    fn create(
        &self,
        _: &ContextDirective<'_>,
        _: &Directive,
    ) -> ServerResult<Box<dyn CustomDirective>> {
        Ok(Box::new(*self))
    }
}

#[async_trait]
impl CustomDirective for OnError {
    async fn resolve_field(
        &self,
        ctx: &Context<'_>,
        resolve: ResolveFut<'_>,
    ) -> ServerResult<Option<Value>> {
        let mut error = match resolve.await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if error.path.is_empty() {
            error = ctx.set_error_path(error);
        }
        match self {
            Self::Null => {
                ctx.add_error(error);
                Ok(Some(Value::Null))
            }
            Self::AddPath => Err(error),
        }
    }
}
