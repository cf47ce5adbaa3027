//! The few colours of the display.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

/// What each part of a line looks like; every style is empty where colours are not wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Palette {
    /// Success.
    pub good: Style,
    /// Failure.
    pub bad: Style,
    /// Something to look at.
    pub warning: Style,
    /// What matters less.
    pub dim: Style,
    /// Names.
    pub name: Style,
    /// The filled part of a bar.
    pub bar: Style,
}

impl Palette {
    /// No colours.
    pub fn plain() -> Self {
        Self::default()
    }

    /// The sixteen colours that every terminal theme defines.
    pub fn coloured() -> Self {
        let colour = |colour: AnsiColor| colour.on_default();
        Self {
            good: colour(AnsiColor::Green),
            bad: colour(AnsiColor::Red).bold(),
            warning: colour(AnsiColor::Yellow),
            dim: Style::new().dimmed(),
            name: Style::new().bold(),
            bar: colour(AnsiColor::Cyan),
        }
    }

    /// Colours where standard error shows them and nobody asked for none (`NO_COLOR`).
    pub fn for_stderr() -> Self {
        match anstream::AutoStream::choice(&std::io::stderr()) {
            anstream::ColorChoice::Never => Self::plain(),
            _ => Self::coloured(),
        }
    }
}

/// `text` in `style`.
pub fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
