//! Moments in time as numbers and as text, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const MICROS: i64 = 1_000_000;
const DAY: i64 = 86_400 * MICROS;

/// Microseconds since 1970 of a file's time.
#[must_use]
pub fn of_system(time: SystemTime) -> Option<i64> {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).ok(),
        Err(before) => i64::try_from(before.duration().as_micros()).ok().map(|micros| -micros),
    }
}

/// The moment as text: `2026-11-20T12:00:00Z`, with a fraction where there is one.
#[must_use]
pub fn text(micros: i64) -> String {
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (seconds, fraction) = (rest / MICROS, rest % MICROS);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if fraction > 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Reads a moment: a date, then `T` or a space, then a time down to the minute at least; what follows is a zone or
/// nothing. A moment without a zone counts as UTC.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let sign = |at: usize| text.as_bytes().get(at).copied();
    let dashes = sign(4) == Some(b'-') && sign(7) == Some(b'-');
    if !dashes || !matches!(sign(10), Some(b'T' | b't' | b' ')) || sign(13) != Some(b':') {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute) = (number(11..13)?, number(14..16)?);
    let (mut second, mut micros, mut at) = (0, 0, 16);
    if sign(16) == Some(b':') {
        second = number(17..19)?;
        at = 19;
        if sign(19) == Some(b'.') {
            let digits = text.get(20..)?.bytes().take_while(u8::is_ascii_digit).count();
            let kept = text.get(20..20 + digits.min(6))?;
            micros = format!("{kept:0<6}").parse().ok()?;
            at = 20 + digits;
        }
    }
    let zone = match text.get(at..)?.trim_start() {
        "" | "Z" | "z" | "UTC" => 0,
        zone => {
            let minutes = |text: &str| text.get(..2)?.parse::<i64>().ok();
            let sign = match zone.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let rest = zone.get(1..)?.replace(':', "");
            if !matches!(rest.len(), 2 | 4) {
                return None;
            }
            sign * (minutes(&rest)? * 60
                + rest.get(2..).filter(|rest| !rest.is_empty()).map_or(Some(0), minutes)?)
        }
    };
    let valid =
        (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    if !valid {
        return None;
    }
    let seconds = hour * 3600 + (minute - zone) * 60 + second;
    Some(days(year, month, day) * DAY + seconds * MICROS + micros)
}

/// The date of a day since 1970-01-01, by Howard Hinnant's `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The day of a date, since 1970-01-01.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::{parse, text};

    #[test]
    fn a_moment_reads_as_it_was_written() {
        for moment in ["1970-01-01T00:00:00Z", "2024-02-29T23:59:59.25Z", "1969-12-31T23:59:59Z"] {
            assert_eq!(parse(moment).map(text).as_deref(), Some(moment));
        }
        assert_eq!(parse("2026-11-20 12:00").map(text).as_deref(), Some("2026-11-20T12:00:00Z"));
        assert_eq!(parse("2026-11-20T12:00:00+02:00").map(text).as_deref(), Some("2026-11-20T10:00:00Z"));
        assert_eq!(parse("2026-11-20 12:00:00-0130").map(text).as_deref(), Some("2026-11-20T13:30:00Z"));
    }

    #[test]
    fn what_is_no_moment_reads_as_none() {
        for no_moment in [
            "2026-11-20",
            "2026-13-20 12:00",
            "20261120 12:00:00",
            "2026-11-20 12:00 noon",
            "ä026-11-20 12:00",
        ] {
            assert_eq!(parse(no_moment), None, "{no_moment}");
        }
    }
}
