//! Roots without some of their fields.

use std::any::type_name;
use std::borrow::Cow;
use std::marker::PhantomData;

use async_graphql::parser::types::Field;
use async_graphql::registry::{MetaType, MetaTypeId, Registry};
use async_graphql::resolver_utils::resolve_container;
use async_graphql::{
    ContainerType, Context, ContextSelectionSet, ObjectType, OutputType, Positioned, ServerResult,
    Value,
};

/// The fields that [`Omit`] removes from a root.
///
/// ```
/// use symbolon::graphql::OmittedFields;
///
/// struct Registration;
///
/// impl OmittedFields for Registration {
///     const NAMES: &'static [&'static str] = &["createUser", "inviteUser"];
/// }
/// ```
pub trait OmittedFields {
    /// The GraphQL names of the fields, for example `createUser`.
    const NAMES: &'static [&'static str];
}

/// A root to merge, such as [`symbolon::Query`](crate::Query) or [`symbolon::Mutation`](crate::Mutation), without the fields
/// `F`.
///
/// The schema does not contain these fields: neither introspection nor the SDL shows them, and documents that select them are
/// refused. Types that no other field uses are removed with them. The REST endpoints and the command line are not affected.
///
/// ```
/// use async_graphql::{EmptySubscription, MergedObject, Object};
/// use symbolon::graphql::{Omit, OmittedFields};
/// use symbolon::{Query, Symbolon};
///
/// /// Users are created by the application only.
/// struct Registration;
///
/// impl OmittedFields for Registration {
///     const NAMES: &'static [&'static str] = &["createUser", "inviteUser"];
/// }
///
/// #[derive(MergedObject)]
/// struct Mutation(Omit<symbolon::Mutation, Registration>);
///
/// # #[derive(MergedObject)]
/// # struct Root(Query);
/// fn schema(symbolon: &Symbolon) -> symbolon::Schema<Root, Mutation, EmptySubscription> {
///     let mutation = Mutation(Omit::new(symbolon::Mutation));
///     symbolon.schema(Root(Query), mutation, EmptySubscription).finish()
/// }
/// ```
///
/// # Panics
///
/// [`Symbolon::schema`](crate::Symbolon::schema) panics if the root has no field with one of the names, so that a misspelled
/// name does not leave the field in the schema.
#[derive(Debug)]
pub struct Omit<T, F> {
    root: T,
    fields: PhantomData<fn() -> F>,
}

impl<T, F> Omit<T, F> {
    /// Removes the fields from a root.
    ///
    /// ```
    /// # use symbolon::graphql::{Omit, OmittedFields};
    /// # struct Me;
    /// # impl OmittedFields for Me {
    /// #     const NAMES: &'static [&'static str] = &["me"];
    /// # }
    /// let query: Omit<symbolon::Query, Me> = Omit::new(symbolon::Query);
    /// ```
    pub const fn new(root: T) -> Self {
        Self {
            root,
            fields: PhantomData,
        }
    }
}

impl<T: Default, F> Default for Omit<T, F> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ObjectType, F: OmittedFields> OutputType for Omit<T, F> {
    fn type_name() -> Cow<'static, str> {
        // The name is not in the schema, because the root is merged into another one.
        format!("{}_without_{}", T::type_name(), F::NAMES.join("_")).into()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        registry.create_output_type::<Self, _>(MetaTypeId::Object, |registry| {
            let mut root = registry.create_fake_output_type::<T>();
            if let MetaType::Object {
                name,
                fields,
                rust_typename,
                ..
            } = &mut root
            {
                for omitted in F::NAMES {
                    let field = fields.shift_remove(*omitted);
                    let root = type_name::<T>();
                    assert!(field.is_some(), "{root} has no field {omitted} to omit");
                }
                *name = Self::type_name().into_owned();
                *rust_typename = Some(type_name::<Self>());
            }
            root
        })
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        _: &Positioned<Field>,
    ) -> ServerResult<Value> {
        resolve_container(ctx, self).await
    }
}

impl<T: ObjectType, F: OmittedFields> ContainerType for Omit<T, F> {
    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        // Another part of the merged root can have a field of this name.
        if F::NAMES.contains(&ctx.item.node.name.node.as_str()) {
            return Ok(None);
        }
        self.root.resolve_field(ctx).await
    }

    async fn find_entity(
        &self,
        ctx: &Context<'_>,
        representation: &Value,
    ) -> ServerResult<Option<Value>> {
        self.root.find_entity(ctx, representation).await
    }
}

impl<T: ObjectType, F: OmittedFields> ObjectType for Omit<T, F> {}
