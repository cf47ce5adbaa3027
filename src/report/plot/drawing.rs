//! A drawing: marks and labels, and their SVG.

use std::fmt::Write as _;

use super::ink::Ink;
use super::text::escape;

/// Where a drawing will stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Inside a page, whose style sheet knows the colours (as variables) and the font.
    Page,
    /// A file of its own, with its own colours, on white.
    Alone,
}

/// A picture without colours yet. Lengths are in pixels of its natural size; y grows downwards.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    pub(super) elements: Vec<Element>,
}

/// A mark or a label.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Element {
    Mark(Mark),
    Label(Label),
}

/// A shape with its paint.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    pub(super) shape: MarkShape,
    pub(super) fill: Option<Ink>,
    pub(super) stroke: Option<(Ink, f64)>,
    pub(super) dashes: Option<&'static str>,
    pub(super) opacity: f64,
    tip: Option<String>,
    trial: Option<u32>,
}

/// What a mark looks like.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum MarkShape {
    Path(Path),
    Circle {
        x: f64,
        y: f64,
        radius: f64,
    },
    Rectangle {
        x: f64,
        y: f64,
        width: f64,
        height: f64,
        rounding: f64,
    },
}

/// A line, or the outline of an area. Points that are no numbers break it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Path {
    pub(super) steps: Vec<PathStep>,
    last: Option<(f64, f64)>,
}

/// A step of a path's pen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum PathStep {
    /// To a point without drawing.
    Move((f64, f64)),
    /// Straight to a point.
    Line((f64, f64)),
    /// To the last of these points, the others being a cubic Bézier curve's control points.
    Curve((f64, f64), (f64, f64), (f64, f64)),
    /// Around a rectangle, from its corner, with its width and height.
    Rectangle((f64, f64), f64, f64),
    /// Back to where the pen was last put down.
    Close,
}

/// Text at a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) text: String,
    pub(super) ink: Ink,
    pub(super) size: f64,
    pub(super) anchor: Anchor,
    pub(super) bold: bool,
    pub(super) upwards: bool,
    pub(super) halo: bool,
    tip: Option<String>,
}

/// Which end of a text its place means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its left end.
    Start,
    /// Its middle.
    Middle,
    /// Its right end.
    End,
}

/// The usual font size.
pub const SIZE: f64 = 12.0;

impl Drawing {
    /// An empty one.
    pub fn new(width: f64, height: f64) -> Self {
        Self {
            width,
            height,
            elements: Vec::new(),
        }
    }

    /// Puts a mark on top.
    pub fn mark(&mut self, mark: Mark) {
        let empty = matches!(&mark.shape, MarkShape::Path(path) if path.steps.is_empty());
        if !empty {
            self.elements.push(Element::Mark(mark));
        }
    }

    /// Puts a text on top.
    pub fn label(&mut self, label: Label) {
        if !label.text.is_empty() {
            self.elements.push(Element::Label(label));
        }
    }

    /// The drawing as SVG; `title` is what a screen reader says of it.
    pub fn svg(&self, title: &str, setting: Setting) -> String {
        let (width, height) = (number(self.width), number(self.height));
        let title = escape(title);
        let mut svg = match setting {
            Setting::Page => format!(
                // A little larger than natural where there is room.
                "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
                 style=\"max-width:{}px\" role=\"img\" aria-label=\"{title}\">",
                number(self.width * 1.2)
            ),
            Setting::Alone => format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
                 height=\"{height}\" font-family=\"Roboto, system-ui, 'Segoe UI', 'Helvetica Neue', Arial, \
                 sans-serif\" role=\"img\">\n<title>{title}</title>\n\
                 <rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>",
                Ink::Paper.light()
            ),
        };
        for element in &self.elements {
            svg.push('\n');
            match element {
                Element::Mark(mark) => mark.write(&mut svg, setting),
                Element::Label(label) => label.write(&mut svg, setting),
            }
        }
        svg.push_str("\n</svg>");
        svg
    }
}

impl Mark {
    fn new(shape: MarkShape) -> Self {
        Self {
            shape,
            fill: None,
            stroke: None,
            dashes: None,
            opacity: 1.0,
            tip: None,
            trial: None,
        }
    }

    /// A line or an area.
    pub fn path(path: Path) -> Self {
        Self::new(MarkShape::Path(path))
    }

    /// A straight line.
    pub fn line(from: (f64, f64), to: (f64, f64)) -> Self {
        Self::path(Path::through([from, to]))
    }

    /// A circle.
    pub fn circle((x, y): (f64, f64), radius: f64) -> Self {
        Self::new(MarkShape::Circle { x, y, radius })
    }

    /// A cross, as two strokes.
    pub fn cross((x, y): (f64, f64), radius: f64) -> Self {
        let mut path = Path::through([(x - radius, y - radius), (x + radius, y + radius)]);
        path.lift();
        path.to((x - radius, y + radius));
        path.to((x + radius, y - radius));
        Self::path(path)
    }

    /// A rectangle.
    pub fn rectangle((x, y): (f64, f64), width: f64, height: f64) -> Self {
        Self::new(MarkShape::Rectangle {
            x,
            y,
            width: width.max(0.0),
            height: height.max(0.0),
            rounding: 0.0,
        })
    }

    /// With round corners, if it is a rectangle.
    pub fn rounded(mut self, by: f64) -> Self {
        if let MarkShape::Rectangle { rounding, .. } = &mut self.shape {
            *rounding = by;
        }
        self
    }

    /// Filled.
    pub fn fill(mut self, ink: Ink) -> Self {
        self.fill = Some(ink);
        self
    }

    /// With an outline.
    pub fn stroke(mut self, ink: Ink, width: f64) -> Self {
        self.stroke = Some((ink, width));
        self
    }

    /// With a broken outline.
    pub fn dashed(mut self, dashes: &'static str) -> Self {
        self.dashes = Some(dashes);
        self
    }

    /// Letting through what lies under it.
    pub fn opacity(mut self, opacity: f64) -> Self {
        self.opacity = opacity;
        self
    }

    /// With a text that shows when it is pointed at.
    pub fn tip(mut self, tip: impl Into<String>) -> Self {
        self.tip = Some(tip.into());
        self
    }

    /// Standing for a trial: pages highlight all marks of the trial that is pointed at.
    pub fn trial(mut self, trial: u32) -> Self {
        self.trial = Some(trial);
        self
    }

    fn write(&self, svg: &mut String, setting: Setting) {
        let name = match &self.shape {
            MarkShape::Path(path) => {
                let _ = write!(svg, "<path d=\"{}\"", path.commands());
                "path"
            }
            MarkShape::Circle { x, y, radius } => {
                let (x, y, radius) = (number(*x), number(*y), number(*radius));
                let _ = write!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"");
                "circle"
            }
            MarkShape::Rectangle {
                x,
                y,
                width,
                height,
                rounding,
            } => {
                let (x, y, width, height) = (number(*x), number(*y), number(*width), number(*height));
                let _ = write!(
                    svg,
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\""
                );
                if *rounding > 0.0 {
                    let _ = write!(svg, " rx=\"{}\"", number(*rounding));
                }
                "rect"
            }
        };
        let fill = self
            .fill
            .map_or_else(|| "none".to_owned(), |ink| colour(ink, setting));
        let _ = write!(svg, " fill=\"{fill}\"");
        if let Some((ink, width)) = self.stroke {
            let _ = write!(
                svg,
                " stroke=\"{}\" stroke-width=\"{}\"",
                colour(ink, setting),
                number(width)
            );
            if name == "path" {
                svg.push_str(" stroke-linejoin=\"round\" stroke-linecap=\"round\"");
            }
        }
        if let Some(dashes) = self.dashes {
            let _ = write!(svg, " stroke-dasharray=\"{dashes}\"");
        }
        if self.opacity < 1.0 {
            let _ = write!(svg, " opacity=\"{}\"", self.opacity);
        }
        if let (Some(trial), Setting::Page) = (self.trial, setting) {
            let _ = write!(svg, " data-t=\"{trial}\"");
        }
        close(svg, name, self.tip.as_deref());
    }
}

impl Path {
    /// A line through points.
    pub fn through(points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let mut path = Self::default();
        for point in points {
            path.to(point);
        }
        path
    }

    /// The outline of the area between two lines, each from left to right.
    pub fn between(upper: &[(f64, f64)], lower: &[(f64, f64)]) -> Self {
        let mut path = Self::through(upper.iter().chain(lower.iter().rev()).copied());
        if !path.steps.is_empty() {
            path.steps.push(PathStep::Close);
        }
        path
    }

    /// Draws on to a point, or begins there.
    pub fn to(&mut self, (x, y): (f64, f64)) {
        if !x.is_finite() || !y.is_finite() {
            self.last = None;
            return;
        }
        // From point to point as they are written, so that rounding does not add up.
        let (x, y) = (tenth(x), tenth(y));
        self.steps.push(match self.last {
            None => PathStep::Move((x, y)),
            Some(_) => PathStep::Line((x, y)),
        });
        self.last = Some((x, y));
    }

    /// The next point begins a new line.
    pub fn lift(&mut self) {
        self.last = None;
    }

    /// Adds a rectangle.
    pub fn rectangle(&mut self, (x, y): (f64, f64), width: f64, height: f64) {
        self.steps.push(PathStep::Rectangle((x, y), width, height));
        self.last = None;
    }

    /// Adds a curve that leaves downwards and arrives downwards.
    pub fn bend(&mut self, from: (f64, f64), to: (f64, f64)) {
        let middle = (from.1 + to.1) / 2.0;
        if self.last != Some(from) {
            self.steps.push(PathStep::Move(from));
        }
        self.steps
            .push(PathStep::Curve((from.0, middle), (to.0, middle), to));
        self.last = Some(to);
    }

    /// The path as SVG has it.
    fn commands(&self) -> String {
        let mut text = String::new();
        let mut pen = (0.0, 0.0);
        for step in &self.steps {
            let _ = match *step {
                PathStep::Move((x, y)) => write!(text, "M{} {}", number(x), number(y)),
                PathStep::Line((x, y)) => write!(text, "l{} {}", number(x - pen.0), number(y - pen.1)),
                PathStep::Curve(one, two, to) => {
                    let [one, two, to] = [one, two, to].map(|(x, y)| number(x) + " " + &number(y));
                    write!(text, "C{one} {two} {to}")
                }
                PathStep::Rectangle((x, y), width, height) => {
                    let (width, height) = (number(width), number(height));
                    write!(text, "M{} {}h{width}v{height}h-{width}z", number(x), number(y))
                }
                PathStep::Close => write!(text, "z"),
            };
            if let PathStep::Move(to) | PathStep::Line(to) | PathStep::Curve(_, _, to) = *step {
                pen = to;
            }
        }
        text
    }
}

impl Label {
    /// Text with its left end at a place on its baseline.
    pub fn new((x, y): (f64, f64), text: impl Into<String>) -> Self {
        Self {
            x,
            y,
            text: text.into(),
            ink: Ink::Text,
            size: SIZE,
            anchor: Anchor::Start,
            bold: false,
            upwards: false,
            halo: false,
            tip: None,
        }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// In another ink.
    pub fn ink(mut self, ink: Ink) -> Self {
        self.ink = ink;
        self
    }

    /// In another size.
    pub fn size(mut self, size: f64) -> Self {
        self.size = size;
        self
    }

    /// With its place meaning another end.
    pub fn anchor(mut self, anchor: Anchor) -> Self {
        self.anchor = anchor;
        self
    }

    /// In bold.
    pub fn bold(mut self) -> Self {
        self.bold = true;
        self
    }

    /// Reading from below upwards.
    pub fn upwards(mut self) -> Self {
        self.upwards = true;
        self
    }

    /// Set off from what lies under it.
    pub fn halo(mut self) -> Self {
        self.halo = true;
        self
    }

    /// With a text that shows when it is pointed at.
    pub fn tip(mut self, tip: impl Into<String>) -> Self {
        self.tip = Some(tip.into());
        self
    }

    fn write(&self, svg: &mut String, setting: Setting) {
        let (x, y) = (number(self.x), number(self.y));
        let _ = write!(
            svg,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" fill=\"{}\"",
            number(self.size),
            colour(self.ink, setting)
        );
        match self.anchor {
            Anchor::Start => {}
            Anchor::Middle => svg.push_str(" text-anchor=\"middle\""),
            Anchor::End => svg.push_str(" text-anchor=\"end\""),
        }
        if self.bold {
            svg.push_str(" font-weight=\"bold\"");
        }
        if self.upwards {
            let _ = write!(svg, " transform=\"rotate(-90 {x} {y})\"");
        }
        if self.halo {
            let paper = colour(Ink::Paper, setting);
            let _ = write!(
                svg,
                " stroke=\"{paper}\" stroke-width=\"3\" stroke-linejoin=\"round\" paint-order=\"stroke\""
            );
        }
        let _ = write!(svg, ">{}", escape(&self.text));
        if let Some(tip) = &self.tip {
            let _ = write!(svg, "<title>{}</title>", escape(tip));
        }
        svg.push_str("</text>");
    }
}

fn colour(ink: Ink, setting: Setting) -> String {
    match setting {
        Setting::Page => format!("var({})", ink.variable()),
        Setting::Alone => ink.light().to_owned(),
    }
}

fn close(svg: &mut String, name: &str, tip: Option<&str>) {
    match tip {
        None => svg.push_str("/>"),
        Some(tip) => {
            let _ = write!(svg, "><title>{}</title></{name}>", escape(tip));
        }
    }
}

/// A length as it is drawn, with one decimal.
pub(super) fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A length with one decimal at most; what is no number becomes 0.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{:.1}", tenth(value));
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Drawing {
        let mut drawing = Drawing::new(100.0, 50.5);
        drawing.mark(
            Mark::path(Path::through([
                (0.0, 0.0),
                (10.04, 5.0),
                (f64::NAN, 1.0),
                (3.0, 4.0),
                (1.0, 4.0),
            ]))
            .stroke(Ink::Series(0), 1.5)
            .trial(3)
            .tip("a < b"),
        );
        drawing.mark(
            Mark::rectangle((1.0, 2.0), -3.0, 4.0)
                .fill(Ink::Ramp(8))
                .rounded(2.0),
        );
        drawing.mark(Mark::path(Path::through([(f64::INFINITY, 0.0)])).fill(Ink::Bad));
        drawing.label(Label::new((5.0, 5.0), "<&\">").bold().upwards().halo());
        drawing.label(Label::new((5.0, 5.0), ""));
        drawing
    }

    #[test]
    fn a_page_gets_variables_and_a_file_gets_colours() {
        let page = sample().svg("t", Setting::Page);
        assert!(page.contains("stroke=\"var(--s0)\"") && page.contains("data-t=\"3\""));
        assert!(!page.contains("http") && !page.contains('#'), "{page}");
        let alone = sample().svg("t", Setting::Alone);
        assert!(!alone.contains("var(") && alone.contains("stroke=\"#0072b2\""));
        assert!(alone.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    }

    #[test]
    fn what_is_no_number_breaks_a_line_and_text_is_escaped() {
        let page = sample().svg("\"t\"", Setting::Page);
        assert!(page.contains("d=\"M0 0l10 5M3 4l-2 0\""), "{page}");
        assert!(page.contains(">&lt;&amp;&quot;&gt;</text>") && page.contains("<title>a &lt; b</title>"));
        assert!(page.contains("aria-label=\"&quot;t&quot;\""));
        assert!(page.contains("width=\"0\" height=\"4\"") && !page.contains("NaN"));
        assert_eq!(page.matches("<path").count(), 1, "an empty path is left out");
        assert_eq!(page.matches("<text").count(), 1, "an empty text is left out");
    }

    #[test]
    fn rounding_does_not_add_up() {
        let path = Path::through((0..1000).map(|index| (f64::from(index) * 0.14, 0.0)));
        let commands = path.commands();
        let steps = commands.split('l').skip(1);
        let end: f64 = steps
            .map(|step| step.split(' ').next().unwrap().parse::<f64>().unwrap())
            .sum();
        assert!((end - 139.9).abs() < 0.06, "{end}");
    }
}
