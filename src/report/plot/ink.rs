//! Colours by their role, so that one drawing serves light pages, dark pages and paper.

use std::fmt::Write as _;

/// What a colour is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ink {
    /// Titles and labels.
    Text,
    /// Labels that stand back, and axes.
    Muted,
    /// Grid lines.
    Grid,
    /// What a drawing lies on.
    Paper,
    /// Boxes that stand out a little.
    Panel,
    /// What went wrong.
    Bad,
    /// The series of a plot, in the order in which they are to be told apart.
    Series(u8),
    /// A value on a scale: from 0, hardly more than the paper, to [`Ink::STEPS`] - 1, full.
    Ramp(u8),
    /// Text upon a step of the ramp.
    Upon(u8),
}

/// Wong's palette for the colour-blind (Nature Methods 8, 441, 2011), without black and yellow.
const SERIES_LIGHT: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
/// The same hues, lighter, for dark pages.
const SERIES_DARK: [&str; 6] = ["#5cb3ea", "#ff8a4c", "#35c79e", "#e3a0c6", "#f3bd4f", "#9bd3f7"];

/// `YlGnBu` by Cynthia Brewer (colorbrewer2.org): it can be told apart with any kind of colour
/// blindness and in grey, as its lightness falls evenly.
const RAMP: [&str; 9] = [
    "#ffffd9", "#edf8b1", "#c7e9b4", "#7fcdbb", "#41b6c4", "#1d91c0", "#225ea8", "#253494", "#081d58",
];

impl Ink {
    /// How many steps the ramp has.
    pub const STEPS: u8 = RAMP.len() as u8;
    /// The ramp's first step that is seen well even as a thin line.
    pub const SEEN: u8 = 2;

    /// The ramp's colour for a share from 0 to 1.
    pub fn ramp(share: f64) -> Self {
        let last = f64::from(Self::STEPS - 1);
        // What is no number becomes 0.
        Self::Ramp((share.clamp(0.0, 1.0) * last).round() as u8)
    }

    /// The same for marks that would hardly be seen on the paper: it begins at [`Ink::SEEN`].
    pub fn seen(share: f64) -> Self {
        let first = f64::from(Self::SEEN) / f64::from(Self::STEPS - 1);
        Self::ramp(first + (1.0 - first) * share.clamp(0.0, 1.0))
    }

    /// The ink for text upon this one.
    pub fn text_upon(self) -> Self {
        match self {
            Self::Ramp(step) => Self::Upon(step),
            _ => Self::Text,
        }
    }

    /// The colour on white.
    pub fn light(self) -> &'static str {
        match self {
            Self::Text => "#1c2330",
            Self::Muted => "#5b6676",
            Self::Grid => "#e3e7ed",
            Self::Paper => "#ffffff",
            Self::Panel => "#f5f7fa",
            Self::Bad => "#b3261e",
            Self::Series(index) => SERIES_LIGHT[usize::from(index) % SERIES_LIGHT.len()],
            Self::Ramp(step) => RAMP[usize::from(step.min(Self::STEPS - 1))],
            Self::Upon(step) if step < 5 => Self::Text.light(),
            Self::Upon(_) => Self::Paper.light(),
        }
    }

    /// The colour on a dark page.
    pub fn dark(self) -> &'static str {
        match self {
            Self::Text => "#e6eaf0",
            Self::Muted => "#9aa6b6",
            Self::Grid => "#2c3542",
            Self::Paper => "#12171f",
            Self::Panel => "#1a212b",
            Self::Bad => "#ff8a80",
            Self::Series(index) => SERIES_DARK[usize::from(index) % SERIES_DARK.len()],
            Self::Ramp(step) => RAMP[usize::from(Self::STEPS - 1 - step.min(Self::STEPS - 1))],
            Self::Upon(step) if step < 3 => Self::Text.dark(),
            Self::Upon(_) => Self::Paper.dark(),
        }
    }

    /// The CSS variable that holds it on a page.
    pub fn variable(self) -> String {
        match self {
            Self::Text => "--text".to_owned(),
            Self::Muted => "--muted".to_owned(),
            Self::Grid => "--grid".to_owned(),
            Self::Paper => "--paper".to_owned(),
            Self::Panel => "--panel".to_owned(),
            Self::Bad => "--bad".to_owned(),
            Self::Series(index) => format!("--s{}", usize::from(index) % SERIES_LIGHT.len()),
            Self::Ramp(step) => format!("--r{}", step.min(Self::STEPS - 1)),
            Self::Upon(step) => format!("--u{}", step.min(Self::STEPS - 1)),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let roles = [
            Self::Text,
            Self::Muted,
            Self::Grid,
            Self::Paper,
            Self::Panel,
            Self::Bad,
        ];
        let series = (0..SERIES_LIGHT.len() as u8).map(Self::Series);
        roles
            .into_iter()
            .chain(series)
            .chain((0..Self::STEPS).flat_map(|step| [Self::Ramp(step), Self::Upon(step)]))
    }

    /// The declarations of all variables, for light pages or for dark ones.
    pub fn declarations(dark: bool) -> String {
        let mut css = String::new();
        for ink in Self::all() {
            let colour = if dark { ink.dark() } else { ink.light() };
            let _ = write!(css, "{}:{colour};", ink.variable());
        }
        css
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance and contrast as in the Web Content Accessibility Guidelines 2.1.
    fn luminance(colour: &str) -> f64 {
        let part = |index: usize| {
            let value = u8::from_str_radix(&colour[index..index + 2], 16).unwrap();
            let value = f64::from(value) / 255.0;
            if value <= 0.03928 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn text_can_be_read_on_every_background() {
        for look in [Ink::light as fn(Ink) -> &'static str, Ink::dark] {
            for background in [Ink::Paper, Ink::Panel] {
                for (ink, least) in [(Ink::Text, 7.0), (Ink::Muted, 4.5), (Ink::Bad, 4.5)] {
                    let found = contrast(look(ink), look(background));
                    assert!(found >= least, "{ink:?} on {background:?}: {found}");
                }
            }
            for step in 0..Ink::STEPS {
                let ground = Ink::Ramp(step);
                let found = contrast(look(ground.text_upon()), look(ground));
                assert!(found >= 3.0, "text on step {step}: {found}");
            }
            for series in 0..6 {
                let found = contrast(look(Ink::Series(series)), look(Ink::Paper));
                assert!(found >= 2.0, "series {series}: {found}");
            }
        }
    }

    #[test]
    fn the_ramp_is_even_in_lightness() {
        let steps: Vec<f64> = RAMP.iter().map(|colour| luminance(colour)).collect();
        assert!(steps.is_sorted_by(|a, b| a > b), "{steps:?}");
        assert_eq!(Ink::ramp(f64::NAN), Ink::Ramp(0));
        assert_eq!((Ink::ramp(-1.0), Ink::ramp(1.0)), (Ink::Ramp(0), Ink::Ramp(8)));
    }
}
