//! The cache of parsed and validated documents.

use std::hash::Hash;
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::graphql::document::{Document, OVERHEAD};

/// The key of a cached document: the text, and the name of the operation to execute.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
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

    pub(super) fn get(&self, text: &str, name: Option<&str>) -> Option<Arc<Document>> {
        self.0.get(&KeyRef { text, name })
    }

    pub(super) fn insert(&self, text: &str, name: Option<String>, document: &Arc<Document>) {
        let key = Key {
            text: text.to_owned(),
            name,
        };
        self.0.insert(key, Arc::clone(document));
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
        document.bytes as u64
    }
}
