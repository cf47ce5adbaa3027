//! A plot with its name, and how it becomes a file.

use super::chart;
use super::drawing::{Drawing, Label, Setting};
use super::ink::Ink;
use super::png::{self, PngError};
use super::text::width;

/// A plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name among the figures of a page, and of its file: small letters, digits, hyphens.
    pub id: String,
    /// The part of the page where it stands.
    pub section: Section,
    /// What it shows.
    pub title: String,
    /// How it is to be read, where the title does not say it all.
    pub note: String,
    /// The picture.
    pub drawing: Drawing,
}

/// A part of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The graph of stages.
    Pipeline,
    /// What the sweep found.
    Sweep,
    /// Learning curves.
    Curves,
    /// What evaluations found.
    Evaluation,
    /// How long things took.
    Timings,
}

impl Figure {
    /// A figure without a note.
    pub fn new(id: String, section: Section, title: String, drawing: Drawing) -> Self {
        Self {
            id,
            section,
            title,
            note: String::new(),
            drawing,
        }
    }

    /// A figure that says why there is nothing to see.
    pub fn empty(id: String, section: Section, title: String, why: &str) -> Self {
        let mut drawing = Drawing::new(chart::USUAL.0, 110.0);
        chart::title(&mut drawing, &title);
        let text = format!("nothing to show yet: {why}");
        for (index, line) in wrapped(&text, drawing.width - 24.0).into_iter().enumerate() {
            let label = Label::new((12.0, 56.0 + index as f64 * 17.0), line);
            drawing.label(label.ink(Ink::Muted));
        }
        Self::new(id, section, title, drawing)
    }

    /// With a note.
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// As SVG.
    pub fn svg(&self, setting: Setting) -> String {
        self.drawing.svg(&self.title, setting)
    }

    /// As PNG, with `scale` pixels for one of the natural size.
    ///
    /// # Errors
    /// The picture would be too large.
    pub fn png(&self, scale: f32) -> Result<Vec<u8>, PngError> {
        png::render(&self.drawing, scale)
    }
}

/// `text` in lines that fit into `room`.
fn wrapped(text: &str, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or("", String::as_str);
        let longer = format!("{line} {word}");
        if line.is_empty() || width(&longer, super::drawing::SIZE) > room {
            lines.push(word.to_owned());
        } else if let Some(last) = lines.last_mut() {
            *last = longer;
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// A name as part of an id: small letters and digits, everything else as hyphens.
pub fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "x".to_owned()
    } else {
        slug.to_owned()
    }
}

/// Makes all ids different, by numbers behind those that are taken.
pub fn tell_apart(figures: &mut [Figure]) {
    let mut taken = std::collections::BTreeSet::new();
    for figure in figures {
        let mut id = figure.id.clone();
        let mut count = 1;
        while !taken.insert(id.clone()) {
            count += 1;
            id = format!("{}-{count}", figure.id);
        }
        figure.id = id;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_and_different() {
        assert_eq!(slug("optimizer.sgd.lr"), "optimizer-sgd-lr");
        assert_eq!((slug("<Ä>"), slug("../a b")), ("x".to_owned(), "a-b".to_owned()));
        let mut figures = ["a", "b", "a"].map(|id| Figure::empty(id.into(), Section::Sweep, "t".into(), "w"));
        tell_apart(&mut figures);
        assert_eq!(figures.map(|figure| figure.id), ["a", "b", "a-2"]);
    }

    #[test]
    fn long_reasons_are_wrapped() {
        let lines = wrapped(&"word ".repeat(60), 200.0);
        assert!(lines.len() > 5 && lines.iter().all(|line| width(line, 12.0) <= 200.0));
    }
}
