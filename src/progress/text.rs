//! Numbers as people read them, and text that fits its line.

use crate::event::{MetricValue, Metrics};
use crate::metric::{MetricTable, grouped};

/// How many metrics a stage's line shows.
const SHOWN_METRICS: usize = 3;

/// A span of time: `12 ms`, `3.2 s`, `1m 12s`, `2h 05m`, `3d 04h`.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() || s < 0.0 => "-".to_owned(),
        s if s < 0.0995 => format!("{:.0} ms", s * 1000.0),
        s if s < 59.95 => format!("{s:.1} s"),
        s => long_time(s.round() as u64),
    }
}

/// A span of time without fractions, for figures that change before the eye: `0 s`, `12 s`, `1m 12s`.
pub fn whole_seconds(seconds: f64) -> String {
    match seconds.max(0.0).round() as u64 {
        s if s < 60 => format!("{s} s"),
        s => long_time(s),
    }
}

fn long_time(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    if minutes < 60 {
        format!("{minutes}m {:02}s", seconds % 60)
    } else if hours < 24 {
        format!("{hours}h {:02}m", minutes % 60)
    } else {
        format!("{days}d {:02}h", hours % 24)
    }
}

/// So many bytes of so many, in the unit of the latter: ` 1.5/45.0 MiB`.
pub fn bytes_of(done: u64, total: u64) -> String {
    let whole = bytes(total as f64);
    let (number, unit) = whole.split_once(' ').unwrap_or((&whole, ""));
    let power = ["B", "KiB", "MiB", "GiB", "TiB"]
        .iter()
        .position(|name| *name == unit);
    let done = done as f64 / 1024f64.powi(power.unwrap_or(0) as i32);
    let decimals = usize::from(unit != "B");
    format!("{done:>width$.decimals$}/{number} {unit}", width = number.len())
}

/// A number of bytes in binary units: `12 B`, `1.5 KiB`, `45.0 MiB`.
pub fn bytes(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1023.95 {
            return if unit == "B" {
                format!("{value:.0} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// A whole number with its thousands apart: `46,730`.
pub fn count(number: u64) -> String {
    grouped(number)
}

/// `1 stage`, `2 stages`.
pub fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number as u64))
}

/// A figure such as a speed: whole from 10 on.
pub fn rate(value: f64) -> String {
    if value >= 9.95 {
        count(value.round() as u64)
    } else {
        format!("{value:.1}")
    }
}

/// A metric with four digits: `0.985`, `1.2e-5`, `12,345`.
pub fn metric(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let size = value.abs();
    if value.fract() == 0.0 && size < 1e15 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(size as u64));
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{value:.1e}");
    }
    let decimals = match size {
        s if s < 10.0 => 4,
        s if s < 100.0 => 2,
        _ => 1,
    };
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A number with at most so many significant digits: `0.03162`, `1.2e-5`, `12346`.
pub fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    if value.fract() == 0.0 && value.abs() < 1e7 {
        return format!("{}", value as i64);
    }
    let rounded = format!("{value:.*e}", digits.saturating_sub(1));
    let (number, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let short = |number: &str| match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => number.to_owned(),
    };
    match exponent.parse::<i32>().unwrap_or(0) {
        power @ -3..7 => {
            let decimals = (digits as i32 - 1 - power).max(0) as usize;
            short(&format!("{value:.decimals$}"))
        }
        power => format!("{}e{power}", short(number)),
    }
}

/// `text` with blanks up to `width` columns.
pub fn padded(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(console::measure_text_width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// The most telling of a stage's metrics, each as one part for [`fitting`]: `val_accuracy 0.985`,
/// `val_loss 0.06`.
pub fn metrics(stage: &str, metrics: &Metrics, known: &MetricTable) -> Vec<(u8, String)> {
    let names = known.most_telling(stage, metrics.names());
    let shown = names.into_iter().take(SHOWN_METRICS).zip(0..);
    shown
        .filter_map(|(name, rank)| {
            let value = metric_value(metrics.get(name)?);
            Some((rank, format!("{} {value}", printable(name))))
        })
        .collect()
}

/// A figure with few digits, or why there is no number.
pub fn metric_value(value: MetricValue) -> String {
    value.number().map_or_else(|| value.to_string(), metric)
}

/// As many of the parts as `room` columns hold, two spaces apart; those of the highest rank leave
/// first, and one always stays.
pub fn fitting(mut parts: Vec<(u8, String)>, room: Option<usize>) -> String {
    let columns = |parts: &[(u8, String)]| {
        let texts = parts
            .iter()
            .map(|(_, text)| console::measure_text_width(text) + 2);
        texts.sum::<usize>().saturating_sub(2)
    };
    while parts.len() > 1 && room.is_some_and(|room| columns(&parts) > room) {
        let (mut last, mut highest) = (0, 0);
        for (index, (rank, _)) in parts.iter().enumerate() {
            if *rank >= highest {
                (last, highest) = (index, *rank);
            }
        }
        parts.remove(last);
    }
    let texts: Vec<String> = parts.into_iter().map(|(_, text)| text).collect();
    texts.join("  ")
}

/// `text` cut to `width` columns, with an ellipsis where something is missing.
pub fn fit(text: &str, width: Option<usize>) -> String {
    match width {
        Some(width) => console::truncate_str(text, width, "…").into_owned(),
        None => text.to_owned(),
    }
}

/// `text` broken between words into lines of at most `width` columns; its own line breaks stay. A
/// word that is longer than a line (a path) keeps its own line whole, so that it can be copied.
pub fn wrap(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else {
        return text.lines().map(str::to_owned).collect();
    };
    let mut lines = Vec::new();
    for line in text.lines() {
        if console::measure_text_width(line) <= width {
            lines.push(line.to_owned());
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let mut current = indent.to_owned();
        for word in line.split_whitespace() {
            let fresh = current.len() == indent.len();
            let length = console::measure_text_width(&current) + 1 + console::measure_text_width(word);
            if !fresh && length > width {
                lines.push(std::mem::replace(&mut current, indent.to_owned()));
            } else if !fresh {
                current.push(' ');
            }
            current.push_str(word);
        }
        lines.push(current);
    }
    lines
}

/// `text` without what would disturb a terminal: control characters become spaces.
pub fn printable(text: &str) -> String {
    console::strip_ansi_codes(text)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let all = [
            0.0,
            0.0123,
            0.1,
            3.21,
            59.94,
            59.96,
            72.4,
            7500.0,
            273_700.0,
            f64::NAN,
        ];
        assert_eq!(
            all.map(seconds).join(" | "),
            "0 ms | 12 ms | 0.1 s | 3.2 s | 59.9 s | 1m 00s | 1m 12s | 2h 05m | 3d 04h | -"
        );
        assert_eq!(whole_seconds(59.6), "1m 00s");
    }

    #[test]
    fn numbers() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(count).join(" "),
            "0 999 1,000 1,234,567"
        );
        assert_eq!(
            [0.0, 1023.0, 1024.0, 47_185_920.0, 5e13].map(bytes).join(" "),
            "0 B 1023 B 1.0 KiB 45.0 MiB 45.5 TiB"
        );
        let all = [
            0.985,
            0.98765,
            1.0,
            -3.0,
            12.345,
            123.456,
            1.234e-5,
            0.0,
            45_000.0,
            f64::NAN,
        ];
        assert_eq!(
            all.map(metric).join(" "),
            "0.985 0.9877 1 -3 12.35 123.5 1.2e-5 0 45,000 NaN"
        );
        assert_eq!([0.44, 9.96, 4210.4].map(rate).join(" "), "0.4 10 4,210");
    }

    #[test]
    fn numbers_with_significant_digits() {
        let all = [
            0.0316228,
            0.1,
            0.001,
            0.00031623,
            1e-5,
            12.3456,
            99_999.6,
            -0.98444,
            1e9,
            0.0,
            64.0,
            f64::INFINITY,
        ];
        assert_eq!(
            all.map(|value| significant(value, 4)).join(" "),
            "0.03162 0.1 0.001 3.162e-4 1e-5 12.35 100000 -0.9844 1e9 0 64 inf"
        );
        assert_eq!(
            [0.00214, 0.9996, 12.3]
                .map(|value| significant(value, 2))
                .join(" "),
            "0.0021 1 12"
        );
    }

    #[test]
    fn telling_metrics_come_first() {
        let figures = [
            ("a", 1.0),
            ("b", 2.0),
            ("val_loss", 0.06),
            ("val_accuracy", 0.985),
        ];
        let figures = figures.map(|(name, value)| (name.to_owned(), value)).into();
        let parts = metrics("model", &figures, &MetricTable::built_in());
        assert_eq!(
            fitting(parts.clone(), None),
            "val_accuracy 0.985  val_loss 0.06  a 1"
        );
        assert_eq!(
            fitting(parts.clone(), Some(35)),
            "val_accuracy 0.985  val_loss 0.06"
        );
        assert_eq!(fitting(parts, Some(3)), "val_accuracy 0.985");
    }

    #[test]
    fn wraps_between_words_and_keeps_paths_whole() {
        let text = "cannot read the file\n  at /a/very/long/path/that/exceeds/the/width now";
        assert_eq!(
            wrap(text, Some(12)),
            [
                "cannot read",
                "the file",
                "  at",
                "  /a/very/long/path/that/exceeds/the/width",
                "  now"
            ]
        );
        assert_eq!(wrap(text, None).len(), 2);
    }

    #[test]
    fn control_characters_are_removed() {
        assert_eq!(printable("a\u{1b}[31mred\u{1b}[0m\tb\r"), "ared b ");
    }
}
