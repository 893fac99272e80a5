//! The rule that fields with the same name in the response can be merged
//! ([GraphQL specification, section
//! 5.3.2](https://spec.graphql.org/September2025/#sec-Field-Selection-Merging)). The algorithm is that of
//! graphql-js, because another algorithm would report other positions.

use std::collections::HashMap;
use std::rc::Rc;

use async_graphql::registry::{MetaType, Registry};

use crate::config::Limits;
use crate::error::Error;
use crate::graphql::document_limits::check_limit;
use crate::graphql::syntax::ast::{Document, Field, Fragment, Selection, SelectionSet};
use crate::graphql::validation::mergeable_fields::{
    Collected, Conflict, Conflicts, Selected, are_equal_arguments, do_types_conflict, merge,
};
use crate::graphql::validation::types::{FieldDefinition, composite, named, root_type};
use crate::graphql::validation::validator::Validator;

/// The maximum number of fields, fragments and values to compare. A document of 30 KB can contain a million
/// pairs. The limit corresponds to 0.1 s in an unoptimized program.
const MAX_COMPARISONS: usize = 100_000;

impl<'d> Validator<'d> {
    pub(super) fn check_overlapping_fields(
        &mut self,
        document: &'d Document<'d>,
        limits: &Limits,
    ) -> Result<(), Error> {
        let mut comparison = Comparison {
            registry: self.registry,
            fragments: &self.fragments,
            max_nesting: limits.nesting,
            nesting: 0,
            comparisons: 0,
            collected: HashMap::new(),
            compared_fragments: HashMap::new(),
            compared_fields: HashMap::new(),
        };
        let mut conflicts = Vec::new();
        for operation in &document.operations {
            let root = root_type(self.registry, operation.ty);
            comparison.visit(root, &operation.selections, false, &mut conflicts)?;
        }
        for fragment in &document.fragments {
            let parent = composite(self.registry, fragment.on.text);
            comparison.visit(parent, &fragment.selections, false, &mut conflicts)?;
        }
        for conflict in conflicts {
            let message = format!(
                "The fields \"{}\" conflict: {}. Use different aliases.",
                conflict.name, conflict.reason
            );
            self.report([conflict.one, conflict.other].concat(), message);
        }
        Ok(())
    }
}

struct Comparison<'a, 'd> {
    registry: &'d Registry,
    fragments: &'a HashMap<&'d str, &'d Fragment<'d>>,
    max_nesting: usize,
    nesting: usize,
    comparisons: usize,
    /// The collected fields by the address of the selection set.
    collected: HashMap<*const SelectionSet<'d>, Rc<Collected<'d>>>,
    /// The pairs of fragments that have been compared, and whether as mutually exclusive.
    compared_fragments: HashMap<(&'d str, &'d str), bool>,
    /// The pairs of a selection set and a fragment that have been compared, and whether as mutually
    /// exclusive.
    compared_fields: HashMap<(*const Collected<'d>, &'d str), bool>,
}

impl<'d> Comparison<'_, 'd> {
    /// Compares the fields within a selection set and within the selection sets of its fields.
    fn visit(
        &mut self,
        parent: Option<&'d MetaType>,
        set: &'d SelectionSet<'d>,
        is_inline: bool,
        conflicts: &mut Conflicts<'d>,
    ) -> Result<(), Error> {
        // The fields of an inline fragment are compared with those of the selection set that contains it.
        if !is_inline {
            let collected = self.collect(parent, set);
            for (name, fields) in &collected.fields {
                for (index, one) in fields.iter().enumerate() {
                    for other in &fields[index + 1..] {
                        conflicts.extend(self.conflict(false, name, *one, *other)?);
                    }
                }
            }
            for (index, name) in collected.fragments.iter().enumerate() {
                self.fields_and_fragment(false, &collected, name, conflicts)?;
                for other in &collected.fragments[index + 1..] {
                    self.two_fragments(false, name, other, conflicts)?;
                }
            }
        }
        for selection in &set.items {
            match selection {
                Selection::Field(field) => {
                    if let Some(set) = &field.selections {
                        let definition =
                            parent.and_then(|parent| FieldDefinition::of(parent, field.name.text));
                        let ty = definition.and_then(|field| composite(self.registry, field.ty));
                        self.visit(ty, set, false, conflicts)?;
                    }
                }
                Selection::Inline(inline) => {
                    let on = match inline.on {
                        Some(on) => composite(self.registry, on.text),
                        None => parent,
                    };
                    self.visit(on, &inline.selections, true, conflicts)?;
                }
                Selection::Spread(_) => {}
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), Error> {
        self.comparisons += 1;
        check_limit("selections", self.comparisons, MAX_COMPARISONS)
    }

    fn have_equal_arguments(&mut self, one: &Field<'d>, other: &Field<'d>) -> Result<bool, Error> {
        let comparisons = &mut self.comparisons;
        let are_equal = are_equal_arguments(&one.arguments, &other.arguments, comparisons);
        self.count()?;
        Ok(are_equal)
    }

    fn fields_and_fragment(
        &mut self,
        is_exclusive: bool,
        collected: &Rc<Collected<'d>>,
        name: &'d str,
        conflicts: &mut Conflicts<'d>,
    ) -> Result<(), Error> {
        self.count()?;
        let key = (Rc::as_ptr(collected), name);
        if has_been_compared(self.compared_fields.get(&key), is_exclusive) {
            return Ok(());
        }
        self.compared_fields.insert(key, is_exclusive);
        let Some(other) = self.collect_fragment(name) else {
            return Ok(());
        };
        if Rc::ptr_eq(collected, &other) {
            return Ok(());
        }
        self.between(is_exclusive, collected, &other, conflicts)?;
        self.nested(|this| {
            for name in &other.fragments {
                this.fields_and_fragment(is_exclusive, collected, name, conflicts)?;
            }
            Ok(())
        })
    }

    fn two_fragments(
        &mut self,
        is_exclusive: bool,
        one: &'d str,
        other: &'d str,
        conflicts: &mut Conflicts<'d>,
    ) -> Result<(), Error> {
        self.count()?;
        let key = (one.min(other), one.max(other));
        if one == other || has_been_compared(self.compared_fragments.get(&key), is_exclusive) {
            return Ok(());
        }
        self.compared_fragments.insert(key, is_exclusive);
        let fields = (self.collect_fragment(one), self.collect_fragment(other));
        let (Some(fields), Some(other_fields)) = fields else {
            return Ok(());
        };
        self.between(is_exclusive, &fields, &other_fields, conflicts)?;
        self.nested(|this| {
            for nested in &other_fields.fragments {
                this.two_fragments(is_exclusive, one, nested, conflicts)?;
            }
            for nested in &fields.fragments {
                this.two_fragments(is_exclusive, nested, other, conflicts)?;
            }
            Ok(())
        })
    }

    /// Compares the fields of two selection sets, without those of their fragments.
    fn between(
        &mut self,
        is_exclusive: bool,
        one: &Collected<'d>,
        other: &Collected<'d>,
        conflicts: &mut Conflicts<'d>,
    ) -> Result<(), Error> {
        for (name, fields) in &one.fields {
            self.count()?;
            let Some(index) = other.indices.get(name) else {
                continue;
            };
            for one in fields {
                for other in &other.fields[*index].1 {
                    conflicts.extend(self.conflict(is_exclusive, name, *one, *other)?);
                }
            }
        }
        Ok(())
    }

    fn conflict(
        &mut self,
        is_exclusive: bool,
        name: &'d str,
        one: Selected<'d>,
        other: Selected<'d>,
    ) -> Result<Option<Conflict<'d>>, Error> {
        self.count()?;
        // An object has one type, so only one of the fields is selected on it.
        let is_exclusive = is_exclusive
            || match (one.parent, other.parent) {
                (Some(one @ MetaType::Object { .. }), Some(other @ MetaType::Object { .. })) => {
                    one.name() != other.name()
                }
                _ => false,
            };
        let conflict = |reason: String| {
            Some(Conflict {
                name,
                reason,
                one: vec![one.field.position],
                other: vec![other.field.position],
            })
        };
        if !is_exclusive {
            if one.field.name.text != other.field.name.text {
                return Ok(conflict("they are different fields".to_owned()));
            }
            if !self.have_equal_arguments(one.field, other.field)? {
                return Ok(conflict("they have different arguments".to_owned()));
            }
        }
        let types = (one.definition, other.definition);
        let types = types.0.zip(types.1).map(|(one, other)| (one.ty, other.ty));
        if let Some((one, other)) = types
            && do_types_conflict(self.registry, one, other)
        {
            let reason = format!("their types \"{one}\" and \"{other}\" are different");
            return Ok(conflict(reason));
        }
        let (Some(one_set), Some(other_set)) = (&one.field.selections, &other.field.selections)
        else {
            return Ok(None);
        };
        let registry = self.registry;
        let ty = |selected: Selected<'d>| {
            let definition = selected.definition?;
            named(registry, definition.ty)
        };
        let one_fields = self.collect(ty(one), one_set);
        let other_fields = self.collect(ty(other), other_set);
        let nested =
            self.nested(|this| this.sub_selections(is_exclusive, &one_fields, &other_fields))?;
        Ok(merge(nested, name, one.field, other.field))
    }

    fn sub_selections(
        &mut self,
        is_exclusive: bool,
        one: &Rc<Collected<'d>>,
        other: &Rc<Collected<'d>>,
    ) -> Result<Conflicts<'d>, Error> {
        let mut conflicts = Vec::new();
        self.between(is_exclusive, one, other, &mut conflicts)?;
        for name in &other.fragments {
            self.fields_and_fragment(is_exclusive, one, name, &mut conflicts)?;
        }
        for name in &one.fragments {
            self.fields_and_fragment(is_exclusive, other, name, &mut conflicts)?;
        }
        for one in &one.fragments {
            for other in &other.fragments {
                self.two_fragments(is_exclusive, one, other, &mut conflicts)?;
            }
        }
        Ok(conflicts)
    }

    /// Runs a nested comparison. The nesting is limited, because each level uses the stack.
    fn nested<T>(
        &mut self,
        compare: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.nesting += 1;
        check_limit("nesting", self.nesting, self.max_nesting)?;
        let result = compare(self);
        self.nesting -= 1;
        result
    }

    fn collect_fragment(&mut self, name: &str) -> Option<Rc<Collected<'d>>> {
        let fragment = *self.fragments.get(name)?;
        let parent = composite(self.registry, fragment.on.text);
        Some(self.collect(parent, &fragment.selections))
    }

    fn collect(
        &mut self,
        parent: Option<&'d MetaType>,
        set: &'d SelectionSet<'d>,
    ) -> Rc<Collected<'d>> {
        if let Some(collected) = self.collected.get(&std::ptr::from_ref(set)) {
            return Rc::clone(collected);
        }
        let mut collected = Collected::default();
        collected.add(self.registry, parent, set);
        let collected = Rc::new(collected);
        let key = std::ptr::from_ref(set);
        self.collected.insert(key, Rc::clone(&collected));
        collected
    }
}

/// Returns whether an earlier comparison makes a comparison unnecessary. A comparison of mutually exclusive
/// fields is weaker than one of other fields.
fn has_been_compared(earlier: Option<&bool>, is_exclusive: bool) -> bool {
    earlier.is_some_and(|was_exclusive| is_exclusive || !was_exclusive)
}
