//! Image files on their way into the dataset: read side by side, taken in in order.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::image_intake::{EncodedImage, ImageIntake, MOST_WAITING, group};
use crate::data::decode::{ImageForm, is_recognised};
use crate::data::error::DataError;
use crate::data::intake::{Intake, SplitPlace};
use crate::data::record_targets::RecordTarget;
use crate::schema::Field;
use crate::spec::{ImageOptions, SplitName};

/// So many bytes of a file tell what it is.
const TELLING: u64 = 32;

/// An image that is to be read.
pub(super) struct ImageFile {
    pub split: SplitName,
    /// What else decides its split.
    pub place: SplitPlace,
    pub target: RecordTarget,
    pub path: PathBuf,
}

/// Takes image files in.
pub(super) struct ImageReader<'a> {
    /// Images are called by their paths from here on.
    root: &'a Path,
    images: ImageIntake,
}

/// Whether a file is to be read as an image: it is called as one, or begins as one does.
pub(in crate::data) fn is_image(path: &Path) -> bool {
    if is_image_name(path) {
        return true;
    }
    let mut start = Vec::new();
    let read = fs::File::open(path).and_then(|file| {
        use std::io::Read;
        file.take(TELLING).read_to_end(&mut start)
    });
    read.is_ok() && is_recognised(&start)
}

/// Whether a file is called as images are.
pub(super) fn is_image_name(path: &Path) -> bool {
    let extension = path.extension().map(|text| text.to_ascii_lowercase());
    let extension = extension.as_deref().and_then(|text| text.to_str());
    extension.is_some_and(|text| ImageForm::EXTENSIONS.contains(&text))
}

impl<'a> ImageReader<'a> {
    /// A reader of images below `root`, for which the field `target` is to be predicted.
    ///
    /// # Errors
    /// Options that no file is needed for to see that they cannot be followed.
    pub fn new(options: ImageOptions, root: &'a Path, target: Field) -> Result<Self, DataError> {
        let images = ImageIntake::new(options, target)?;
        Ok(Self { root, images })
    }

    /// Reads and decodes all files on the current rayon pool and takes them in in order.
    ///
    /// Files are cut into groups by their sizes, and these into groups by the sizes of their images, so that memory
    /// is bounded whatever the images' sizes: by two groups, or by one image where that is larger.
    pub fn read(mut self, files: &[ImageFile], intake: &mut Intake<'_>) -> Result<(), DataError> {
        intake.expect(files.len() as u64);
        let mut rest = files;
        while !rest.is_empty() {
            // A file that cannot be looked at is told of when it is read.
            let length = |file: &ImageFile| fs::metadata(&file.path).map_or(0, |found| found.len());
            let count = group(rest.iter().take(MOST_WAITING).map(length));
            let (now, later) = rest.split_at(count);
            rest = later;
            let read: Result<Vec<EncodedImage<'_>>, DataError> =
                now.par_iter().map(|file| self.encoded(file)).collect();
            self.images.take(&read?, intake)?;
        }
        Ok(())
    }

    fn encoded<'f>(&self, file: &'f ImageFile) -> Result<EncodedImage<'f>, DataError> {
        let path = &file.path;
        Ok(EncodedImage {
            bytes: fs::read(path).map_err(DataError::io("read", path))?,
            split: file.split,
            split_place: file.place,
            target: file.target.clone(),
            file: path,
            origin: path
                .strip_prefix(self.root)
                .unwrap_or(path)
                .to_string_lossy()
                .into_owned(),
            place: format!("`{}`", path.display()),
        })
    }
}
