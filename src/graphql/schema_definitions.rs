//! The types and directives of a schema in the form in which apollo-compiler validates documents.

use std::fmt::Write;

use apollo_compiler::Schema;
use apollo_compiler::validation::Valid;
use async_graphql::SchemaEnv;
use async_graphql::registry::{MetaField, MetaInputValue, MetaType, Registry};

/// The scalars that each schema has (GraphQL specification, section 3.5).
const BUILT_IN_SCALARS: [&str; 5] = ["Int", "Float", "String", "Boolean", "ID"];

/// The types and directives of a schema.
pub(super) struct Definitions {
    pub(super) env: SchemaEnv,
    pub(super) schema: Valid<Schema>,
}

impl Definitions {
    /// Converts the types and directives of a schema. The SDL that async-graphql exports is not used, because it is
    /// malformed if a description or a reason for a deprecation contains quotation marks.
    pub(super) fn new(env: Option<&SchemaEnv>) -> Result<Self, String> {
        let env = env.ok_or("async-graphql ignored an extension")?.clone();
        let schema = Schema::parse_and_validate(sdl(&env.registry), "schema.graphql");
        let schema = schema.map_err(|invalid| invalid.errors.to_string())?;
        Ok(Self { env, schema })
    }
}

/// Returns the definitions without descriptions, deprecations and applied directives.
fn sdl(registry: &Registry) -> String {
    // apollo-compiler 1.33 does not know this field of introspection.
    let mut sdl = "extend type __Type { isOneOf: Boolean }\nschema {".to_owned();
    let roots = [
        ("query", Some(&registry.query_type)),
        ("mutation", registry.mutation_type.as_ref()),
        ("subscription", registry.subscription_type.as_ref()),
    ];
    for (keyword, root) in roots {
        if let Some(root) = root {
            let _ = write!(sdl, " {keyword}: {root}");
        }
    }
    sdl.push_str(" }\n");
    for ty in registry.types.values() {
        if !ty.name().starts_with("__") && !BUILT_IN_SCALARS.contains(&ty.name()) {
            sdl.push_str(&type_definition(registry, ty));
        }
    }
    for directive in registry.directives.values() {
        let _ = write!(sdl, "directive @{}", directive.name);
        sdl.push_str(&arguments(directive.args.values()));
        let repeatable = if directive.is_repeatable {
            "repeatable "
        } else {
            ""
        };
        let locations = directive.locations.iter().map(|it| format!("{it:?}"));
        let _ = writeln!(
            sdl,
            " {repeatable}on {}",
            locations.collect::<Vec<_>>().join(" | ")
        );
    }
    sdl
}

fn type_definition(registry: &Registry, ty: &MetaType) -> String {
    let name = ty.name();
    let implemented = registry.implements.get(name).into_iter().flatten();
    let implemented: Vec<_> = implemented.map(String::as_str).collect();
    let implements = if implemented.is_empty() {
        String::new()
    } else {
        format!(" implements {}", implemented.join(" & "))
    };
    match ty {
        MetaType::Scalar { .. } => format!("scalar {name}\n"),
        MetaType::Object { fields, .. } | MetaType::Interface { fields, .. } => {
            let is_object = matches!(ty, MetaType::Object { .. });
            let keyword = if is_object { "type" } else { "interface" };
            let fields = fields_of(fields.values());
            format!("{keyword} {name}{implements} {{ {fields}}}\n")
        }
        MetaType::Union { possible_types, .. } => {
            let types: Vec<_> = possible_types.iter().map(String::as_str).collect();
            format!("union {name} = {}\n", types.join(" | "))
        }
        MetaType::Enum { enum_values, .. } => {
            let values: Vec<_> = enum_values.keys().map(String::as_str).collect();
            format!("enum {name} {{ {} }}\n", values.join(" "))
        }
        MetaType::InputObject {
            input_fields,
            oneof,
            ..
        } => {
            let directive = if *oneof { " @oneOf" } else { "" };
            format!(
                "input {name}{directive} {{ {} }}\n",
                input_values(input_fields.values())
            )
        }
    }
}

fn fields_of<'f>(fields: impl Iterator<Item = &'f MetaField>) -> String {
    let fields = fields.filter(|field| !field.name.starts_with("__"));
    fields.fold(String::new(), |mut sdl, field| {
        let arguments = arguments(field.args.values());
        let _ = write!(sdl, "{}{arguments}: {} ", field.name, field.ty);
        sdl
    })
}

fn arguments<'v>(values: impl Iterator<Item = &'v MetaInputValue>) -> String {
    let values = input_values(values);
    if values.is_empty() {
        values
    } else {
        format!("({values})")
    }
}

fn input_values<'v>(values: impl Iterator<Item = &'v MetaInputValue>) -> String {
    let values = values.map(|value| match &value.default_value {
        Some(default) => format!("{}: {} = {default}", value.name, value.ty),
        None => format!("{}: {}", value.name, value.ty),
    });
    values.collect::<Vec<_>>().join(" ")
}
