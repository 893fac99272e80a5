//! DocumentCache that were parsed and checked, to be executed again without either.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::mem::size_of;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, FragmentDefinition, OperationDefinition, OperationType,
    Selection, SelectionSet,
};
use async_graphql::parser::{Error as ParserError, parse_query};
use async_graphql::registry::Registry;
use async_graphql::{Name, Positioned, SchemaEnv, ValidationResult};
use prometheus_client::metrics::counter::Counter;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::config::Limits;
use crate::error::Error;
use crate::graphql::document_limits::{check_operation, check_text};

/// What an entry takes beside the document: its places in tables and lists, and what the allocator
/// rounds up.
const OVERHEAD: usize = 1024;

/// One operation of a document, with the fragments that it uses.
pub(crate) struct Document {
    pub(crate) operation_type: OperationType,
    /// The operation's own, if it has one.
    pub(crate) name: Option<String>,
    /// The names, not the aliases, of what it asks the root for.
    pub(crate) root_fields: Vec<Arc<str>>,
    /// The same, as the log has them.
    pub(crate) fields: String,
    /// Of its root fields, by whether they succeeded: set by whoever counts them.
    pub(crate) counters: [OnceLock<Vec<Counter>>; 2],
    /// How often `__typename` has an alias, with the fragments spread out.
    typename_aliases: usize,
    most_complexity: usize,
    parsed: ExecutableDocument,
    /// Set once validation found nothing wrong; with nothing in it if it may yet find something else
    /// with other variables.
    valid: OnceLock<Option<ValidatedDocument>>,
    bytes: usize,
}

/// What is known of a document that is valid in a schema, whatever its variables are.
pub(super) struct ValidatedDocument {
    pub(super) found: ValidationResult,
    pub(super) schema: SchemaEnv,
    /// The operation without its selections, if it is a query that needs nothing of the library but the
    /// resolvers: no directives, and no introspection.
    pub(super) fast_path: Option<Positioned<OperationDefinition>>,
    /// Whether a field in it may be null.
    pub(super) has_nullable: bool,
    /// Whether such a field has erred.
    erred: AtomicBool,
}

impl ValidatedDocument {
    /// Notes that a field erred: another that may be null may hold the error back, which takes the hooks.
    pub(super) fn has_erred(&self) {
        self.erred.store(true, Ordering::Relaxed);
    }
}

impl Document {
    /// Parses a text, and checks the operation against the limits.
    fn read(text: &str, name: Option<&str>, limits: &Limits) -> Result<Self, Error> {
        let tokens = check_text(text, limits)?;
        let mut parsed = parse_query(text).map_err(|error| parse_error(&error))?;
        let name = choose(&mut parsed, name)?;
        let DocumentOperations::Single(chosen) = &parsed.operations else {
            return Err(Error::internal("no operation was chosen"));
        };
        let chosen = &chosen.node;
        let typename_aliases = check_operation(&parsed, chosen, limits)?;
        let mut root_fields = Vec::new();
        collect(&parsed, &chosen.selection_set.node, &mut root_fields);
        Ok(Self {
            operation_type: chosen.ty,
            name,
            fields: root_fields.join(","),
            root_fields,
            counters: Default::default(),
            // The largest node for each token, in lists that are half empty.
            bytes: 2 * text.len() + 2 * tokens * size_of::<Positioned<Selection>>() + OVERHEAD,
            typename_aliases,
            most_complexity: limits.complexity,
            parsed,
            valid: OnceLock::new(),
        })
    }

    /// What kind of operation it is, in GraphQL's word for it.
    pub(crate) fn kind(&self) -> &'static str {
        match self.operation_type {
            OperationType::Query => "query",
            OperationType::Mutation => "mutation",
            OperationType::Subscription => "subscription",
        }
    }

    /// The memory that it takes, at most.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The names of the variables that the operation declares.
    pub(super) fn variables(&self) -> impl Iterator<Item = &Name> {
        let declared = self
            .operation()
            .map(|operation| &operation.variable_definitions);
        let declared = declared.into_iter().flatten();
        declared.map(|definition| &definition.node.name.node)
    }

    /// What the library executes: it takes a document apart.
    pub(super) fn parsed(&self) -> ExecutableDocument {
        self.parsed.clone()
    }

    pub(super) fn operation(&self) -> Option<&OperationDefinition> {
        match &self.parsed.operations {
            DocumentOperations::Single(operation) => Some(&operation.node),
            DocumentOperations::Multiple(_) => None,
        }
    }

    pub(super) fn selection_set(&self) -> Option<&Positioned<SelectionSet>> {
        self.operation().map(|operation| &operation.selection_set)
    }

    pub(super) fn fragments(&self) -> &HashMap<Name, Positioned<FragmentDefinition>> {
        &self.parsed.fragments
    }

    /// What is known of it once it was executed.
    pub(super) fn known(&self) -> Option<&ValidatedDocument> {
        self.valid.get()?.as_ref()
    }

    /// The same, and how to begin, if it can be executed without the library's detours.
    pub(super) fn fast_path(
        &self,
    ) -> Option<(&ValidatedDocument, &Positioned<OperationDefinition>)> {
        let known = self.known()?;
        let operation = known.fast_path.as_ref()?;
        (!known.erred.load(Ordering::Relaxed)).then_some((known, operation))
    }

    /// Whether the complexity is within its limit. The library has counted `__typename` as nothing. It can
    /// have many aliases in each entry of a list, and there are no more entries than were counted.
    pub(super) fn is_within_complexity(&self, counted: usize) -> bool {
        counted.saturating_mul(self.typename_aliases.saturating_add(1)) <= self.most_complexity
    }

    /// Notes that validation found nothing wrong. It may yet find something else with other variables:
    /// their values are checked with each request, but what a field costs may hang on them.
    pub(super) fn is_valid(&self, found: ValidationResult, schema: &SchemaEnv) {
        self.valid.get_or_init(|| {
            let registry = &schema.registry;
            let (costs_hang_on_variables, has_nullable) = self.look_at_fields(registry);
            (!costs_hang_on_variables).then(|| ValidatedDocument {
                found,
                schema: schema.clone(),
                fast_path: self.without_selections(),
                has_nullable,
                erred: AtomicBool::new(false),
            })
        });
    }

    fn selections(&self) -> impl Iterator<Item = &Selection> {
        let fragments = self.parsed.fragments.values();
        let sets = fragments.map(|fragment| &fragment.node.selection_set.node);
        let own = self.operation();
        sets.chain(own.map(|operation| &operation.selection_set.node))
            .flat_map(below)
    }

    /// Whether the costs of a field hang on variables, and whether a field may be null. A field of
    /// another type that has the same name counts as well.
    fn look_at_fields(&self, registry: &Registry) -> (bool, bool) {
        let (mut costs_hang_on_variables, mut has_nullable) = (false, false);
        for selection in self.selections() {
            let Selection::Field(field) = selection else {
                continue;
            };
            let field = &field.node;
            let values = field.arguments.iter().map(|(_, value)| &value.node);
            let has_variables = values
                .into_iter()
                .any(|value| value.clone().into_const().is_none());
            let types = registry.types.iter();
            let types = types.filter(|(name, _)| !name.starts_with("__"));
            for defined in types.filter_map(|(_, defined)| defined.field_by_name(&field.name.node))
            {
                costs_hang_on_variables |= has_variables && defined.compute_complexity.is_some();
                // Neither it nor what is in its lists may be, if there is a mark for each of them.
                let of = |mark| defined.ty.matches(mark).count();
                has_nullable |= of('!') <= of('[');
            }
        }
        (costs_hang_on_variables, has_nullable)
    }

    fn without_selections(&self) -> Option<Positioned<OperationDefinition>> {
        let has_directives = |selection: &Selection| !selection.directives().is_empty();
        let is_the_librarys =
            |field: &Arc<str>| field.starts_with('_') && field.as_ref() != "__typename";
        if self.operation_type != OperationType::Query
            || self.selections().any(has_directives)
            || self.root_fields.iter().any(is_the_librarys)
        {
            return None;
        }
        let DocumentOperations::Single(operation) = &self.parsed.operations else {
            return None;
        };
        let OperationDefinition {
            ty,
            variable_definitions,
            directives,
            ..
        } = &operation.node;
        let bare = OperationDefinition {
            ty: *ty,
            variable_definitions: variable_definitions.clone(),
            directives: directives.clone(),
            selection_set: Positioned::default(),
        };
        Some(Positioned::new(bare, operation.pos))
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, fields) = (self.kind(), &self.root_fields);
        write!(f, "Document({kind} {:?} of {fields:?})", self.name)
    }
}

/// A text, and the name of the operation that is asked for.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    text: String,
    name: Option<String>,
}

/// The same, of somebody else.
#[derive(Hash)]
struct Asked<'a> {
    text: &'a str,
    name: Option<&'a str>,
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.text == key.text && self.name == key.name.as_deref()
    }
}

/// The documents that were valid, bounded in bytes. Nothing of who asked is in them, nor of the values of
/// variables.
pub(crate) struct DocumentCache(Cache<Key, Arc<Document>, Bytes>);

impl DocumentCache {
    /// With room for so many bytes; for nothing if there are none.
    pub(crate) fn new(bytes: u64) -> Self {
        let most = usize::try_from(bytes).unwrap_or(usize::MAX) / OVERHEAD;
        Self(Cache::with_weighter(most, bytes, Bytes))
    }

    /// The document, and what to keep it by if it is a new one that turns out to be valid.
    pub(super) fn find(
        &self,
        text: &str,
        name: Option<&str>,
        limits: &Limits,
    ) -> Result<(Arc<Document>, Option<Key>), Error> {
        if let Some(known) = self.0.get(&Asked { text, name }) {
            return Ok((known, None));
        }
        let document = Document::read(text, name, limits)?;
        let key = Key {
            text: text.to_owned(),
            name: name.map(str::to_owned),
        };
        Ok((Arc::new(document), Some(key)))
    }

    /// Keeps a document, if it turned out to be valid.
    pub(super) fn keep(&self, key: Key, document: &Arc<Document>) {
        if document.valid.get().is_some() {
            self.0.insert(key, Arc::clone(document));
        }
    }

    /// The bytes that are taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.weight()
    }
}

#[derive(Clone, Copy)]
struct Bytes;

impl Weighter<Key, Arc<Document>> for Bytes {
    fn weight(&self, _: &Key, document: &Arc<Document>) -> u64 {
        document.bytes as u64
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
        for selection in below(set) {
            if let Selection::FragmentSpread(spread) = selection {
                let name = &spread.node.fragment_name.node;
                if used.insert(name.to_string()) {
                    let fragment = document.fragments.get(name);
                    sets.extend(fragment.map(|fragment| &fragment.node.selection_set.node));
                }
            }
        }
    }
    used
}

/// All selections of a set, however far down; what fragments spread is not in it.
fn below(set: &SelectionSet) -> Vec<&Selection> {
    let (mut found, mut sets) = (Vec::new(), vec![set]);
    while let Some(set) = sets.pop() {
        for selection in &set.items {
            found.push(&selection.node);
            match &selection.node {
                Selection::Field(field) => sets.push(&field.node.selection_set.node),
                Selection::InlineFragment(inline) => sets.push(&inline.node.selection_set.node),
                Selection::FragmentSpread(_) => {}
            }
        }
    }
    found
}

/// Collects the name of each field that is not within another. Only for what
/// [`check_operation`] let pass: it bounds how many there are.
fn collect(document: &ExecutableDocument, set: &SelectionSet, found: &mut Vec<Arc<str>>) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => found.push(field.node.name.node.as_str().into()),
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
