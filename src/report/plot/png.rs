//! A drawing as a PNG file.

use png::{BitDepth, ColorType, Compression, Encoder, Filter};
use tiny_skia::Pixmap;

use super::drawing::Drawing;
use super::paint::paint;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PngError {
    /// It would be larger than is sensible.
    #[error("a picture of {width} x {height} pixels is too large: choose a smaller scale, or SVG")]
    TooLarge {
        /// Its width.
        width: f32,
        /// Its height.
        height: f32,
    },
    /// It cannot be written.
    #[error("the picture cannot be written: {0}")]
    Encoding(#[from] png::EncodingError),
}

/// The longest side of a picture, in pixels.
const LONGEST: f32 = 20_000.0;

/// A drawing as PNG, each of its pixels as `scale` by `scale`.
///
/// # Errors
/// The picture would be too large.
pub fn render(drawing: &Drawing, scale: f32) -> Result<Vec<u8>, PngError> {
    let (width, height) = (
        (drawing.width as f32 * scale).ceil(),
        (drawing.height as f32 * scale).ceil(),
    );
    let too_large = PngError::TooLarge { width, height };
    if !(1.0..=LONGEST).contains(&width) || !(1.0..=LONGEST).contains(&height) {
        return Err(too_large);
    }
    let Some(mut pixels) = Pixmap::new(width as u32, height as u32) else {
        return Err(too_large);
    };
    paint(drawing, &mut pixels, scale);
    // The drawing covers all of it: no pixel lets anything through, and colours are what they are.
    let colours: Vec<u8> = pixels
        .data()
        .chunks_exact(4)
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, pixels.width(), pixels.height());
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    encoder.set_filter(Filter::Adaptive);
    encoder.write_header()?.write_image_data(&colours)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::drawing::{Anchor, Label, Mark, Path};
    use super::super::ink::Ink;
    use super::*;

    fn picture(drawing: &Drawing, scale: f32) -> image::RgbImage {
        let bytes = render(drawing, scale).unwrap();
        let picture = image::load_from_memory(&bytes).unwrap().to_rgb8();
        assert_eq!(f64::from(picture.width()), drawing.width * f64::from(scale));
        picture
    }

    fn dark_pixels(drawing: &Drawing, scale: f32) -> usize {
        picture(drawing, scale)
            .pixels()
            .filter(|pixel| pixel.0[0] < 100)
            .count()
    }

    #[test]
    fn text_appears() {
        let mut drawing = Drawing::new(120.0, 30.0);
        assert_eq!(dark_pixels(&drawing, 1.0), 0);
        drawing.label(Label::new((5.0, 20.0), "validation loss"));
        let plain = dark_pixels(&drawing, 2.0);
        assert!(plain > 300, "{plain} dark pixels");
        let mut bold = Drawing::new(120.0, 30.0);
        bold.label(Label::new((5.0, 20.0), "validation loss").bold());
        assert!(
            dark_pixels(&bold, 2.0) > plain * 6 / 5,
            "bold letters are there too"
        );
        let mut greek = Drawing::new(120.0, 30.0);
        greek.label(Label::new((5.0, 20.0), "β₁ Größe Ж −…"));
        assert!(dark_pixels(&greek, 2.0) > 150);
    }

    /// Where the dark pixels are: left, top, right, bottom.
    fn extent(drawing: &Drawing) -> [u32; 4] {
        let picture = picture(drawing, 1.0);
        let dark = picture
            .enumerate_pixels()
            .filter(|(_, _, pixel)| pixel.0[0] < 160);
        dark.fold(
            [u32::MAX, u32::MAX, 0, 0],
            |[left, top, right, bottom], (x, y, _)| [left.min(x), top.min(y), right.max(x), bottom.max(y)],
        )
    }

    #[test]
    fn text_stands_where_it_is_put() {
        let text = |anchor| {
            let mut drawing = Drawing::new(100.0, 100.0);
            drawing.label(Label::new((50.0, 50.0), "HHHH").anchor(anchor));
            drawing
        };
        // Four letters of 8.6 pixels, 8.5 high.
        let [left, top, right, bottom] = extent(&text(Anchor::Start));
        assert!(
            (50..52).contains(&left) && (82..85).contains(&right),
            "{left} {right}"
        );
        assert!((41..43).contains(&top) && bottom == 49, "{top} {bottom}");
        let [left, _, right, _] = extent(&text(Anchor::Middle));
        assert!(
            (32..35).contains(&left) && (65..68).contains(&right),
            "{left} {right}"
        );
        let [_, _, right, _] = extent(&text(Anchor::End));
        assert!((47..50).contains(&right), "{right}");
        let mut upwards = Drawing::new(100.0, 100.0);
        upwards.label(Label::new((50.0, 50.0), "HHHH").upwards());
        let [left, top, right, bottom] = extent(&upwards);
        assert!((41..43).contains(&left) && right == 49, "{left} {right}");
        assert!(
            (15..18).contains(&top) && (47..50).contains(&bottom),
            "{top} {bottom}"
        );
    }

    #[test]
    fn marks_have_their_colours_and_let_through_what_lies_under_them() {
        let mut drawing = Drawing::new(60.0, 20.0);
        drawing.mark(Mark::rectangle((0.0, 0.0), 20.0, 20.0).fill(Ink::Series(0)));
        let half = Mark::circle((30.0, 10.0), 8.0).fill(Ink::Series(0));
        drawing.mark(half.stroke(Ink::Series(0), 2.0).opacity(0.5));
        drawing.mark(
            Mark::path(Path::through([(40.0, 10.0), (60.0, 10.0)]))
                .stroke(Ink::Bad, 4.0)
                .dashed("4 6"),
        );
        let picture = picture(&drawing, 1.0);
        let at = |x, y| picture.get_pixel(x, y).0;
        assert_eq!(at(10, 10), [0x00, 0x72, 0xb2]);
        // Half of it and half of the paper, where the outline lies upon the filling too.
        for x in [30, 37] {
            for (found, wanted) in at(x, 10).into_iter().zip([0x80, 0xb9, 0xd9]) {
                assert!(i32::from(found).abs_diff(wanted) <= 1, "{:?}", at(x, 10));
            }
        }
        assert_eq!((at(42, 10), at(47, 10)), ([0xb3, 0x26, 0x1e], [255; 3]));
        assert_eq!(at(25, 1), [255; 3]);
    }

    #[test]
    fn the_same_drawing_gives_the_same_bytes() {
        let mut drawing = Drawing::new(50.0, 30.0);
        drawing.label(Label::new((5.0, 20.0), "abc"));
        assert_eq!(render(&drawing, 2.0).unwrap(), render(&drawing, 2.0).unwrap());
        assert!(matches!(render(&drawing, 1e6), Err(PngError::TooLarge { .. })));
        assert!(matches!(
            render(&drawing, f32::NAN),
            Err(PngError::TooLarge { .. })
        ));
    }
}
