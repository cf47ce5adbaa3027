//! What form a file has, told from how it begins.

use super::orientation::orientation_of;
use super::raster::Raster;
use super::{DecodeProblem, bmp, gif, jpeg, png, tiff, webp};

/// A form of image files that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::data) enum ImageForm {
    Png,
    Jpeg,
    Gif,
    Bmp,
    WebP,
    Tiff,
}

impl ImageForm {
    /// What the names of files end in, in lower case: of the forms that are read, and of others that hold images and
    /// must not be left out without a word.
    pub const EXTENSIONS: [&str; 22] = [
        "jpg", "jpeg", "jpe", "jfif", "png", "apng", "gif", "bmp", "dib", "webp", "tif",
        "tiff", // Read.
        "avif", "heic", "heif", "jp2", "jxl", "ppm", "pgm", "pbm", "pnm", "tga",
    ];

    /// The form of a file that begins with `bytes`.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let begins = |signatures: &[&[u8]]| signatures.iter().any(|signature| bytes.starts_with(signature));
        if bytes.starts_with(png::SIGNATURE) {
            Some(Self::Png)
        } else if bytes.starts_with(jpeg::SIGNATURE) {
            Some(Self::Jpeg)
        } else if begins(&gif::SIGNATURES) {
            Some(Self::Gif)
        } else if bmp::is_begun(bytes) {
            Some(Self::Bmp)
        } else if webp::is_begun(bytes) {
            Some(Self::WebP)
        } else if begins(&tiff::SIGNATURES) {
            Some(Self::Tiff)
        } else {
            None
        }
    }

    /// The height and width that a file of this form claims.
    pub(super) fn claimed_size(self, bytes: &[u8]) -> Option<[usize; 2]> {
        match self {
            Self::Png => png::claimed_size(bytes),
            Self::Jpeg => jpeg::claimed_size(bytes),
            Self::Gif => gif::claimed_size(bytes),
            Self::Bmp => bmp::claimed_size(bytes),
            Self::WebP => webp::claimed_size(bytes),
            Self::Tiff => tiff::claimed_size(bytes),
        }
    }

    /// Decodes a file of this form whose pixels take no more than `most` bytes.
    pub(super) fn decode(self, bytes: &[u8], most: usize) -> Result<Raster, DecodeProblem> {
        match self {
            Self::Png => png::decode(bytes, most),
            Self::Jpeg => jpeg::decode(bytes, most),
            Self::Gif => gif::decode(bytes, most),
            Self::Bmp => bmp::decode(bytes, most),
            Self::WebP => webp::decode(bytes, most),
            Self::Tiff => tiff::decode(bytes, most),
        }
    }

    /// The orientation that a file's EXIF data tell and decoding has left as it is.
    pub(super) fn orientation(self, bytes: &[u8]) -> u8 {
        let exif = match self {
            Self::Png => png::exif(bytes).map(<[u8]>::to_vec),
            Self::Jpeg => jpeg::exif(bytes),
            Self::WebP => webp::exif(bytes),
            Self::Gif | Self::Bmp | Self::Tiff => None,
        };
        exif.map_or(1, |exif| orientation_of(&exif))
    }
}

/// What a file is that holds an image of a form that is not read.
pub(super) fn foreign_form(bytes: &[u8]) -> Option<&'static str> {
    // ISO base media files name their brand.
    if bytes.get(4..8) == Some(b"ftyp") {
        return match bytes.get(8..12)? {
            b"avif" | b"avis" => Some("an AVIF image"),
            b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1" => Some("a HEIF image"),
            _ => None,
        };
    }
    let signatures: [(&[u8], &str); 9] = [
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
        (b"\xff\x0a", "a JPEG XL image"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
        (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
        (b"8BPS", "a Photoshop file"),
        (b"qoif", "a QOI image"),
        (b"\x76\x2f\x31\x01", "an OpenEXR image"),
        (b"#?RADIANCE", "a Radiance image"),
        (b"\0\0\x01\0", "an icon"),
    ];
    let known = signatures
        .iter()
        .find(|(signature, _)| bytes.starts_with(signature));
    if let Some((_, kind)) = known {
        return Some(kind);
    }
    match bytes {
        [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..] => Some("a PNM image"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_from_how_files_begin() {
        assert_eq!(ImageForm::of(b"II*\0...."), Some(ImageForm::Tiff));
        assert_eq!(ImageForm::of(b"RIFF....WEBPVP8 "), Some(ImageForm::WebP));
        assert_eq!(ImageForm::of(b"RIFF....WAVEfmt "), None);
        // A text that begins with the two letters.
        assert_eq!(ImageForm::of(b"BMW is a car, and this is text"), None);
        assert_eq!(ImageForm::of(b""), None);
        for (bytes, kind) in [
            (&b"\0\0\0\x1cftypavif"[..], "an AVIF image"),
            (b"\0\0\0\x18ftypheic", "a HEIF image"),
            (b"P6\n3 4\n", "a PNM image"),
            (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
        ] {
            assert_eq!(foreign_form(bytes), Some(kind));
        }
        for bytes in [
            &b"\0\0\0\x18ftypmp42"[..],
            b"Path,label",
            b"",
            b"P6",
            b"PK\x03\x04",
        ] {
            assert_eq!(foreign_form(bytes), None, "{bytes:?}");
        }
    }
}
