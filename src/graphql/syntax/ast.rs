//! The abstract syntax tree of a document, with the position of each node. The tree borrows from the text.

use async_graphql::parser::types::OperationType;

use crate::error::Position;

/// A document that contains only operations and fragments.
#[derive(Debug, Default)]
pub(in crate::graphql) struct Document<'a> {
    pub(in crate::graphql) operations: Vec<Operation<'a>>,
    pub(in crate::graphql) fragments: Vec<Fragment<'a>>,
    /// The number of lexical tokens in the document.
    pub(in crate::graphql) tokens: usize,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::graphql) struct Name<'a> {
    pub(in crate::graphql) text: &'a str,
    pub(in crate::graphql) position: Position,
}

#[derive(Debug)]
pub(in crate::graphql) struct Operation<'a> {
    pub(in crate::graphql) position: Position,
    pub(in crate::graphql) ty: OperationType,
    pub(in crate::graphql) name: Option<Name<'a>>,
    pub(in crate::graphql) variables: Vec<VariableDefinition<'a>>,
    pub(in crate::graphql) directives: Vec<Directive<'a>>,
    pub(in crate::graphql) selections: SelectionSet<'a>,
}

#[derive(Debug)]
pub(in crate::graphql) struct Fragment<'a> {
    pub(in crate::graphql) position: Position,
    pub(in crate::graphql) name: Name<'a>,
    /// The type condition.
    pub(in crate::graphql) on: Name<'a>,
    pub(in crate::graphql) directives: Vec<Directive<'a>>,
    pub(in crate::graphql) selections: SelectionSet<'a>,
}

#[derive(Debug)]
pub(in crate::graphql) struct VariableDefinition<'a> {
    pub(in crate::graphql) position: Position,
    pub(in crate::graphql) name: Name<'a>,
    pub(in crate::graphql) ty: Type<'a>,
    pub(in crate::graphql) default: Option<Value<'a>>,
    pub(in crate::graphql) directives: Vec<Directive<'a>>,
}

/// The type of a variable.
#[derive(Debug)]
pub(in crate::graphql) struct Type<'a> {
    pub(in crate::graphql) position: Position,
    /// The type without spaces, for example `[Int!]`.
    pub(in crate::graphql) text: String,
    /// The name in the type, for example `Int`.
    pub(in crate::graphql) name: Name<'a>,
}

#[derive(Debug)]
pub(in crate::graphql) struct SelectionSet<'a> {
    pub(in crate::graphql) position: Position,
    pub(in crate::graphql) items: Vec<Selection<'a>>,
}

#[derive(Debug)]
pub(in crate::graphql) enum Selection<'a> {
    Field(Field<'a>),
    Spread(Spread<'a>),
    Inline(InlineFragment<'a>),
}

#[derive(Debug)]
pub(in crate::graphql) struct Field<'a> {
    pub(in crate::graphql) position: Position,
    pub(in crate::graphql) alias: Option<Name<'a>>,
    pub(in crate::graphql) name: Name<'a>,
    pub(in crate::graphql) arguments: Vec<Argument<'a>>,
    pub(in crate::graphql) directives: Vec<Directive<'a>>,
    pub(in crate::graphql) selections: Option<SelectionSet<'a>>,
}

impl<'a> Field<'a> {
    /// Returns the name of the field in the response.
    pub(in crate::graphql) fn response_name(&self) -> &'a str {
        self.alias.unwrap_or(self.name).text
    }
}

#[derive(Debug)]
pub(in crate::graphql) struct Spread<'a> {
    pub(in crate::graphql) position: Position,
    pub(in crate::graphql) name: Name<'a>,
    pub(in crate::graphql) directives: Vec<Directive<'a>>,
}

#[derive(Debug)]
pub(in crate::graphql) struct InlineFragment<'a> {
    pub(in crate::graphql) position: Position,
    /// The type condition.
    pub(in crate::graphql) on: Option<Name<'a>>,
    pub(in crate::graphql) directives: Vec<Directive<'a>>,
    pub(in crate::graphql) selections: SelectionSet<'a>,
}

#[derive(Debug)]
pub(in crate::graphql) struct Directive<'a> {
    pub(in crate::graphql) position: Position,
    pub(in crate::graphql) name: Name<'a>,
    pub(in crate::graphql) arguments: Vec<Argument<'a>>,
}

/// An argument, or a field of an input object.
#[derive(Debug)]
pub(in crate::graphql) struct Argument<'a> {
    pub(in crate::graphql) name: Name<'a>,
    pub(in crate::graphql) value: Value<'a>,
}

#[derive(Debug)]
pub(in crate::graphql) struct Value<'a> {
    pub(in crate::graphql) position: Position,
    pub(in crate::graphql) kind: ValueKind<'a>,
}

#[derive(Debug)]
pub(in crate::graphql) enum ValueKind<'a> {
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
