//! The one way into a schema: check, parse, check, execute.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
    SelectionSet,
};
use async_graphql::parser::{Error as ParserError, parse_query};
use async_graphql::{Name, ObjectType, Request, Response, Schema, SubscriptionType, Variables};

use futures_util::{Stream, StreamExt};

use crate::config::Limits;
use crate::error::Error;
use crate::graphql::errors::{apply_contract, refused};
use crate::graphql::limits::{check_operation, check_text, check_variables};
use crate::graphql::variables::InputTypes;
use crate::service::authentication::Authentication;
use crate::service::to_its_end;

/// An operation as a client sends it.
#[derive(Debug, Default)]
pub(crate) struct Operation {
    pub(crate) document: String,
    pub(crate) name: Option<String>,
    pub(crate) variables: Variables,
}

/// An operation that may be executed.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) kind: OperationType,
    pub(crate) name: Option<String>,
    /// The names, not the aliases, of what it asks the root for; not validated yet.
    pub(crate) root_fields: Vec<String>,
    /// What [`Executor::execute`] takes.
    pub(crate) request: Request,
}

/// What came of an operation.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) response: Response,
    /// Why it was refused, if it was before anything was executed.
    pub(crate) refused: Option<Error>,
}

/// A schema behind its limits.
pub(crate) struct Executor<Q, M, S> {
    schema: Schema<Q, M, S>,
    inputs: InputTypes,
    limits: Limits,
    timeout: Duration,
}

impl<Q, M, S> Executor<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    pub(crate) fn new(schema: Schema<Q, M, S>, limits: Limits, timeout: Duration) -> Self {
        Self {
            inputs: InputTypes::of(&schema.sdl()),
            schema,
            limits,
            timeout,
        }
    }

    /// Parses an operation, once, and checks it against the limits and its variables against their
    /// declarations.
    pub(crate) fn prepare(&self, operation: Operation) -> Result<Prepared, Error> {
        check_text(&operation.document, &self.limits)?;
        check_variables(&operation.variables, &self.limits)?;
        let mut document = parse_query(&operation.document).map_err(|error| parse_error(&error))?;
        let name = choose(&mut document, operation.name.as_deref())?;
        let DocumentOperations::Single(chosen) = &document.operations else {
            return Err(Error::internal("no operation was chosen"));
        };
        let chosen = &chosen.node;
        check_operation(&document, chosen, &self.limits)?;
        self.inputs.check(chosen, &operation.variables)?;
        let mut root_fields = Vec::new();
        collect(&document, &chosen.selection_set.node, &mut root_fields);
        let kind = chosen.ty;
        let mut request = Request::new(operation.document).variables(operation.variables);
        request.set_parsed_query(document);
        Ok(Prepared {
            kind,
            name,
            root_fields,
            request,
        })
    }

    /// Executes an operation in a task of its own. Whatever takes longer than the time limit goes on
    /// to its end; only the waiting ends.
    pub(crate) async fn execute(
        &self,
        prepared: Request,
        authentication: Authentication,
        request_id: &str,
    ) -> Outcome {
        let schema = self.schema.clone();
        let request = prepared.data(authentication);
        let work = async move { schema.execute(request).await };
        match to_its_end(self.timeout, work).await {
            Ok(mut response) => Outcome {
                refused: apply_contract(&mut response, request_id),
                response,
            },
            Err(error) => Outcome {
                response: refused(&error, request_id),
                refused: Some(error),
            },
        }
    }

    /// The events of a subscription, until it ends or is dropped.
    pub(crate) fn subscribe(
        &self,
        prepared: Request,
        authentication: Authentication,
        request_id: Arc<str>,
    ) -> impl Stream<Item = Response> + Send + use<Q, M, S> {
        let events = self.schema.execute_stream(prepared.data(authentication));
        events.map(move |mut event| {
            apply_contract(&mut event, &request_id);
            event
        })
    }
}

/// Leaves the operation that is asked for, and the fragments that it uses, in the document. The
/// library's validation mixes up the variables of several operations.
fn choose(document: &mut ExecutableDocument, name: Option<&str>) -> Result<Option<String>, Error> {
    let refuse = |why: String| Err(Error::GraphqlValidationFailed(why));
    let several = match (&mut document.operations, name) {
        (DocumentOperations::Single(_), None) => return Ok(None),
        (DocumentOperations::Single(_), Some(_)) => {
            return refuse("The operation has no name, but one is asked for.".to_owned());
        }
        (DocumentOperations::Multiple(several), _) => several,
    };
    let name = match name {
        Some(name) => name.to_owned(),
        None if several.len() == 1 => several
            .keys()
            .next()
            .map(Name::to_string)
            .unwrap_or_default(),
        None => return refuse("Several operations: say which by operationName.".to_owned()),
    };
    let only = several.len() == 1;
    let Some(chosen) = several.remove(name.as_str()) else {
        return refuse("There is no operation of this name.".to_owned());
    };
    if !only {
        let used = fragments_of(document, &chosen.node);
        document
            .fragments
            .retain(|name, _| used.contains(name.as_str()));
    }
    document.operations = DocumentOperations::Single(chosen);
    Ok(Some(name))
}

/// The names of the fragments that an operation spreads, however far down.
fn fragments_of(document: &ExecutableDocument, operation: &OperationDefinition) -> HashSet<String> {
    let mut used = HashSet::new();
    let mut sets = vec![&operation.selection_set.node];
    while let Some(set) = sets.pop() {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => sets.push(&field.node.selection_set.node),
                Selection::InlineFragment(inline) => sets.push(&inline.node.selection_set.node),
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if used.insert(name.to_string()) {
                        let fragment = document.fragments.get(name);
                        sets.extend(fragment.map(|fragment| &fragment.node.selection_set.node));
                    }
                }
            }
        }
    }
    used
}

/// Collects the name of each field that is not within another. Only for what
/// [`check_operation`] let pass: it bounds how many there are.
fn collect(document: &ExecutableDocument, set: &SelectionSet, found: &mut Vec<String>) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => found.push(field.node.name.node.to_string()),
            Selection::InlineFragment(inline) => {
                collect(document, &inline.node.selection_set.node, found);
            }
            Selection::FragmentSpread(spread) => {
                if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) {
                    collect(document, &fragment.node.selection_set.node, found);
                }
            }
        }
    }
}

/// The parser explains over several lines; where it stopped is enough.
fn parse_error(error: &ParserError) -> Error {
    let at = error.positions().next();
    Error::GraphqlParseFailed(at.map_or_else(
        || "The document is not GraphQL.".to_owned(),
        |at| {
            format!(
                "The document is not GraphQL at line {}, column {}.",
                at.line, at.column
            )
        },
    ))
}
