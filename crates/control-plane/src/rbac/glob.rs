//! One segment of a resource pattern, in which `*` stands for any run of characters.
//!
//! Matching and containment are one algorithm, so that they cannot disagree: a glob contains another exactly when
//! it matches the other's text, in which a `*` is a character that only a `*` can take up.

/// A segment's pattern. Runs of stars are one star.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Glob(Box<str>);

impl Glob {
    /// Reads a segment, which is not empty.
    pub(super) fn new(text: &str) -> Self {
        let mut kept = String::with_capacity(text.len());
        for letter in text.chars() {
            if letter != '*' || !kept.ends_with('*') {
                kept.push(letter);
            }
        }
        Self(kept.into())
    }

    /// The glob that matches everything, and alone an empty text.
    pub(super) fn whole() -> Self {
        Self("*".into())
    }

    /// Whether it matches a name.
    pub(super) fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut read) = (0, 0);
        // Where to go on when the newest star has to take one character more. Older stars need not: what they
        // took was the shortest, which leaves the most to those behind.
        let mut star: Option<(usize, usize)> = None;
        while read < name.len() {
            if pattern.get(at) == Some(&b'*') {
                star = Some((at, read));
                at += 1;
            } else if pattern.get(at) == name.get(read) {
                at += 1;
                read += 1;
            } else if let Some((place, taken)) = star {
                star = Some((place, taken + 1));
                at = place + 1;
                read = taken + 1;
            } else {
                return false;
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }

    /// Whether it matches all that the other matches.
    pub(super) fn contains(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}
