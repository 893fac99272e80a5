// STOP: the approach changes, read /work/notes/23/gql-redirect.md first
//! Parses documents ([GraphQL specification, section 2](https://spec.graphql.org/September2025/#sec-Language)).

use async_graphql::parser::types::OperationType;

use crate::config::Limits;
use crate::error::{Error, Position};
use crate::graphql::syntax::ast::{
    Argument, Directive, Document, Field, Fragment, InlineFragment, Name, Operation, Selection,
    SelectionSet, Spread, Type, Value, ValueKind, VariableDefinition,
};
use crate::graphql::syntax::lexer::{Lexer, Token, syntax_error};

/// Parses a document, and checks the limits on its text. Each level of recursion reads an opening bracket,
/// and the lexer limits the nesting of brackets.
pub(crate) fn parse<'a>(text: &'a str, limits: &'a Limits) -> Result<Document<'a>, Error> {
    let mut lexer = Lexer::new(text, limits)?;
    let (token, position) = lexer.read()?;
    let mut parser = Parser {
        lexer,
        token,
        position,
    };
    let mut document = Document::default();
    loop {
        parser.definition(&mut document)?;
        if parser.token == Token::End {
            document.tokens = parser.lexer.tokens;
            return Ok(document);
        }
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The next token.
    token: Token<'a>,
    /// The position of the next token.
    position: Position,
}

impl<'a> Parser<'a> {
    fn advance(&mut self) -> Result<Token<'a>, Error> {
        let (token, position) = self.lexer.read()?;
        self.position = position;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn error<T>(&self, message: &str) -> Result<T, Error> {
        Err(syntax_error(self.position, message))
    }

    fn is(&self, punctuator: &'static str) -> bool {
        self.token == Token::Punctuator(punctuator)
    }

    /// Reads the punctuator if it is the next token, and returns whether it is.
    fn skip(&mut self, punctuator: &'static str) -> Result<bool, Error> {
        let is_next = self.is(punctuator);
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    fn expect(&mut self, punctuator: &'static str) -> Result<(), Error> {
        if self.skip(punctuator)? {
            return Ok(());
        }
        self.error(&format!("expected `{punctuator}`"))
    }

    fn name(&mut self) -> Result<Name<'a>, Error> {
        let Token::Name(text) = self.token else {
            return self.error("expected a name");
        };
        let position = self.position;
        self.advance()?;
        Ok(Name { text, position })
    }

    /// Reads items up to `close`. The opening bracket must be the next token.
    fn items<T>(
        &mut self,
        close: &'static str,
        item: impl Fn(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.advance()?;
        let mut items = Vec::new();
        while !self.skip(close)? {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Reads at least one item between brackets. If `open` is not the next token, there are no items.
    fn optional_items<T>(
        &mut self,
        open: &'static str,
        close: &'static str,
        item: impl Fn(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        if self.skip(open)? {
            items.push(item(self)?);
            while !self.skip(close)? {
                items.push(item(self)?);
            }
        }
        Ok(items)
    }

    fn definition(&mut self, document: &mut Document<'a>) -> Result<(), Error> {
        let position = self.position;
        let has_description = matches!(self.token, Token::String(_));
        if has_description {
            self.advance()?;
        }
        let unexpected = "expected a query, a mutation, a subscription or a fragment";
        let ty = match self.token {
            Token::Punctuator("{") if !has_description => {
                document.operations.push(Operation {
                    position,
                    ty: OperationType::Query,
                    name: None,
                    variables: Vec::new(),
                    directives: Vec::new(),
                    selections: self.selection_set()?,
                });
                return Ok(());
            }
            Token::Name("query") => OperationType::Query,
            Token::Name("mutation") => OperationType::Mutation,
            Token::Name("subscription") => OperationType::Subscription,
            Token::Name("fragment") => {
                document.fragments.push(self.fragment(position)?);
                return Ok(());
            }
            Token::Name(_) | Token::Punctuator("{") => {
                return Err(syntax_error(position, unexpected));
            }
            _ => return self.error(unexpected),
        };
        self.advance()?;
        let name = match self.token {
            Token::Name(_) => Some(self.name()?),
            _ => None,
        };
        document.operations.push(Operation {
            position,
            ty,
            name,
            variables: self.optional_items("(", ")", Self::variable_definition)?,
            directives: self.directives(false)?,
            selections: self.selection_set()?,
        });
        Ok(())
    }

    fn fragment(&mut self, position: Position) -> Result<Fragment<'a>, Error> {
        self.advance()?;
        if self.token == Token::Name("on") {
            return self.error("a fragment cannot be named `on`");
        }
        let name = self.name()?;
        if self.token != Token::Name("on") {
            return self.error("expected `on`");
        }
        self.advance()?;
        Ok(Fragment {
            position,
            name,
            on: self.name()?,
            directives: self.directives(false)?,
            selections: self.selection_set()?,
        })
    }

    fn variable_definition(&mut self) -> Result<VariableDefinition<'a>, Error> {
        let position = self.position;
        if matches!(self.token, Token::String(_)) {
            self.advance()?;
        }
        self.expect("$")?;
        let name = self.name()?;
        self.expect(":")?;
        let ty = self.ty()?;
        let default = if self.skip("=")? {
            Some(self.value(true)?)
        } else {
            None
        };
        Ok(VariableDefinition {
            position,
            name,
            ty,
            default,
            directives: self.directives(true)?,
        })
    }

    fn ty(&mut self) -> Result<Type<'a>, Error> {
        let position = self.position;
        let (mut text, name) = if self.skip("[")? {
            let item = self.ty()?;
            self.expect("]")?;
            (format!("[{}]", item.text), item.name)
        } else {
            let name = self.name()?;
            (name.text.to_owned(), name)
        };
        if self.skip("!")? {
            text.push('!');
        }
        Ok(Type {
            position,
            text,
            name,
        })
    }

    fn selection_set(&mut self) -> Result<SelectionSet<'a>, Error> {
        let position = self.position;
        if !self.is("{") {
            return self.error("expected `{`");
        }
        Ok(SelectionSet {
            position,
            items: self.optional_items("{", "}", Self::selection)?,
        })
    }

    fn selection(&mut self) -> Result<Selection<'a>, Error> {
        let position = self.position;
        if !self.skip("...")? {
            return Ok(Selection::Field(self.field()?));
        }
        let has_condition = self.token == Token::Name("on");
        if matches!(self.token, Token::Name(_)) && !has_condition {
            return Ok(Selection::Spread(Spread {
                position,
                name: self.name()?,
                directives: self.directives(false)?,
            }));
        }
        let on = if has_condition {
            self.advance()?;
            Some(self.name()?)
        } else {
            None
        };
        Ok(Selection::Inline(InlineFragment {
            position,
            on,
            directives: self.directives(false)?,
            selections: self.selection_set()?,
        }))
    }

    fn field(&mut self) -> Result<Field<'a>, Error> {
        let first = self.name()?;
        let (alias, name) = if self.skip(":")? {
            (Some(first), self.name()?)
        } else {
            (None, first)
        };
        Ok(Field {
            position: first.position,
            alias,
            name,
            arguments: self.optional_items("(", ")", |parser| parser.argument(false))?,
            directives: self.directives(false)?,
            selections: if self.is("{") {
                Some(self.selection_set()?)
            } else {
                None
            },
        })
    }

    fn directives(&mut self, is_constant: bool) -> Result<Vec<Directive<'a>>, Error> {
        let mut directives = Vec::new();
        while self.is("@") {
            let position = self.position;
            self.advance()?;
            directives.push(Directive {
                position,
                name: self.name()?,
                arguments: self.optional_items("(", ")", |parser| parser.argument(is_constant))?,
            });
        }
        Ok(directives)
    }

    /// Reads an argument or a field of an input object.
    fn argument(&mut self, is_constant: bool) -> Result<Argument<'a>, Error> {
        let name = self.name()?;
        self.expect(":")?;
        Ok(Argument {
            name,
            value: self.value(is_constant)?,
        })
    }

    fn value(&mut self, is_constant: bool) -> Result<Value<'a>, Error> {
        let position = self.position;
        let kind = match self.token {
            Token::Punctuator("[") => {
                ValueKind::List(self.items("]", |parser| parser.value(is_constant))?)
            }
            Token::Punctuator("{") => {
                ValueKind::Object(self.items("}", |parser| parser.argument(is_constant))?)
            }
            Token::Punctuator("$") if is_constant => {
                return self.error("a constant value cannot contain a variable");
            }
            Token::Punctuator("$") => {
                self.advance()?;
                ValueKind::Variable(self.name()?.text)
            }
            Token::Punctuator(_) | Token::End => return self.error("expected a value"),
            Token::Name(_) | Token::Int(_) | Token::Float(_) | Token::String(_) => {
                match self.advance()? {
                    Token::Int(number) => ValueKind::Int(number),
                    Token::Float(number) => ValueKind::Float(number),
                    Token::String(text) => ValueKind::String(text),
                    Token::Name("true") => ValueKind::Boolean(true),
                    Token::Name("false") => ValueKind::Boolean(false),
                    Token::Name(name) if name != "null" => ValueKind::Enum(name),
                    _ => ValueKind::Null,
                }
            }
        };
        Ok(Value { position, kind })
    }
}
