//! EXIF orientation.

use super::directory::Directory;
use super::raster::{Raster, RasterValues};

/// What the orientation's tag is called in a file.
const TAG: u16 = 0x0112;

/// The orientation that EXIF data tell, 1 to 8; 1, which is upright, where they do not.
pub(super) fn orientation_of(exif: &[u8]) -> u8 {
    // Some programs repeat the name that JPEG files have in front.
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    Directory::first(exif)
        .and_then(|directory| directory.number(TAG))
        .filter(|orientation| (1..=8).contains(orientation))
        .unwrap_or(1) as u8
}

impl Raster {
    /// The image turned upright from an `orientation` of 1 to 8, as EXIF and TIFF number them.
    pub fn oriented(self, orientation: u8) -> Self {
        let [height, width] = self.size;
        // Where the pixel in row y and column x comes from.
        let source: fn([usize; 2], [usize; 2]) -> [usize; 2] = match orientation {
            2 => |[_, w], [y, x]| [y, w - 1 - x],
            3 => |[h, w], [y, x]| [h - 1 - y, w - 1 - x],
            4 => |[h, _], [y, x]| [h - 1 - y, x],
            5 => |_, [y, x]| [x, y],
            6 => |[h, _], [y, x]| [h - 1 - x, y],
            7 => |[h, w], [y, x]| [h - 1 - x, w - 1 - y],
            8 => |[_, w], [y, x]| [x, w - 1 - y],
            _ => return self,
        };
        let size = if orientation < 5 {
            [height, width]
        } else {
            [width, height]
        };
        let channels = self.channels;
        let places = (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| [y, x]));
        let starts = places.map(|place| {
            let [y, x] = source([height, width], place);
            (y * width + x) * channels
        });
        let values = match &self.values {
            RasterValues::Eight(values) => RasterValues::Eight(
                starts
                    .flat_map(|start| &values[start..start + channels])
                    .copied()
                    .collect(),
            ),
            RasterValues::Sixteen(values) => RasterValues::Sixteen(
                starts
                    .flat_map(|start| &values[start..start + channels])
                    .copied()
                    .collect(),
            ),
        };
        Self {
            size,
            channels,
            values,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EXIF data with the tag among others, in both orders of bytes.
    fn exif(orientation: u16, is_little: bool) -> Vec<u8> {
        let half = |value: u16| {
            if is_little {
                value.to_le_bytes()
            } else {
                value.to_be_bytes()
            }
        };
        let word = |value: u32| {
            if is_little {
                value.to_le_bytes()
            } else {
                value.to_be_bytes()
            }
        };
        let mut bytes = if is_little {
            b"II*\0".to_vec()
        } else {
            b"MM\0*".to_vec()
        };
        bytes.extend(word(8));
        bytes.extend(half(2));
        for (tag, value) in [(0x0100, 7), (TAG, orientation)] {
            bytes.extend([&half(tag)[..], &half(3), &word(1), &half(value), &[0, 0]].concat());
        }
        bytes
    }

    #[test]
    fn orientation_is_found_in_either_order_of_bytes() {
        for orientation in 1..=8 {
            for is_little in [true, false] {
                let bytes = exif(orientation, is_little);
                assert_eq!(u16::from(orientation_of(&bytes)), orientation);
                assert_eq!(
                    u16::from(orientation_of(&[b"Exif\0\0", &bytes[..]].concat())),
                    orientation
                );
                for length in 0..bytes.len() - 2 {
                    assert_eq!(orientation_of(&bytes[..length]), 1, "{length}");
                }
            }
        }
        assert_eq!(orientation_of(&exif(9, true)), 1);
        assert_eq!(orientation_of(&exif(0, true)), 1);
        assert_eq!(orientation_of(b"II*\0\xff\xff\xff\xff"), 1);
    }
}
