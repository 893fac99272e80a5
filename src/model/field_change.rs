//! The change of an optional input field.

/// The change that an optional input field requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldChange<T> {
    /// The field is absent, so the stored value does not change.
    #[default]
    Keep,
    /// The stored value is replaced with this value.
    Set(T),
}
