//! A value that a client sent, with the name of its field.

/// A value that a client sent. Errors about the value contain `field`, the name under which the endpoint
/// received the value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedInput<T> {
    pub(crate) field: &'static str,
    pub(crate) value: T,
}

impl<T> NamedInput<T> {
    pub(crate) fn new(field: &'static str, value: T) -> Self {
        Self { field, value }
    }
}
