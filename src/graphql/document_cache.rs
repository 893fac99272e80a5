//! The cache of parsed and validated documents.

use std::hash::Hash;
use std::sync::Arc;

use apollo_compiler::Schema;
use apollo_compiler::validation::Valid;
use async_graphql::registry::Registry;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::config::Limits;
use crate::error::Error;
use crate::graphql::document::{Document, OVERHEAD};

/// The key of a cached document: the text, and the name of the operation to execute.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    text: String,
    name: Option<String>,
}

/// The borrowed form of [`Key`], for look-ups without allocation.
#[derive(Hash)]
struct KeyRef<'a> {
    text: &'a str,
    name: Option<&'a str>,
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.text == key.text && self.name == key.name.as_deref()
    }
}

/// A cache of valid documents, limited by their size in bytes. A cached document contains no data about
/// callers and no values of variables.
pub(crate) struct DocumentCache(Cache<Key, Arc<Document>, Bytes>);

impl DocumentCache {
    /// Creates a cache of at most `bytes` bytes. If `bytes` is 0, nothing is cached.
    pub(crate) fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes).unwrap_or(usize::MAX) / OVERHEAD;
        Self(Cache::with_weighter(entries, bytes, Bytes))
    }

    /// Returns a document from the cache, or parses the document if the cache does not contain it. A parsed
    /// document is returned with its key, for [`insert_valid`](Self::insert_valid).
    pub(super) fn get_or_parse(
        &self,
        text: &str,
        name: Option<&str>,
        limits: &Limits,
        schema: &Valid<Schema>,
        registry: &Registry,
    ) -> Result<(Arc<Document>, Option<Key>), Error> {
        if let Some(document) = self.0.get(&KeyRef { text, name }) {
            return Ok((document, None));
        }
        let document = Document::parse(text, name, limits, schema, registry)?;
        let key = Key {
            text: text.to_owned(),
            name: name.map(str::to_owned),
        };
        Ok((Arc::new(document), Some(key)))
    }

    /// Inserts a document if it has been validated successfully.
    pub(super) fn insert_valid(&self, key: Key, document: &Arc<Document>) {
        if document.is_valid() {
            self.0.insert(key, Arc::clone(document));
        }
    }

    /// Returns the memory of all cached documents, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.weight()
    }
}

#[derive(Clone, Copy)]
struct Bytes;

impl Weighter<Key, Arc<Document>> for Bytes {
    fn weight(&self, _: &Key, document: &Arc<Document>) -> u64 {
        document.bytes() as u64
    }
}
