//! SVG as pixels, with a font of our own: the machine's are not asked for.

use std::io::Cursor;
use std::sync::{Arc, LazyLock};

use image::{ExtendedColorType, ImageEncoder};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PngError {
    /// The SVG cannot be read.
    #[error("the picture cannot be drawn: {0}")]
    Unreadable(String),
    /// It would be larger than is sensible.
    #[error("a picture of {width} x {height} pixels is too large: choose a smaller scale, or SVG")]
    TooLarge {
        /// Its width.
        width: f32,
        /// Its height.
        height: f32,
    },
}

/// The longest side of a picture, in pixels.
const LONGEST: f32 = 20_000.0;

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(include_bytes!("font/Roboto-Regular.ttf").to_vec());
    fonts.load_font_data(include_bytes!("font/Roboto-Bold.ttf").to_vec());
    fonts.set_sans_serif_family("Roboto");
    Arc::new(fonts)
});

/// `svg` as PNG, each of its pixels as `scale` by `scale`.
///
/// # Errors
/// It is no SVG, or the picture would be too large.
pub fn render(svg: &str, scale: f32) -> Result<Vec<u8>, PngError> {
    let options = Options {
        fontdb: Arc::clone(&FONTS),
        font_family: "Roboto".to_owned(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|error| PngError::Unreadable(error.to_string()))?;
    let (width, height) = (
        (tree.size().width() * scale).ceil(),
        (tree.size().height() * scale).ceil(),
    );
    let too_large = PngError::TooLarge { width, height };
    if !(1.0..=LONGEST).contains(&width) || !(1.0..=LONGEST).contains(&height) {
        return Err(too_large);
    }
    let Some(mut pixels) = Pixmap::new(width as u32, height as u32) else {
        return Err(too_large);
    };
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    // The drawing covers all of it: no pixel lets anything through, and colours are what they are.
    let colours: Vec<u8> = pixels
        .data()
        .chunks_exact(4)
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
        .collect();
    let mut bytes = Cursor::new(Vec::new());
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(&colours, pixels.width(), pixels.height(), ExtendedColorType::Rgb8)
        .map_err(|error| PngError::Unreadable(error.to_string()))?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::super::drawing::{Drawing, Label, Setting};
    use super::*;

    fn dark_pixels(drawing: &Drawing, scale: f32) -> usize {
        let bytes = render(&drawing.svg("t", Setting::Alone), scale).unwrap();
        let picture = image::load_from_memory(&bytes).unwrap().to_rgb8();
        assert_eq!(f64::from(picture.width()), drawing.width * f64::from(scale));
        picture.pixels().filter(|pixel| pixel.0[0] < 100).count()
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

    #[test]
    fn the_same_drawing_gives_the_same_bytes() {
        let mut drawing = Drawing::new(50.0, 30.0);
        drawing.label(Label::new((5.0, 20.0), "abc"));
        let svg = drawing.svg("t", Setting::Alone);
        assert_eq!(render(&svg, 2.0).unwrap(), render(&svg, 2.0).unwrap());
        assert!(matches!(render(&svg, 1e6), Err(PngError::TooLarge { .. })));
        assert!(matches!(render("<svg", 1.0), Err(PngError::Unreadable(_))));
    }
}
