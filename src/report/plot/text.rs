//! How wide text is, and text made safe for markup.

/// Advance widths of the printable ASCII characters in thousandths of the font's size: Roboto's,
/// which are near those of the fonts that browsers take for `system-ui`.
const WIDTHS: [u16; 95] = [
    248, 258, 320, 616, 562, 732, 622, 175, 342, 348, 431, 567, 197, 276, 264, 413, 562, 562, 562, 562, 562,
    562, 562, 562, 562, 562, 242, 211, 508, 549, 523, 473, 898, 652, 623, 651, 656, 568, 553, 681, 713, 272,
    552, 627, 539, 873, 713, 688, 631, 688, 616, 594, 597, 648, 637, 887, 627, 601, 599, 265, 411, 265, 418,
    451, 309, 544, 562, 523, 564, 530, 348, 562, 551, 243, 239, 507, 243, 877, 552, 570, 562, 568, 339, 516,
    327, 551, 484, 751, 496, 473, 496, 338, 244, 338, 680,
];

/// Fonts differ; nothing may overlap in a wider one, such as DejaVu Sans.
const MARGIN: f64 = 1.18;

/// The width that `text` needs at a font size, in the same unit.
pub fn width(text: &str, size: f64) -> f64 {
    let thousandths: f64 = text.chars().map(advance).sum();
    thousandths / 1000.0 * size * MARGIN
}

fn advance(c: char) -> f64 {
    match c {
        ' '..='~' => f64::from(WIDTHS[c as usize - 32]),
        // Han, kana, Hangul, full-width forms, emoji.
        '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{ffef}' | '\u{1f000}'.. => 1080.0,
        _ => 620.0,
    }
}

/// `text`, or as much of it as fits into `room` with an ellipsis behind.
pub fn shortened(text: &str, room: f64, size: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut left = room - width("…", size);
    let mut short = String::new();
    for c in text.chars() {
        left -= advance(c) / 1000.0 * size * MARGIN;
        if left < 0.0 {
            break;
        }
        short.push(c);
    }
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// `text` for the content of an element or a quoted attribute, in HTML and XML alike.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            // XML cannot hold these at all.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortened_text_fits() {
        for text in [
            "a",
            "optimizer.sgd.weight_decay",
            "WWWWWWWWWWW",
            "学習率の対数スケール",
            "",
        ] {
            for room in [20.0, 60.0, 200.0] {
                let short = shortened(text, room, 12.0);
                assert!(width(&short, 12.0) <= room, "{short} in {room}");
                assert!(short == text || short.ends_with('…'));
            }
        }
    }

    #[test]
    fn markup_is_harmless() {
        assert_eq!(
            escape("<b a='\"&'>\u{1}"),
            "&lt;b a=&#39;&quot;&amp;&#39;&gt;\u{fffd}"
        );
    }
}
