//! Points in time, as the wire and the databases have them.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A point in time in whole milliseconds since 1970-01-01T00:00:00Z, written as RFC 3339 with three decimals.
/// Milliseconds because the specification promises at most one modification of a resource in each. RFC 3339 has the years
/// 0 to 9999, so there are no others: what would lie beyond is the first or the last point, and each can be printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = DateTime))]
pub struct Timestamp(i64);

impl Timestamp {
    /// The begin of the year 0.
    pub const MIN: Self = Self(-62_167_219_200_000);
    /// The last millisecond of the year 9999.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// From milliseconds since the epoch; the nearest point where there is none.
    pub const fn from_millis(millis: i64) -> Self {
        match millis {
            ..=-62_167_219_200_000 => Self::MIN,
            253_402_300_799_999.. => Self::MAX,
            _ => Self(millis),
        }
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This point, later by a duration.
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The time from an earlier point to this one; zero when it is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This point, or the next millisecond after `previous` when this one is not later: timestamps of one
    /// resource rise strictly even when the clock does not.
    pub fn after(self, previous: Self) -> Self {
        Self::from_millis(self.0.max(previous.0 + 1))
    }
}

impl Timestamp {
    /// The text, of `TEXT` bytes. Each answer holds many times: digits are put down one by one, because formatting
    /// them by a pattern took a tenth of a list.
    fn text(self) -> Option<[u8; TEXT]> {
        let at = OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1_000)).ok()?;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |range: std::ops::Range<usize>, mut number: u32| {
            for place in text[range].iter_mut().rev() {
                *place = b'0' + u8::try_from(number % 10).unwrap_or(0);
                number /= 10;
            }
        };
        put(0..4, u32::try_from(at.year()).ok()?);
        put(5..7, u8::from(at.month()).into());
        put(8..10, at.day().into());
        put(11..13, at.hour().into());
        put(14..16, at.minute().into());
        put(17..19, at.second().into());
        put(20..23, u32::try_from(self.0.rem_euclid(1_000)).ok()?);
        Some(text)
    }
}

/// The length of a time as text.
const TEXT: usize = 24;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text().ok_or(fmt::Error)?;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// The text is not an RFC 3339 time, or in UTC it is before the year 0 or after 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time; write one like 2026-11-23T12:00:00Z")]
pub struct TimestampError;

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        let millis = i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).map_err(|_| TimestampError)?;
        // An offset may lead out of the years that can be written.
        Some(Self::from_millis(millis)).filter(|at| at.0 == millis).ok_or(TimestampError)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.text().ok_or_else(|| S::Error::custom("a time before the year 0 or after 9999"))?;
        serializer.serialize_str(std::str::from_utf8(&text).map_err(S::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn print_and_parse_agree_to_the_millisecond() {
        for millis in [0, 1, 1_700_000_000_123, -62_135_596_800_000] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(at.to_string().parse(), Ok(at));
        }
        assert_eq!(Timestamp::from_millis(1_000).to_string(), "1970-01-01T00:00:01.000Z");
    }

    #[test]
    fn every_point_can_be_printed_and_none_is_read_that_could_not() {
        let (first, last) = ("0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z");
        let minute = Duration::from_secs(60);
        let table = [
            (Timestamp::MIN, first),
            (Timestamp::MAX, last),
            (Timestamp::from_millis(i64::MIN), first),
            (Timestamp::from_millis(i64::MAX), last),
            (Timestamp::from_millis(253_402_300_799_000).plus(minute), last),
            (Timestamp::MAX.plus(Duration::MAX), last),
            (Timestamp::MIN.after(Timestamp::MAX), last),
        ];
        for (at, text) in table {
            assert_eq!((at.to_string().as_str(), text.parse()), (text, Ok(at)));
            assert_eq!(serde_json::to_value(at).unwrap(), text);
        }
        for beyond in ["9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00+00:01"] {
            assert_eq!(beyond.parse::<Timestamp>(), Err(TimestampError), "{beyond}");
        }
        assert_eq!("9999-12-31T23:59:59+00:01".parse::<Timestamp>().unwrap().to_string(), "9999-12-31T23:58:59.000Z");
    }

    #[test]
    fn a_clock_that_stands_still_still_yields_rising_times() {
        let at = Timestamp::from_millis(5);
        assert_eq!(at.after(at), Timestamp::from_millis(6));
        assert_eq!(at.after(Timestamp::from_millis(2)), at);
    }
}
