//! Rendered texts that are kept: what is asked for again is copied instead of being read and put together.
//!
//! None is ever stale. What a text shows has a version, and it is used only for what the database, or the catalogue, says
//! to be of that version now. The least recently used go first when all together are too long.

use std::{
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;

/// The most bytes of texts of one kind that are kept.
const MOST: usize = 64 << 20;

/// What a version of a text counts by.
pub(super) type Version = (i64, i64, i64);

/// Texts, each by what it is of.
#[derive(Debug)]
pub(crate) struct Texts<K: Hash + Eq, V = Version>(Mutex<Kept<K, V>>);

#[derive(Debug)]
struct Kept<K: Hash + Eq, V> {
    texts: LruCache<K, (V, Arc<str>)>,
    bytes: usize,
    most: usize,
}

impl<K: Hash + Eq, V: PartialEq + Copy> Default for Texts<K, V> {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl<K: Hash + Eq, V: PartialEq + Copy> Texts<K, V> {
    fn of(most: usize) -> Self {
        Self(Mutex::new(Kept { texts: LruCache::unbounded(), bytes: 0, most }))
    }

    fn lock(&self) -> MutexGuard<'_, Kept<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that is kept, whatever its version.
    pub(super) fn latest(&self, key: &K) -> Option<(V, Arc<str>)> {
        self.lock().texts.get(key).cloned()
    }

    /// Those that are of these versions.
    pub(super) fn get<'k>(&self, wanted: impl Iterator<Item = (&'k K, V)>) -> Vec<Option<Arc<str>>>
    where
        K: 'k,
    {
        let mut kept = self.lock();
        let text = |(key, version): (&K, V)| {
            kept.texts.get(key).filter(|(of, _)| *of == version).map(|(_, text)| Arc::clone(text))
        };
        wanted.map(text).collect()
    }

    /// Keeps a text in place of its earlier version.
    pub(super) fn put(&self, key: K, version: V, text: Arc<str>) {
        let mut kept = self.lock();
        kept.bytes += text.len();
        if let Some((_, (_, former))) = kept.texts.push(key, (version, text)) {
            kept.bytes -= former.len();
        }
        while kept.bytes > kept.most
            && let Some((_, (_, oldest))) = kept.texts.pop_lru()
        {
            kept.bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_by_its_version_alone_and_the_oldest_go_first() {
        let texts = Texts::of(10);
        let get = |key: &str, version| texts.get([(&key.to_owned(), version)].into_iter()).remove(0);
        texts.put("a".to_owned(), (1, 1, 5), "four".into());
        assert_eq!(get("a", (1, 1, 5)).as_deref(), Some("four"));
        for other in [(1, 2, 5), (2, 1, 5), (1, 1, 6), (1, 1, 4)] {
            assert_eq!(get("a", other), None, "{other:?}");
        }
        texts.put("b".to_owned(), (1, 1, 1), "four".into());
        // The later version takes the place of the former one, and "b" has to go for it.
        texts.put("a".to_owned(), (1, 2, 5), "sevenfold".into());
        assert_eq!((get("a", (1, 1, 5)), get("b", (1, 1, 1))), (None, None));
        assert_eq!(get("a", (1, 2, 5)).as_deref(), Some("sevenfold"));
        // What is longer than all may be is not kept.
        texts.put("c".to_owned(), (1, 1, 1), "elevenletters".into());
        assert_eq!(get("c", (1, 1, 1)), None);
        assert_eq!(texts.lock().bytes, 0);
    }
}
