//! The abstract syntax tree of a document, with the position of each node. The tree borrows from the text.

use async_graphql::parser::types::OperationType;

use crate::error::Position;

/// A document that contains only operations and fragments.
#[derive(Debug, Default)]
pub(crate) struct Document<'a> {
    pub(crate) operations: Vec<Operation<'a>>,
    pub(crate) fragments: Vec<Fragment<'a>>,
    /// The number of lexical tokens in the document.
    pub(crate) tokens: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Name<'a> {
    pub(crate) text: &'a str,
    pub(crate) position: Position,
}

#[derive(Debug)]
pub(crate) struct Operation<'a> {
    pub(crate) position: Position,
    pub(crate) ty: OperationType,
    pub(crate) name: Option<Name<'a>>,
    pub(crate) variables: Vec<VariableDefinition<'a>>,
    pub(crate) directives: Vec<Directive<'a>>,
    pub(crate) selections: SelectionSet<'a>,
}

#[derive(Debug)]
pub(crate) struct Fragment<'a> {
    pub(crate) position: Position,
    pub(crate) name: Name<'a>,
    /// The type condition.
    pub(crate) on: Name<'a>,
    pub(crate) directives: Vec<Directive<'a>>,
    pub(crate) selections: SelectionSet<'a>,
}

#[derive(Debug)]
pub(crate) struct VariableDefinition<'a> {
    pub(crate) position: Position,
    pub(crate) name: Name<'a>,
    pub(crate) ty: Type<'a>,
    pub(crate) default: Option<Value<'a>>,
    pub(crate) directives: Vec<Directive<'a>>,
}

/// The type of a variable.
#[derive(Debug)]
pub(crate) struct Type<'a> {
    pub(crate) position: Position,
    /// The type without spaces, for example `[Int!]`.
    pub(crate) text: String,
    /// The name in the type, for example `Int`.
    pub(crate) name: Name<'a>,
}

#[derive(Debug)]
pub(crate) struct SelectionSet<'a> {
    pub(crate) position: Position,
    pub(crate) items: Vec<Selection<'a>>,
}

#[derive(Debug)]
pub(crate) enum Selection<'a> {
    Field(Field<'a>),
    Spread(Spread<'a>),
    Inline(InlineFragment<'a>),
}

#[derive(Debug)]
pub(crate) struct Field<'a> {
    pub(crate) position: Position,
    pub(crate) alias: Option<Name<'a>>,
    pub(crate) name: Name<'a>,
    pub(crate) arguments: Vec<Argument<'a>>,
    pub(crate) directives: Vec<Directive<'a>>,
    pub(crate) selections: Option<SelectionSet<'a>>,
}

impl<'a> Field<'a> {
    /// Returns the name of the field in the response.
    pub(crate) fn response_name(&self) -> &'a str {
        self.alias.unwrap_or(self.name).text
    }
}

#[derive(Debug)]
pub(crate) struct Spread<'a> {
    pub(crate) position: Position,
    pub(crate) name: Name<'a>,
    pub(crate) directives: Vec<Directive<'a>>,
}

#[derive(Debug)]
pub(crate) struct InlineFragment<'a> {
    pub(crate) position: Position,
    /// The type condition.
    pub(crate) on: Option<Name<'a>>,
    pub(crate) directives: Vec<Directive<'a>>,
    pub(crate) selections: SelectionSet<'a>,
}

#[derive(Debug)]
pub(crate) struct Directive<'a> {
    pub(crate) position: Position,
    pub(crate) name: Name<'a>,
    pub(crate) arguments: Vec<Argument<'a>>,
}

/// An argument, or a field of an input object.
#[derive(Debug)]
pub(crate) struct Argument<'a> {
    pub(crate) name: Name<'a>,
    pub(crate) value: Value<'a>,
}

#[derive(Debug)]
pub(crate) struct Value<'a> {
    pub(crate) position: Position,
    pub(crate) kind: ValueKind<'a>,
}

#[derive(Debug)]
pub(crate) enum ValueKind<'a> {
    Variable(&'a str),
    Int(&'a str),
    Float(&'a str),
    String(String),
    Boolean(bool),
    Null,
    Enum(&'a str),
    List(Vec<Value<'a>>),
    Object(Vec<Argument<'a>>),
}
