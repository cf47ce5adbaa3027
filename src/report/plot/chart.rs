//! The frame that most plots share: title, legend, axes with round numbers or names, grid.

use super::drawing::{Anchor, Drawing, Label, Mark, SIZE};
use super::ink::Ink;
use super::scale::{AxisScale, Tick};
use super::text::{shortened, width};

/// What a chart is to have.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What it shows.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What the marks mean; shown where there is more than one.
    pub keys: Vec<LegendKey>,
    /// What the ramp's colours mean.
    pub ramp: Option<RampKey>,
    /// The size of the whole.
    pub size: (f64, f64),
}

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it measures, with the unit.
    pub title: String,
    /// What lies along it.
    pub along: Along,
}

/// What lies along an axis.
#[derive(Clone, Debug)]
pub enum Along {
    /// Numbers.
    Numbers(AxisScale),
    /// Whole numbers.
    Counts(AxisScale),
    /// Names, each in the middle of a slot; on a vertical axis from the top.
    Names(Vec<String>),
}

/// An entry of the legend.
#[derive(Clone, Debug)]
pub struct LegendKey {
    /// What the mark stands for.
    pub label: String,
    /// What it looks like.
    pub sample: LegendMark,
}

/// What the marks of a legend's entry look like.
#[derive(Clone, Copy, Debug)]
pub enum LegendMark {
    /// A line.
    Line(Ink),
    /// A broken line.
    Dashes(Ink),
    /// A line that stands back.
    Faint(Ink),
    /// A dot.
    Dot(Ink),
    /// A ring.
    Ring(Ink),
    /// A cross.
    Cross(Ink),
    /// A bar.
    Bar(Ink),
}

/// What the ramp's colours mean.
#[derive(Clone, Debug)]
pub struct RampKey {
    /// What is measured.
    pub title: String,
    /// The faintest step that is used.
    pub from: u8,
    /// What that stands for.
    pub low: String,
    /// What its strongest colour stands for.
    pub high: String,
}

/// A frame that marks can be put into.
#[derive(Clone, Debug)]
pub struct Chart {
    /// All that was drawn so far.
    pub drawing: Drawing,
    /// The left edge of the area.
    pub left: f64,
    /// Its upper edge.
    pub top: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// The room below for names that read upwards, where they would not fit beside each other.
    upwards: Option<f64>,
    x: Along,
    y: Along,
}

/// The size of most plots: text in it can still be read on a telephone.
pub const USUAL: (f64, f64) = (480.0, 320.0);
/// The font size of titles.
const TITLE: f64 = 14.0;
/// The font size of the numbers beside axes.
const SMALL: f64 = 11.0;
/// The share of a chart's width that names beside it may take.
const MOST_FOR_NAMES: f64 = 0.36;

impl Axis {
    /// An axis of numbers.
    pub fn numbers(title: impl Into<String>, scale: AxisScale) -> Self {
        Self {
            title: title.into(),
            along: Along::Numbers(scale),
        }
    }

    /// An axis of whole numbers.
    pub fn counts(title: impl Into<String>, scale: AxisScale) -> Self {
        Self {
            title: title.into(),
            along: Along::Counts(scale),
        }
    }

    /// An axis of names.
    pub fn names(title: impl Into<String>, names: Vec<String>) -> Self {
        Self {
            title: title.into(),
            along: Along::Names(names),
        }
    }
}

impl Along {
    fn place(&self, value: f64) -> f64 {
        match self {
            Self::Numbers(scale) | Self::Counts(scale) => scale.place(value),
            Self::Names(names) => (value + 0.5) / names.len().max(1) as f64,
        }
    }

    fn ticks(&self, most: usize) -> Vec<Tick> {
        match self {
            Self::Numbers(scale) => scale.ticks(most),
            Self::Counts(scale) => scale.whole_ticks(most),
            Self::Names(names) => {
                // Every second, third, ... name where there is no room for all.
                let step = names.len().div_ceil(most.max(1)).max(1);
                let shown = names.iter().enumerate().step_by(step);
                shown
                    .map(|(index, name)| Tick {
                        value: index as f64,
                        label: name.clone(),
                    })
                    .collect()
            }
        }
    }
}

impl Chart {
    /// Draws the frame.
    pub fn new(frame: Frame) -> Self {
        let (full_width, full_height) = frame.size;
        let mut drawing = Drawing::new(full_width, full_height);
        title(&mut drawing, &frame.title);
        let mut top = 34.0;
        if frame.keys.len() > 1 {
            top = legend(&mut drawing, &frame.keys, (12.0, top + 4.0), full_width - 24.0) + 6.0;
        }
        if let Some(key) = &frame.ramp {
            top = ramp_legend(&mut drawing, key, (12.0, top + 4.0)) + 6.0;
        }
        top += 6.0;
        let mut height = (full_height - top - 46.0).max(10.0);

        let rows = match &frame.y.along {
            Along::Names(_) => (height / (SMALL + 2.0)) as usize,
            _ => (height / 42.0) as usize,
        };
        let y_ticks = frame.y.along.ticks(rows);
        let widest = y_ticks
            .iter()
            .map(|tick| width(&tick.label, SMALL))
            .fold(0.0, f64::max);
        let names_room = widest.min(full_width * MOST_FOR_NAMES);
        let has_title = !frame.y.title.is_empty();
        let left = 14.0 + names_room + 6.0 + if has_title { 18.0 } else { 0.0 };
        let area_width = (full_width - left - 18.0).max(10.0);
        let mut below = None;
        if let Along::Names(names) = &frame.x.along {
            below = upwards_room(names, area_width / names.len().max(1) as f64);
            height = (height - below.unwrap_or(0.0)).max(10.0);
        }
        let mut chart = Self {
            drawing,
            left,
            top,
            width: area_width,
            height,
            upwards: below,
            x: frame.x.along,
            y: frame.y.along,
        };
        chart.y_axis(&frame.y.title, &y_ticks, names_room);
        chart.x_axis(&frame.x.title);
        chart
    }

    /// The place of a value, or of a name's index, on the horizontal axis.
    pub fn x(&self, value: f64) -> f64 {
        self.left + self.x.place(value) * self.width
    }

    /// The place on the vertical axis.
    pub fn y(&self, value: f64) -> f64 {
        let place = self.y.place(value);
        match self.y {
            Along::Names(_) => self.top + place * self.height,
            _ => self.top + (1.0 - place) * self.height,
        }
    }

    /// The place of a point.
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x(x), self.y(y))
    }

    /// The height of a slot on a vertical axis of names.
    pub fn row(&self) -> f64 {
        match &self.y {
            Along::Names(names) => self.height / names.len().max(1) as f64,
            _ => 0.0,
        }
    }

    /// The width of a slot on a horizontal axis of names.
    pub fn column(&self) -> f64 {
        match &self.x {
            Along::Names(names) => self.width / names.len().max(1) as f64,
            _ => 0.0,
        }
    }

    /// The lower edge of the area.
    pub fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// The right edge of the area.
    pub fn right(&self) -> f64 {
        self.left + self.width
    }

    fn y_axis(&mut self, title: &str, ticks: &[Tick], room: f64) {
        let named = matches!(self.y, Along::Names(_));
        for tick in ticks {
            let y = self.y(tick.value);
            if !named {
                let line = Mark::line((self.left, y), (self.right(), y));
                self.drawing.mark(line.stroke(Ink::Grid, 1.0));
            }
            let label = Label::new(
                (self.left - 6.0, y + 4.0),
                shortened(&tick.label, room + 0.01, SMALL),
            );
            let label = label.ink(if named { Ink::Text } else { Ink::Muted }).size(SMALL);
            let label = if width(&tick.label, SMALL) > room + 0.01 {
                label.tip(tick.label.clone())
            } else {
                label
            };
            self.drawing.label(label.anchor(Anchor::End));
        }
        let text = shortened(title, self.height + 30.0, SIZE);
        let place = (20.0, self.top + self.height / 2.0);
        let label = Label::new(place, text).ink(Ink::Muted).anchor(Anchor::Middle);
        self.drawing.label(label.upwards());
    }

    fn x_axis(&mut self, title: &str) {
        let bottom = self.bottom();
        let named = matches!(self.x, Along::Names(_));
        let ticks = if named {
            self.names_below()
        } else {
            self.numbers_below()
        };
        for tick in ticks {
            let x = self.x(tick.value);
            if !named {
                let line = Mark::line((x, self.top), (x, bottom));
                self.drawing.mark(line.stroke(Ink::Grid, 1.0));
            }
            let label = match self.upwards {
                Some(_) => Label::new((x + 4.0, bottom + 7.0), tick.label)
                    .anchor(Anchor::End)
                    .upwards(),
                None => Label::new((x, bottom + 16.0), tick.label).anchor(Anchor::Middle),
            };
            self.drawing.label(label.ink(Ink::Muted).size(SMALL));
        }
        let line = Mark::line((self.left, bottom), (self.right(), bottom));
        self.drawing.mark(line.stroke(Ink::Muted, 1.0));
        let place = (
            self.left + self.width / 2.0,
            bottom + 36.0 + self.upwards.unwrap_or(0.0),
        );
        let text = shortened(title, self.width + 40.0, SIZE);
        let label = Label::new(place, text).ink(Ink::Muted).anchor(Anchor::Middle);
        self.drawing.label(label);
    }

    /// As many round numbers as fit beside each other.
    fn numbers_below(&self) -> Vec<Tick> {
        let mut most = 8;
        loop {
            let ticks = self.x.ticks(most);
            let widest = ticks
                .iter()
                .map(|tick| width(&tick.label, SMALL))
                .fold(0.0, f64::max);
            let places: Vec<f64> = ticks.iter().map(|tick| self.x(tick.value)).collect();
            let fits = places.windows(2).all(|pair| pair[1] - pair[0] > widest + 8.0);
            if fits || most <= 2 {
                return ticks;
            }
            most -= 1;
        }
    }

    /// Names, shortened to their slots, or only some of them where slots are narrow.
    fn names_below(&self) -> Vec<Tick> {
        let slot = self.column();
        if let Some(room) = self.upwards {
            let mut ticks = self.x.ticks((self.width / slot.max(SMALL + 1.0)) as usize);
            for tick in &mut ticks {
                tick.label = shortened(&tick.label, room + 10.0, SMALL);
            }
            return ticks;
        }
        let most = (self.width / slot.max(26.0)) as usize;
        let mut ticks = self.x.ticks(most);
        let step = ticks.get(1).map_or(1.0, |second| second.value);
        for tick in &mut ticks {
            tick.label = shortened(&tick.label, slot * step - 4.0, SMALL);
        }
        ticks
    }
}

/// The room that names need below an axis, beyond that of a line, where one is wider than its slot.
fn upwards_room(names: &[String], slot: f64) -> Option<f64> {
    const MOST: f64 = 90.0;
    let widest = names.iter().map(|name| width(name, SMALL)).fold(0.0, f64::max);
    (widest > slot - 4.0).then(|| (widest - 10.0).clamp(8.0, MOST))
}

/// Draws a drawing's title.
pub fn title(drawing: &mut Drawing, text: &str) {
    let room = drawing.width - 24.0;
    // Bold letters are wider.
    let short = shortened(text, room / 1.04, TITLE);
    let label = Label::new((12.0, 23.0), short).size(TITLE).bold();
    drawing.label(label.tip_if_needed(text));
}

/// Draws a legend from `place` on, in as many lines as it needs; gives the place below it.
pub fn legend(drawing: &mut Drawing, keys: &[LegendKey], (left, top): (f64, f64), room: f64) -> f64 {
    const LINE: f64 = 18.0;
    const SWATCH: f64 = 18.0;
    let (mut x, mut y) = (left, top + 6.0);
    for key in keys {
        let text = shortened(&key.label, room - SWATCH - 6.0, SMALL);
        let needed = SWATCH + 6.0 + width(&text, SMALL);
        if x > left && x + needed > left + room {
            (x, y) = (left, y + LINE);
        }
        let middle = (x + SWATCH / 2.0, y - 4.0);
        let line = || Mark::line((x, y - 4.0), (x + SWATCH, y - 4.0));
        drawing.mark(match key.sample {
            LegendMark::Line(ink) => line().stroke(ink, 2.0),
            LegendMark::Dashes(ink) => line().stroke(ink, 2.0).dashed("4 3"),
            LegendMark::Faint(ink) => line().stroke(ink, 1.2).opacity(0.5),
            LegendMark::Dot(ink) => Mark::circle(middle, 4.0).fill(ink),
            LegendMark::Ring(ink) => Mark::circle(middle, 3.5).stroke(ink, 1.5),
            LegendMark::Cross(ink) => Mark::cross(middle, 3.5).stroke(ink, 1.8),
            LegendMark::Bar(ink) => Mark::rectangle((x + 2.0, y - 9.0), SWATCH - 4.0, 10.0)
                .fill(ink)
                .rounded(2.0),
        });
        drawing.label(Label::new((x + SWATCH + 6.0, y), text).size(SMALL));
        x += needed + 16.0;
    }
    y + 4.0
}

/// Draws what the ramp's colours mean from `place` on; gives the place below it.
pub fn ramp_legend(drawing: &mut Drawing, key: &RampKey, (left, top): (f64, f64)) -> f64 {
    const STEP: f64 = 12.0;
    let y = top + 6.0;
    let mut x = left;
    let text = |drawing: &mut Drawing, x: &mut f64, text: &str, ink: Ink| {
        drawing.label(Label::new((*x, y), text).size(SMALL).ink(ink));
        *x += width(text, SMALL) + 6.0;
    };
    text(drawing, &mut x, &format!("{}:", key.title), Ink::Text);
    text(drawing, &mut x, &key.low, Ink::Muted);
    for step in key.from..Ink::STEPS {
        let mark = Mark::rectangle((x, y - 9.0), STEP + 0.3, 10.0).fill(Ink::Ramp(step));
        drawing.mark(mark);
        x += STEP;
    }
    x += 6.0;
    text(drawing, &mut x, &key.high, Ink::Muted);
    y + 4.0
}

impl Label {
    /// With the whole text to show when it is pointed at, where it was shortened.
    pub fn tip_if_needed(self, whole: &str) -> Self {
        if self.text() == whole {
            self
        } else {
            self.tip(whole)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(x: Along, y: Along) -> Frame {
        let axis = |along| Axis {
            title: "a".to_owned(),
            along,
        };
        Frame {
            title: "t".to_owned(),
            x: axis(x),
            y: axis(y),
            keys: Vec::new(),
            ramp: None,
            size: USUAL,
        }
    }

    #[test]
    fn points_lie_inside() {
        let values = [-5.0, 12.0, 100.0];
        let scale = AxisScale::linear(values);
        let chart = Chart::new(frame(Along::Numbers(scale), Along::Numbers(scale)));
        for value in values {
            let (x, y) = chart.at(value, value);
            assert!((chart.left..=chart.right()).contains(&x) && (chart.top..=chart.bottom()).contains(&y));
        }
        assert!(chart.y(12.0) < chart.y(-5.0), "large values are at the top");
    }

    #[test]
    fn labels_never_overlap() {
        for count in [1, 3, 10, 50, 1000] {
            let names: Vec<String> = (0..count)
                .map(|index| format!("a rather long name {index}"))
                .collect();
            let chart = Chart::new(frame(Along::Names(names.clone()), Along::Names(names)));
            let below = chart.names_below();
            let ends: Vec<(f64, f64)> = below
                .iter()
                .map(|tick| {
                    let half = match chart.upwards {
                        Some(_) => SMALL / 2.0,
                        None => width(&tick.label, SMALL) / 2.0,
                    };
                    (chart.x(tick.value) - half, chart.x(tick.value) + half)
                })
                .collect();
            assert!(
                ends.windows(2).all(|pair| pair[0].1 < pair[1].0),
                "{count}: {below:?}"
            );
            assert!(!below.is_empty());
        }
        for high in [1.0, 1e4, 123_456.0, 1e9] {
            let scale = AxisScale::linear([0.0, high]);
            let chart = Chart::new(frame(Along::Numbers(scale), Along::Numbers(scale)));
            assert!(chart.numbers_below().len() >= 2);
        }
    }
}
