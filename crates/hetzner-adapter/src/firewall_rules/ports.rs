//! Ports: ranges, and sets of them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Ports of TCP or UDP from the first to the last, both among them. On the wire `80` or `80-443`, as Hetzner writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// A text is no range of ports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no port from 1 to 65535 and no range of such ports; write it like `80` or `80-443`")]
pub struct BadPortRange(String);

impl PortRange {
    /// All ports.
    pub const ALL: Self = Self { first: 1, last: u16::MAX };

    /// The ports from a first to a last; none where it ends before it begins. There is no port 0.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        let first = first.max(1);
        (first <= last).then_some(Self { first, last })
    }

    /// Whether a port is among them.
    pub const fn has(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// Whether all ports of another range are among them.
    pub(super) const fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// The ports that are in both.
    fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first}-{last}") }
    }
}

impl FromStr for PortRange {
    type Err = BadPortRange;

    /// Reads `80`, `80-443` and Hetzner's `any`.
    fn from_str(text: &str) -> Result<Self, BadPortRange> {
        let bad = || BadPortRange(text.chars().take(40).collect());
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(bad);
        if text == "any" {
            return Ok(Self::ALL);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::new(port(first)?, port(last)?).ok_or_else(bad)
    }
}

impl TryFrom<String> for PortRange {
    type Error = BadPortRange;

    fn try_from(text: String) -> Result<Self, BadPortRange> {
        text.parse()
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> Self {
        range.to_string()
    }
}

/// A set of ports: its ranges are sorted, and neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PortSet(Vec<PortRange>);

impl PortSet {
    pub(super) fn ranges(&self) -> &[PortRange] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all ports of a range are in the set.
    pub(super) fn covers(&self, range: PortRange) -> bool {
        self.0.iter().any(|own| own.covers(range))
    }

    /// What is in both.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        self.0.iter().flat_map(|one| other.0.iter().filter_map(|two| one.intersection(*two))).collect()
    }

    /// The same without the ranges that do not pass a test.
    pub(super) fn retain(&mut self, keep: impl FnMut(&PortRange) -> bool) {
        self.0.retain(keep);
    }
}

impl Extend<PortRange> for PortSet {
    fn extend<I: IntoIterator<Item = PortRange>>(&mut self, ranges: I) {
        self.0.extend(ranges);
        self.0.sort_unstable();
        self.0.dedup_by(|next, kept| {
            let touches = next.first <= kept.last.saturating_add(1);
            if touches {
                kept.last = kept.last.max(next.last);
            }
            touches
        });
    }
}

impl FromIterator<PortRange> for PortSet {
    fn from_iter<I: IntoIterator<Item = PortRange>>(ranges: I) -> Self {
        let mut set = Self::default();
        set.extend(ranges);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> PortSet {
        text.split(',').filter(|range| !range.is_empty()).map(|range| range.parse().unwrap()).collect()
    }

    #[test]
    fn what_overlaps_or_touches_is_one_range() {
        for (given, wanted) in [
            ("", ""),
            ("80", "80"),
            ("81,80", "80-81"),
            ("80,82", "80,82"),
            ("80-90,85-100,101", "80-101"),
            ("1-65535,80", "1-65535"),
            ("65535,65534", "65534-65535"),
            ("443,80,443,22-23,24", "22-24,80,443"),
            ("any", "1-65535"),
        ] {
            assert_eq!(set(given), set(wanted), "{given}");
            let printed: Vec<_> = set(given).ranges().iter().map(PortRange::to_string).collect();
            assert_eq!(printed.join(","), wanted, "{given}");
        }
    }

    #[test]
    fn intersections_keep_what_both_have() {
        for (one, two, both) in
            [("80", "80", "80"), ("80", "81", ""), ("1-100", "50-200", "50-100"), ("1-10,20-30", "5-25", "5-10,20-25")]
        {
            assert_eq!(set(one).intersection(&set(two)), set(both), "{one} and {two}");
        }
    }

    #[test]
    fn a_text_that_is_no_range_is_refused_and_named() {
        for text in ["", "0", "0-5", "65536", "9-1", "a", "1-2-3", "-", "80-"] {
            let error = text.parse::<PortRange>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("`{text}` is no port")), "{error}");
        }
        assert_eq!(" 80 - 443".parse(), Ok(PortRange { first: 80, last: 443 }));
    }
}
