//! Notices that tell a time: `until 10:15:20Z`. The rest of a duration would be another one at each look, and every look
//! would change the row, wake who watches it, and say the same.

use std::time::Duration;

use seca_api::{StatusCondition, Timestamp};

use crate::ports::Note;

const DAY: i64 = 24 * 3_600_000;

/// A note that holds for a while, as a sentence that names the time when that ends. The time that the newest condition
/// tells already stays, unless it was missed or moved by more than a tenth of what was left.
pub(super) fn timed(note: Note, newest: Option<&StatusCondition>, now: Timestamp) -> Note {
    let Some(left) = note.lasts else { return note };
    let end = now.plus(left);
    let told = newest.filter(|newest| newest.reason.as_deref() == Some(note.reason.as_str()));
    let told = told.and_then(|newest| newest.message.as_deref()).and_then(|message| told_until(message, &note, now));
    let end = told.filter(|told| is_kept(*told, end, now)).unwrap_or(end);
    Note { message: sentence(&note.message, end), lasts: None, ..note }
}

fn is_kept(told: Timestamp, end: Timestamp, now: Timestamp) -> bool {
    let moved = end.since(told).max(told.since(end));
    // A second is what a notice tells at best.
    told >= now && moved <= (told.since(now) / 10).max(Duration::from_secs(1))
}

fn sentence(message: &str, end: Timestamp) -> String {
    let stop = if message.ends_with('.') { "." } else { "" };
    format!("{} until {}{stop}", message.trim_end_matches('.'), time_of_day(end))
}

/// To the second, and never too early: `10:15:20Z`.
fn time_of_day(at: Timestamp) -> String {
    let text = at.plus(Duration::from_millis(999)).to_string();
    format!("{}Z", text.get(11..19).unwrap_or_default())
}

/// The time that a message tells, if it says the same as a note in all else: the one that is nearest to now.
fn told_until(message: &str, note: &Note, now: Timestamp) -> Option<Timestamp> {
    let rest = message.strip_prefix(note.message.trim_end_matches('.'))?.strip_prefix(" until ")?;
    let text = rest.trim_end_matches('.').strip_suffix('Z')?;
    let mut parts = text.split(':').map(str::parse::<i64>);
    let (hours, minutes, seconds) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let of_day = ((hours * 60 + minutes) * 60 + seconds) * 1_000;
    let ahead = (of_day - now.as_millis().rem_euclid(DAY)).rem_euclid(DAY);
    let ahead = if ahead > DAY / 2 { ahead - DAY } else { ahead };
    Some(Timestamp::from_millis(now.as_millis() + ahead))
}

#[cfg(test)]
mod tests {
    use seca_api::ResourceState;

    use super::*;
    use crate::reason::Reason;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-23T{text}Z").parse().unwrap()
    }

    fn throttled(left: f64) -> Note {
        Note::new(Reason::Throttled, "The budget is spent.").lasting(Duration::from_secs_f64(left))
    }

    fn condition(reason: Reason, message: &str) -> StatusCondition {
        StatusCondition {
            reason: Some(reason.as_str().to_owned()),
            message: Some(message.to_owned()),
            ..StatusCondition::new(ResourceState::Creating, at("10:00:00"))
        }
    }

    #[test]
    fn a_notice_names_the_time_to_the_second_and_never_too_early() {
        for (now, left, end) in
            [("10:15:00", 20.0, "10:15:20Z"), ("10:15:00.001", 20.0, "10:15:21Z"), ("23:59:50", 20.0, "00:00:10Z")]
        {
            let note = timed(throttled(left), None, at(now));
            assert_eq!((note.message, note.lasts), (format!("The budget is spent until {end}."), None));
        }
        let lost = Note::new(Reason::OutcomeUnknown, "it may still take effect").lasting(Duration::from_secs(90));
        assert_eq!(timed(lost, None, at("10:00:00")).message, "it may still take effect until 10:01:30Z");
        let lasting = Note::new(Reason::ProviderBusy, "It is locked.");
        assert_eq!(timed(lasting.clone(), None, at("10:00:00")), lasting);
    }

    #[test]
    fn a_notice_is_rewritten_only_when_its_time_was_missed_or_moved_by_more_than_a_tenth() {
        let told = "The budget is spent until 10:15:20Z.";
        for (now, left, expected) in [
            // 100 s are left: ten more or less change nothing.
            ("10:13:40", 100.0, "10:15:20Z"),
            ("10:13:40", 109.0, "10:15:20Z"),
            ("10:13:40", 91.0, "10:15:20Z"),
            ("10:13:40", 111.0, "10:15:31Z"),
            ("10:13:40", 80.0, "10:15:00Z"),
            // Missed.
            ("10:15:21", 1.0, "10:15:22Z"),
            ("10:15:21", 0.0, "10:15:21Z"),
        ] {
            let newest = condition(Reason::Throttled, told);
            let note = timed(throttled(left), Some(&newest), at(now));
            assert_eq!(note.message, format!("The budget is spent until {expected}."), "{now} and {left} s");
        }
        // Another reason, another sentence, and none.
        for newest in [
            condition(Reason::ProviderBusy, told),
            condition(Reason::Throttled, "Another budget is spent until 10:15:20Z."),
            condition(Reason::Throttled, "The budget is spent until soon."),
            StatusCondition::new(ResourceState::Creating, at("10:00:00")),
        ] {
            assert_eq!(
                timed(throttled(95.0), Some(&newest), at("10:13:40")).message,
                "The budget is spent until 10:15:15Z."
            );
        }
    }

    #[test]
    fn a_time_told_before_midnight_is_understood_after_it_and_the_other_way_round() {
        let newest = condition(Reason::Throttled, "The budget is spent until 00:00:10Z.");
        assert_eq!(
            timed(throttled(19.0), Some(&newest), at("23:59:50")).message,
            "The budget is spent until 00:00:10Z."
        );
        let newest = condition(Reason::Throttled, "The budget is spent until 23:59:50Z.");
        assert_eq!(
            timed(throttled(5.0), Some(&newest), at("00:00:01")).message,
            "The budget is spent until 00:00:06Z."
        );
    }
}
