//! Dates as numbers.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use super::row::shortened;
use crate::spec::DatePart;

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// A date, with a time where there is one; what names a time zone becomes UTC. Without a `format` as in
/// ISO 8601. As of Python's `strptime`, `%Y` takes four digits, no fewer.
pub(in crate::data::formats) fn read_date(text: &str, format: Option<&str>) -> Result<DateTime, String> {
    let Some(format) = format else {
        let found = match text.parse::<Timestamp>() {
            Ok(moment) => Some(TimeZone::UTC.to_datetime(moment)),
            Err(_) => text.parse().ok(),
        };
        return found.ok_or_else(|| {
            format!(
                "`{}` is no date such as 2026-01-31 or 2026-01-31T12:30:00: tell how it is written by `format`",
                shortened(text)
            )
        });
    };
    let wrong = || format!("`{}` is no date of the form `{format}`", shortened(text));
    let time = strtime::parse(format, text).map_err(|_| wrong())?;
    let year = time.year().or_else(|| time.iso_week_year());
    if year.is_some_and(|year| year < 1000) && !has_four_digits(text, format) {
        let problem = "`%Y` takes four digits of the year, and two are taken by `%y`";
        return Err(format!("{}: {problem}", wrong()));
    }
    let found = match time.to_timestamp() {
        Ok(moment) => Some(TimeZone::UTC.to_datetime(moment)),
        Err(_) => time
            .to_date()
            .ok()
            .map(|date| date.to_datetime(time.to_time().unwrap_or_default())),
    };
    found.ok_or_else(wrong)
}

/// Whether the years in `text`, which is of the form `format`, have all of their four digits where `%Y` takes them.
fn has_four_digits(text: &str, format: &str) -> bool {
    let format = format.replace("%F", "%Y-%m-%d");
    let mut from = 0;
    while let Some(at) = format[from..].find('%').map(|at| from + at) {
        from = format[at + 1..]
            .chars()
            .next()
            .map_or(format.len(), |kind| at + 1 + kind.len_utf8());
        if !matches!(format.get(at + 1..from), Some("Y" | "G")) {
            continue;
        }
        let end = |format: &str| Some(strtime::BrokenDownTime::parse_prefix(format, text).ok()?.1);
        let (Some(start), Some(end)) = (end(&format[..at]), end(&format[..from])) else {
            return false;
        };
        let digits = text.get(start..end).unwrap_or_default().trim().as_bytes();
        if digits.len() != 4 || !digits.iter().all(u8::is_ascii_digit) {
            return false;
        }
    }
    true
}

/// Whether a date as in ISO 8601 names its time zone or offset.
pub(in crate::data::formats) fn has_zone(text: &str) -> bool {
    text.parse::<Timestamp>().is_ok()
}

/// One number of a date.
pub(super) fn date_part(date: DateTime, part: DatePart) -> f64 {
    match part {
        DatePart::Year => f64::from(date.year()),
        DatePart::Month => f64::from(date.month()),
        DatePart::Day => f64::from(date.day()),
        DatePart::Weekday => f64::from(date.weekday().to_monday_one_offset()),
        DatePart::DayOfYear => f64::from(date.day_of_year()),
        DatePart::Hour => f64::from(date.hour()),
        DatePart::Minute => f64::from(date.minute()),
        DatePart::Days => seconds_since_1970(date) / DAY,
    }
}

/// Seconds from the beginning of 1970.
pub(in crate::data::formats) fn seconds_since_1970(date: DateTime) -> f64 {
    let start = jiff::civil::date(1970, 1, 1).to_datetime(jiff::civil::Time::midnight());
    date.duration_since(start).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_become_numbers() {
        let date = read_date("2024-02-29 12:30:00", None).unwrap();
        let parts = [
            (DatePart::Year, 2024.0),
            (DatePart::Month, 2.0),
            (DatePart::Day, 29.0),
            (DatePart::Weekday, 4.0),
            (DatePart::DayOfYear, 60.0),
            (DatePart::Hour, 12.0),
            (DatePart::Minute, 30.0),
            (DatePart::Days, 19782.0 + 12.5 / 24.0),
        ];
        for (part, expected) in parts {
            assert!((date_part(date, part) - expected).abs() < 1e-9, "{part:?}");
        }
        let days = |text, format| date_part(read_date(text, format).unwrap(), DatePart::Days);
        assert_eq!(days("1969-12-31", None), -1.0);
        assert_eq!(days("31.01.1970", Some("%d.%m.%Y")), 30.0);
        assert_eq!(days("1970-01-02T01:00:00+01:00", None), 1.0);
        assert_eq!(days("02/01/1970 12:00", Some("%d/%m/%Y %H:%M")), 1.5);
        // Python 3: datetime.strptime("31.01.24", "%d.%m.%Y") and the like are a ValueError.
        for (text, format) in [
            ("31.01.24", "%d.%m.%Y"),
            ("31.01.124", "%d.%m.%Y"),
            ("24-01-31", "%Y-%m-%d"),
            ("24-01-31", "%F"),
            ("24-01-31 00:24", "%Y-%m-%d %H:%M"),
            ("0024 on 24-01-31", "%H%M on %Y-%m-%d"),
        ] {
            let problem = read_date(text, Some(format)).unwrap_err();
            let advice = "`%Y` takes four digits of the year, and two are taken by `%y`";
            assert!(problem.ends_with(advice), "{text}: {problem}");
        }
        for (text, format, year) in [
            ("31.01.24", "%d.%m.%y", 2024),
            ("1.2.99", "%d.%m.%y", 1999),
            ("1.2.2024", "%d.%m.%Y", 2024),
            ("31.01.0024", "%d.%m.%Y", 24),
            ("100% 0024-01-31", "100%% %Y-%m-%d", 24),
        ] {
            let date = read_date(text, Some(format)).unwrap();
            assert_eq!(date_part(date, DatePart::Year), f64::from(year), "{text}");
        }
        for (text, format) in [("31.01.1970", None), ("30.02.1970", Some("%d.%m.%Y")), ("", None)] {
            assert!(read_date(text, format).is_err(), "{text}");
        }
    }
}
