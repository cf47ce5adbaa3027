//! Predicted masks as files: PNGs with a palette, whose values are classes.

use std::collections::BTreeSet;
use std::fs;
use std::io::BufWriter;
use std::path::{Component, Path, PathBuf};

use png::{BitDepth, ColorType, Encoder};

use crate::train::{PredictedMask, TrainError};

/// Writes masks into a folder.
pub(super) struct MaskFiles<'a> {
    folder: &'a Path,
    written: BTreeSet<PathBuf>,
}

impl<'a> MaskFiles<'a> {
    pub fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            written: BTreeSet::new(),
        }
    }

    /// Writes the mask of `sample`, and gives its path from the folder's parent on.
    pub fn write(&mut self, sample: &str, mask: &PredictedMask) -> Result<String, TrainError> {
        let mut place = place_of(sample);
        // Samples of one name are told apart by their order.
        while !self.written.insert(place.clone()) {
            let mut name = place.file_stem().unwrap_or_default().to_owned();
            name.push("_.png");
            place.set_file_name(name);
        }
        let path = self.folder.join(&place);
        let failed = || TrainError::writing(&path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed())?;
        }
        let file = fs::File::create(&path).map_err(failed())?;
        // A side has less than 2^32 pixels.
        let [height, width] = mask.size.map(|side| side as u32);
        let mut encoder = Encoder::new(BufWriter::new(file), width, height);
        encoder.set_color(ColorType::Indexed);
        encoder.set_depth(BitDepth::Eight);
        encoder.set_palette(palette());
        let written = encoder.write_header().and_then(|mut writer| {
            writer.write_image_data(&mask.classes)?;
            writer.finish()
        });
        written.map_err(|error| failed()(error.into()))?;
        let name = Path::new(self.folder.file_name().unwrap_or_default()).join(place);
        Ok(name.to_string_lossy().into_owned())
    }
}

/// Where the mask of a sample of this name lies: as the sample itself, but never outside.
fn place_of(sample: &str) -> PathBuf {
    let mut place = PathBuf::new();
    for part in Path::new(sample).components() {
        match part {
            Component::Normal(part) => place.push(part),
            Component::ParentDir => place.push("_up"),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push(".png");
    place.set_file_name(name);
    place
}

/// The colours of Pascal VOC's masks: the bits of a value, spread over three channels.
fn palette() -> Vec<u8> {
    let channel = |value: u32, first: u32| -> u8 {
        let bits = (0..3).map(|bit| (value >> (3 * bit + first) & 1) << (7 - bit));
        bits.sum::<u32>() as u8
    };
    (0..256)
        .flat_map(|value| (0..3).map(move |first| channel(value, first)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_lie_as_their_images_do_and_never_outside() {
        for (sample, place) in [
            ("a/b.jpg", "a/b.jpg.png"),
            ("/home/x.png", "home/x.png.png"),
            ("../../x", "_up/_up/x.png"),
            ("./x.png", "x.png.png"),
        ] {
            assert_eq!(place_of(sample), Path::new(place));
        }
    }

    #[test]
    fn values_are_classes_and_colours_those_of_voc() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("masks");
        let mut files = MaskFiles::new(&folder);
        let mask = PredictedMask {
            size: [2, 3],
            classes: vec![0, 1, 2, 15, 0, 1],
        };
        assert_eq!(files.write("a.jpg", &mask).unwrap(), "masks/a.jpg.png");
        assert_eq!(files.write("./a.jpg", &mask).unwrap(), "masks/a.jpg_.png");
        let file = fs::read(folder.join("a.jpg.png")).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let palette = reader.info().palette.clone().unwrap();
        assert_eq!(palette[..9], [0, 0, 0, 128, 0, 0, 0, 128, 0]);
        assert_eq!(palette[45..48], [192, 128, 128]);
        let mut values = vec![0; 6];
        reader.next_frame(&mut values).unwrap();
        assert_eq!(values, mask.classes);
    }
}
