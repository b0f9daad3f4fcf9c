//! Rendered texts that are kept: what is asked for again is copied instead of being read and put together.
//!
//! None is ever stale. What a text shows has a version, and it is used only for what the database, or the catalogue, says
//! to be of that version now. What is not used goes first when all together are too long.

use std::{hash::Hash, sync::Arc};

use quick_cache::{Weighter, sync::Cache};

/// The most bytes of texts of one kind that are kept.
const MOST: u64 = 64 << 20;
/// How many texts they may be, as a guess: most have a thousand bytes.
const ABOUT: usize = 10_000;

/// Texts, each by what it is of.
#[derive(Debug)]
pub(crate) struct Texts<K: Hash + Eq + Clone, V: Clone = i64>(Cache<K, (V, Arc<str>), Bytes>);

/// Texts weigh what they are long.
#[derive(Clone, Debug)]
struct Bytes;

impl<K, V> Weighter<K, (V, Arc<str>)> for Bytes {
    fn weight(&self, _: &K, (_, text): &(V, Arc<str>)) -> u64 {
        text.len() as u64
    }
}

impl<K: Hash + Eq + Clone, V: PartialEq + Clone> Default for Texts<K, V> {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl<K: Hash + Eq + Clone, V: PartialEq + Clone> Texts<K, V> {
    fn of(most: u64) -> Self {
        Self(Cache::with_weighter(ABOUT, most, Bytes))
    }

    /// The one that is kept, whatever its version.
    pub(super) fn latest(&self, key: &K) -> Option<(V, Arc<str>)> {
        self.0.get(key)
    }

    /// The one that is kept, if it is of this version.
    pub(super) fn get(&self, key: &K, version: &V) -> Option<Arc<str>> {
        self.0.get(key).filter(|(of, _)| of == version).map(|(_, text)| text)
    }

    /// Keeps a text in place of its earlier version.
    pub(super) fn put(&self, key: K, version: V, text: Arc<str>) {
        self.0.insert(key, (version, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_by_its_version_alone() {
        let texts = Texts::default();
        texts.put("a", 5, "five".into());
        assert_eq!(texts.get(&"a", &5).as_deref(), Some("five"));
        for other in [4, 6] {
            assert_eq!(texts.get(&"a", &other), None, "{other}");
        }
        texts.put("a", 6, "six".into());
        assert_eq!((texts.get(&"a", &5), texts.get(&"a", &6).as_deref()), (None, Some("six")), "in its place");
        assert_eq!(texts.latest(&"a"), Some((6, "six".into())));
        assert_eq!(texts.latest(&"b"), None);
    }

    #[test]
    fn all_together_are_no_longer_than_they_may_be() {
        const A_TEXT: usize = 1_000;
        let texts = Texts::of(100 * A_TEXT as u64);
        for key in 0..1_000 {
            texts.put(key, 1, "x".repeat(A_TEXT).into());
        }
        let kept = (0..1_000).filter(|key| texts.latest(key).is_some()).count();
        assert!((1..=100).contains(&kept), "{kept}");
        assert!(texts.0.weight() <= 100 * A_TEXT as u64);
    }
}
