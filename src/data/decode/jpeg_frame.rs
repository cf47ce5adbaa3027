//! What a JPEG file's segments say, before anything is decoded.

/// Start of scan: entropy-coded data follow.
const START_OF_SCAN: u8 = 0xda;

/// What a file's frame header says of how its pixels are coded (ITU-T T.81, B.2.2).
pub(super) struct JpegFrame {
    /// The number of its marker, `SOF0` to `SOF15`.
    process: u8,
    /// Bits of a sample.
    precision: u8,
    /// How often each component is sampled across and down, relative to the others.
    sampling: Vec<[u8; 2]>,
}

impl JpegFrame {
    /// The frame of a file, if it has one.
    pub fn find(bytes: &[u8]) -> Option<Self> {
        JpegSegments::new(bytes).find_map(|segment| {
            let is_frame =
                matches!(segment.marker, 0xc0..=0xcf) && !matches!(segment.marker, 0xc4 | 0xc8 | 0xcc);
            let [precision, _, _, _, _, components, specified @ ..] = segment.content else {
                return None;
            };
            let sampling = specified.chunks_exact(3).take(usize::from(*components));
            is_frame.then(|| Self {
                process: segment.marker - 0xc0,
                precision: *precision,
                sampling: sampling
                    .map(|component| [component[1] >> 4, component[1] & 15])
                    .collect(),
            })
        })
    }

    /// What of it cannot be decoded, or not rightly, in words.
    pub fn unsupported(&self) -> Option<String> {
        match self.process {
            0..=2 => {}
            3 | 11 => return Some("it is a lossless JPEG".to_owned()),
            9 | 10 => return Some("it is a JPEG with arithmetic coding".to_owned()),
            _ => return Some("it is a hierarchical JPEG".to_owned()),
        }
        if self.precision != 8 {
            return Some(format!("it is a JPEG of {} bits a sample", self.precision));
        }
        // The decoder halves and quarters.
        if let Some(odd) = self.sampling.iter().find(|sampling| sampling.contains(&3)) {
            return Some(format!("it is a JPEG with the sampling {}x{}", odd[0], odd[1]));
        }
        // The decoder takes the first component for the finest, and gives wrong colours where it is not.
        let (first, others) = self.sampling.split_first()?;
        let is_finer = |component: &&[u8; 2]| component[0] > first[0] || component[1] > first[1];
        others.iter().find(is_finer).map(|finer| {
            format!(
                "it is a JPEG whose colours are sampled more finely ({}x{}) than its brightness ({}x{})",
                finer[0], finer[1], first[0], first[1]
            )
        })
    }
}

/// Whether a file has no end-of-image marker behind its (first) scan. The decoder fills what is missing with grey
/// and says nothing.
pub(super) fn is_truncated(bytes: &[u8]) -> bool {
    let mut segments = JpegSegments::new(bytes);
    // Thumbnails inside segments have end markers of their own, so segments are jumped over.
    segments.by_ref().for_each(drop);
    let scan = bytes.get(segments.position..).unwrap_or_default();
    !scan.windows(2).rev().any(|pair| pair == [0xff, 0xd9])
}

/// The segments of a file up to its first scan: each a marker, and a length that counts itself.
struct JpegSegments<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// A segment's second marker byte, and what it holds as far as the file goes.
struct JpegSegment<'a> {
    marker: u8,
    content: &'a [u8],
}

impl<'a> JpegSegments<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 2 }
    }
}

impl<'a> Iterator for JpegSegments<'a> {
    type Item = JpegSegment<'a>;

    fn next(&mut self) -> Option<JpegSegment<'a>> {
        loop {
            let Some(&[0xff, marker, high, low]) = self.bytes.get(self.position..self.position + 4) else {
                return None;
            };
            if marker == 0xff {
                self.position += 1;
                continue;
            }
            if marker == START_OF_SCAN {
                return None;
            }
            let length = usize::from(u16::from_be_bytes([high, low]));
            let start = self.position + 4;
            self.position += 2 + length;
            let end = self.position.min(self.bytes.len());
            let content = self.bytes.get(start..end).unwrap_or_default();
            return Some(JpegSegment { marker, content });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbnails_do_not_hide_a_missing_end() {
        let mut whole = std::io::Cursor::new(Vec::new());
        let image = image::RgbImage::from_pixel(5, 4, image::Rgb([5, 6, 7]));
        image.write_to(&mut whole, image::ImageFormat::Jpeg).unwrap();
        let whole = whole.into_inner();
        assert!(!is_truncated(&whole));
        let mut thumbnail = vec![0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9];
        thumbnail.extend(&whole[2..]);
        assert!(!is_truncated(&thumbnail));
        assert!(is_truncated(&thumbnail[..thumbnail.len() - 2]));
        assert!(is_truncated(&[0xff, 0xd8]));
    }

    fn frame(marker: u8, precision: u8, sampling: &[u8]) -> Vec<u8> {
        let mut bytes = vec![
            0xff,
            0xd8,
            0xff,
            marker,
            0,
            8 + 3 * sampling.len() as u8,
            precision,
            0,
            9,
            0,
            7,
        ];
        bytes.push(sampling.len() as u8);
        for (id, sampling) in (1u8..).zip(sampling) {
            bytes.extend([id, *sampling, 0]);
        }
        bytes
    }

    #[test]
    fn what_is_not_decoded_rightly_is_told_from_the_frame() {
        let unsupported = |bytes: &[u8]| JpegFrame::find(bytes).unwrap().unsupported();
        for sampling in [
            &[0x11u8, 0x11, 0x11][..],
            &[0x22, 0x11, 0x11],
            &[0x21, 0x11, 0x11],
            &[0x22],
            &[0x22, 0x11, 0x11, 0x22],
        ] {
            assert_eq!(unsupported(&frame(0xc0, 8, sampling)), None, "{sampling:x?}");
        }
        for sampling in [
            &[0x11u8, 0x22, 0x11][..],
            &[0x11, 0x11, 0x12],
            &[0x21, 0x12, 0x11],
        ] {
            let problem = unsupported(&frame(0xc2, 8, sampling)).unwrap();
            assert!(problem.contains("more finely"), "{problem}");
        }
        let problem = unsupported(&frame(0xc0, 8, &[0x31, 0x11, 0x11])).unwrap();
        assert!(problem.contains("with the sampling 3x1"), "{problem}");
        for (marker, precision, told) in [
            (0xc9, 8, "arithmetic"),
            (0xc3, 8, "lossless"),
            (0xc5, 8, "hierarchical"),
            (0xc1, 12, "12 bits"),
        ] {
            let problem = unsupported(&frame(marker, precision, &[0x11])).unwrap();
            assert!(problem.contains(told), "{problem}");
        }
        assert!(JpegFrame::find(b"\xff\xd8\xff\xc0\0\x08").is_none());
    }
}
