//! Durations as their users write them. One grammar for settings and for extensions of resources.

use std::time::Duration;

/// Reads a duration as its users write it: `60s`, `1m30s`, `0s`, `500ms`, `0.5s`, `2d`, `1h 30m`, `2days`; a plain
/// number is seconds.
/// None for anything else, for negative ones, and for those longer than a hundred years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    const LONGEST: f64 = 100.0 * 365.0 * 86_400.0;
    let text = text.trim();
    let seconds = if let Ok(plain) = text.parse::<f64>() {
        plain
    } else {
        let (mut rest, mut sum) = (text, 0.0);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (number, tail) = rest.split_at(digits);
            let letters = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            sum += number.parse::<f64>().ok()? * unit_seconds(unit.trim_end())?;
            rest = tail;
        }
        if text.is_empty() {
            return None;
        }
        sum
    };
    (0.0..=LONGEST).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "week" | "weeks" => 604_800.0,
        _ => return None,
    })
}

/// Prints a duration as it is written: `1m30s`, `500ms`.
pub fn show_duration(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    match (seconds / 60, seconds % 60, millis) {
        (0, 0, 0) => "0s".to_owned(),
        (0, 0, ms) => format!("{ms}ms"),
        (0, s, 0) => format!("{s}s"),
        (0, s, ms) => format!("{s}.{ms:03}s"),
        (m, 0, 0) => format!("{m}m"),
        (m, s, _) => format!("{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_the_predecessors_users_write_them() {
        let cases: &[(&str, Option<u64>)] = &[
            ("60s", Some(60_000)),
            ("1m30s", Some(90_000)),
            ("0s", Some(0)),
            ("0", Some(0)),
            ("1", Some(1_000)),
            ("0.5s", Some(500)),
            (".5", Some(500)),
            ("500ms", Some(500)),
            (" 2h ", Some(7_200_000)),
            ("1h0m1s", Some(3_601_000)),
            ("2d", Some(172_800_000)),
            ("1d12h", Some(129_600_000)),
            ("1h 30m", Some(5_400_000)),
            ("2days 1min", Some(172_860_000)),
            ("1week", Some(604_800_000)),
            ("", None),
            ("-1s", None),
            ("-1", None),
            ("s", None),
            ("1x", None),
            ("1 m", None),
            ("five", None),
            ("NaN", None),
            ("inf", None),
            ("1s1", None),
            ("99999999999h", None),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn a_printed_duration_reads_back() {
        for millis in [0, 1, 999, 1_000, 1_500, 60_000, 90_000, 3_600_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&show_duration(duration)), Some(duration), "{}", show_duration(duration));
        }
    }
}
