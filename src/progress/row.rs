//! Rows of the live block: text and bars, fitted to the terminal's width.

use super::style::{Palette, paint};
use super::text;

/// Columns of a bar.
const BAR: std::ops::RangeInclusive<usize> = 8..=24;

/// A part of a row. Where a row is too long, the parts of the highest rank leave first.
pub(super) struct RowPart {
    rank: u8,
    what: What,
}

enum What {
    Text(String),
    Bar(f64),
}

impl RowPart {
    /// A text; an empty one takes no room.
    pub fn text(rank: u8, text: String) -> Self {
        Self {
            rank,
            what: What::Text(text),
        }
    }

    /// A bar that is filled to `share`; nothing where that is not known.
    pub fn bar(rank: u8, share: Option<f64>) -> Self {
        let what = share.map_or(What::Text(String::new()), |share| {
            What::Bar(share.clamp(0.0, 1.0))
        });
        Self { rank, what }
    }

    /// Columns that it takes at least, with the space before it.
    fn columns(&self) -> usize {
        2 + match &self.what {
            What::Text(text) => console::measure_text_width(text),
            What::Bar(_) => *BAR.start(),
        }
    }
}

/// `head` and as many of the parts as `width` columns hold.
pub(super) fn compose(head: String, mut parts: Vec<RowPart>, width: usize, palette: &Palette) -> String {
    parts.retain(|part| !matches!(&part.what, What::Text(text) if text.is_empty()));
    let head_columns = console::measure_text_width(&head);
    let total = |parts: &[RowPart]| head_columns + parts.iter().map(RowPart::columns).sum::<usize>();
    while parts.len() > 1 && total(&parts) > width {
        let last = parts
            .iter()
            .enumerate()
            .max_by_key(|(_, part)| part.rank)
            .map(|(index, _)| index);
        last.map(|index| parts.remove(index));
    }
    let bar_columns = (BAR.start() + width.saturating_sub(total(&parts))).min(*BAR.end());
    let mut row = head;
    for part in &parts {
        row.push_str("  ");
        match &part.what {
            What::Text(text) => row.push_str(text),
            What::Bar(share) => {
                let filled = (share * bar_columns as f64).round() as usize;
                row.push_str(&paint(palette.bar, "━".repeat(filled)));
                row.push_str(&paint(palette.dim, "─".repeat(bar_columns - filled)));
            }
        }
    }
    text::fit(&row, Some(width))
}
