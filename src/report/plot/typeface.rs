//! The letters of pictures, from a font of our own: the machine's are not asked for, so that every machine draws
//! the same.

use tiny_skia::PathBuilder;
use ttf_parser::{Face, OutlineBuilder};

static REGULAR: &[u8] = include_bytes!("font/Roboto-Regular.ttf");
static BOLD: &[u8] = include_bytes!("font/Roboto-Bold.ttf");

/// A weight of the font, in a size.
pub(super) struct Typeface {
    face: Face<'static>,
    /// Pixels for a unit of the font.
    scale: f32,
}

impl Typeface {
    /// The font with its letters `size` pixels high, as sizes of letters are counted.
    pub fn new(is_bold: bool, size: f32) -> Self {
        let data = if is_bold { BOLD } else { REGULAR };
        match Face::parse(data, 0) {
            Ok(face) => Self {
                scale: size / f32::from(face.units_per_em()),
                face,
            },
            Err(_) => unreachable!("the program's own font is one"),
        }
    }

    /// The width of a line of text.
    pub fn width(&self, text: &str) -> f32 {
        text.chars().map(|letter| self.advance(letter)).sum()
    }

    /// The outlines of a line of text whose left end stands at (`x`, `y`) on its baseline. A letter that the font
    /// does not have becomes its empty box.
    pub fn outline(&self, text: &str, (x, y): (f32, f32)) -> Option<tiny_skia::Path> {
        let mut pen = Pen {
            path: PathBuilder::new(),
            x,
            y,
            scale: self.scale,
        };
        for letter in text.chars() {
            let glyph = self.face.glyph_index(letter).unwrap_or_default();
            // A space has none.
            let _ = self.face.outline_glyph(glyph, &mut pen);
            pen.x += self.advance(letter);
        }
        pen.path.finish()
    }

    fn advance(&self, letter: char) -> f32 {
        let glyph = self.face.glyph_index(letter).unwrap_or_default();
        f32::from(self.face.glyph_hor_advance(glyph).unwrap_or_default()) * self.scale
    }
}

/// Draws a glyph at a place; in fonts y grows upwards.
struct Pen {
    path: PathBuilder,
    x: f32,
    y: f32,
    scale: f32,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, self.y - y * self.scale)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
