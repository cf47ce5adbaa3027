//! Images with their objects on their way into the dataset: decoded side by side, taken in in order.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;

use rayon::prelude::*;

use super::object_box::ObjectFault;
use super::painting::{PixelPainting, resized_classes};
use super::{Scene, SceneProblem, SceneProblemKind, SceneProblems};
use crate::data::decode::{decode, is_turned, told_size};
use crate::data::digest::{ContentDigest, digest_bytes};
use crate::data::error::DataError;
use crate::data::field_names::{IMAGE, IMAGE_ID, MASK, OBJECTS};
use crate::data::formats::image_intake::{MOST_WAITING, group};
use crate::data::intake::{Intake, IntakeSample, SplitPlace};
use crate::data::object::Object;
use crate::data::value::FieldValue;
use crate::schema::{Dimensions, Field, ImagePreparation, Schema};
use crate::spec::{ImageOptions, StoredAs, counted};

/// What is to be predicted of scenes.
pub(in crate::data::formats) enum SceneTarget {
    /// Objects of classes, with the numbers that COCO's files know these by.
    Objects { classes: Vec<String>, ids: Vec<u64> },
    /// The class of each pixel, the first that of the background.
    Pixels { classes: Vec<String> },
}

/// Reads images with their objects.
pub(in crate::data::formats) struct SceneReader<'a> {
    options: ImageOptions,
    target: SceneTarget,
    /// Images are called by their paths from here on.
    root: &'a Path,
    /// Whether files know images by numbers.
    has_ids: bool,
    has_begun: bool,
    /// Images that EXIF data turn or mirror.
    turned: u64,
}

/// A scene, and its image as its file has it.
struct EncodedScene<'a> {
    scene: &'a Scene,
    image: Vec<u8>,
}

/// A scene whose image is decoded.
struct DecodedScene {
    /// `[C, H, W]`; empty where the dataset holds the file.
    pixels: Vec<u8>,
    size: [usize; 2],
    digest: ContentDigest,
    target: DecodedTarget,
    faults: Vec<SceneFault>,
}

/// What is wrong with an object.
struct SceneFault {
    kind: SceneProblemKind,
    told: String,
    /// Whether the object stays.
    is_mended: bool,
}

impl SceneFault {
    fn new((kind, told): ObjectFault, is_mended: bool) -> Self {
        Self {
            kind,
            told,
            is_mended,
        }
    }
}

enum DecodedTarget {
    Objects(Vec<Object>),
    Pixels(Vec<u8>),
}

impl<'a> SceneReader<'a> {
    pub fn new(options: ImageOptions, target: SceneTarget, root: &'a Path) -> Self {
        Self {
            options,
            target,
            root,
            has_ids: false,
            has_begun: false,
            turned: 0,
        }
    }

    /// Reads and decodes all images on the current rayon pool and takes them in in order, with what is told of them. Memory is
    /// bounded as for other images: files are cut into groups by their lengths, and these by the sizes of their images.
    pub fn read(
        mut self,
        scenes: &[Scene],
        problems: &mut SceneProblems,
        intake: &mut Intake<'_>,
    ) -> Result<(), DataError> {
        let is_detection = matches!(self.target, SceneTarget::Objects { .. });
        self.has_ids = is_detection && !scenes.is_empty() && scenes.iter().all(|scene| scene.id.is_some());
        intake.expect(scenes.len() as u64);
        let mut rest = scenes;
        while !rest.is_empty() {
            let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
            let count = group(rest.iter().take(MOST_WAITING).map(|scene| length(&scene.image)));
            let (now, later) = rest.split_at(count);
            rest = later;
            let encoded: Result<Vec<EncodedScene<'_>>, DataError> = now
                .par_iter()
                .map(|scene| {
                    let image = fs::read(&scene.image).map_err(DataError::io("read", &scene.image))?;
                    Ok(EncodedScene { scene, image })
                })
                .collect();
            let encoded = encoded?;
            let mut waiting = encoded.as_slice();
            while !waiting.is_empty() {
                let lengths = waiting.iter().map(|scene| self.decoded_length(&scene.image));
                let (now, later) = waiting.split_at(group(lengths));
                waiting = later;
                self.take(now, problems, intake)?;
            }
        }
        if self.turned > 0 && !self.options.exif_orientation {
            intake.warn(format!(
                "{} turned or mirrored by EXIF data, and taken as stored: where annotations are those of upright images, \
                 write `exif_orientation: true`",
                match self.turned {
                    1 => "1 image is".to_owned(),
                    count => format!("{} are", counted(count, "image")),
                }
            ));
        }
        Ok(())
    }

    /// The bytes that an image and what is told of it have to wait with.
    fn decoded_length(&self, image: &[u8]) -> u64 {
        let [height, width] = told_size(image, self.options.exif_orientation).unwrap_or([0, 0]);
        (height as u64).saturating_mul(width as u64) * (self.options.color.channels() as u64 + 1)
    }

    fn take(
        &mut self,
        scenes: &[EncodedScene<'_>],
        problems: &mut SceneProblems,
        intake: &mut Intake<'_>,
    ) -> Result<(), DataError> {
        let clips = intake.clips();
        let decoded: Vec<Result<DecodedScene, SceneProblem>> = scenes
            .par_iter()
            .map(|scene| self.decoded(scene, clips))
            .collect();
        for (encoded, decoded) in scenes.iter().zip(decoded) {
            let scene = match decoded {
                Ok(scene) => scene,
                Err(problem) => {
                    problems.without_sample(problem, intake)?;
                    continue;
                }
            };
            self.turned += u64::from(is_turned(&encoded.image));
            for SceneFault {
                kind,
                told,
                is_mended,
            } in scene.faults
            {
                let path = encoded.scene.source.clone();
                let consequence = match is_mended {
                    true => "an object is cut to its image",
                    false => "an object is left out",
                };
                problems.with_sample(SceneProblem { kind, path, told }, consequence, intake)?;
            }
            if !self.has_begun {
                self.begin(scene.size, &encoded.scene.image, intake)?;
                self.has_begun = true;
            }
            let channels = self.options.color.channels();
            let image = match self.options.store {
                StoredAs::Files => FieldValue::image_file(&encoded.image, channels, Some(scene.size)),
                StoredAs::Pixels => {
                    FieldValue::pixels(&scene.pixels, [channels, scene.size[0], scene.size[1]])
                }
            };
            let objects;
            let target = match &scene.target {
                DecodedTarget::Pixels(classes) => {
                    FieldValue::pixels(classes, [1, scene.size[0], scene.size[1]])
                }
                DecodedTarget::Objects(found) => {
                    objects = Object::write(found);
                    objects.as_value()
                }
            };
            let id = encoded.scene.id.unwrap_or(0).to_le_bytes();
            let id = FieldValue {
                bytes: &id,
                dimensions: Dimensions::SCALAR,
            };
            let values = [image, target, id];
            let origin = encoded.scene.image.strip_prefix(self.root);
            let sample = IntakeSample {
                split: encoded.scene.split,
                class: None,
                values: if self.has_ids { &values } else { &values[..2] },
                origin: &origin.unwrap_or(&encoded.scene.image).to_string_lossy(),
            };
            intake.push_placed(sample, scene.digest, SplitPlace::default())?;
        }
        Ok(())
    }

    /// Tells what the samples will be.
    fn begin(&self, size: [usize; 2], file: &Path, intake: &mut Intake<'_>) -> Result<(), DataError> {
        let channels = self.options.color.channels();
        let size = self.options.size.map(|_| size);
        let image = match self.options.store {
            StoredAs::Files => Field::image_files(IMAGE, Dimensions::image(channels, None)),
            StoredAs::Pixels => Field::image(IMAGE, Dimensions::image(channels, size)),
        };
        let target = match &self.target {
            SceneTarget::Objects { classes, ids } => {
                Field::objects(OBJECTS, classes.clone()).with_class_ids(ids.clone())
            }
            SceneTarget::Pixels { classes } => {
                Field::pixel_classes(MASK, classes.clone(), Dimensions::image(1, size))
            }
        };
        let mut fields = vec![image.with_preparation(self.preparation()), target];
        if self.has_ids {
            fields.push(Field::identifier(IMAGE_ID));
        }
        intake.begin(Schema::new(fields).map_err(DataError::Options)?, file)
    }

    fn preparation(&self) -> ImagePreparation {
        ImagePreparation {
            size: self.options.size.map(|size| size.map(NonZeroU32::get)),
            exif_orientation: self.options.exif_orientation,
        }
    }

    fn decoded(&self, encoded: &EncodedScene<'_>, clips: bool) -> Result<DecodedScene, SceneProblem> {
        let EncodedScene { scene, image } = encoded;
        let mut pixels = Vec::new();
        let size = decode(image, self.options.color, &self.preparation(), &mut pixels).map_err(|told| {
            let (kind, path) = (SceneProblemKind::UnreadableImage, scene.image.clone());
            SceneProblem { kind, path, told }
        })?;
        let digest = digest_bytes(&pixels);
        if self.options.store == StoredAs::Files {
            pixels = Vec::new();
        }
        // Before it was resized.
        let own = told_size(image, self.options.exif_orientation).unwrap_or(size);
        if let Some(told) = scene.size.filter(|told| *told != own) {
            return Err(self.other_size(scene, image, own, told));
        }
        let mut faults = Vec::new();
        let target = match &self.target {
            SceneTarget::Objects { .. } => {
                let mut objects = Vec::with_capacity(scene.objects.len());
                for object in &scene.objects {
                    match object.placed(own, clips) {
                        Ok(placed) => {
                            faults.extend(placed.cut.map(|fault| SceneFault::new(fault, true)));
                            objects.push(placed.object.scaled(own, size));
                        }
                        Err(fault) => faults.push(SceneFault::new(fault, false)),
                    }
                }
                DecodedTarget::Objects(objects)
            }
            SceneTarget::Pixels { .. } => {
                let mut painting = PixelPainting::new(own);
                for object in &scene.objects {
                    faults.extend(
                        painting
                            .paint(object)
                            .err()
                            .map(|fault| SceneFault::new(fault, false)),
                    );
                }
                DecodedTarget::Pixels(match own == size {
                    true => painting.classes,
                    false => resized_classes(&painting.classes, own, size),
                })
            }
        };
        Ok(DecodedScene {
            pixels,
            size,
            digest,
            target,
            faults,
        })
    }

    /// An image of another size than its annotations tell.
    fn other_size(&self, scene: &Scene, image: &[u8], own: [usize; 2], of_file: [usize; 2]) -> SceneProblem {
        let told = |[height, width]: [usize; 2]| format!("{height}x{width}");
        let is_upright = self.options.exif_orientation;
        let path = scene.image.clone();
        let source = scene.source.display();
        // Turned by a quarter it would fit.
        if told_size(image, !is_upright) == Some(of_file) {
            let told = format!(
                "`{source}` tells of {} pixels (height x width), as it has {}, and its EXIF data turn it by a quarter: write \
                 `exif_orientation: {}`",
                told(of_file),
                if is_upright {
                    "as it is stored"
                } else {
                    "when it is upright"
                },
                !is_upright
            );
            let kind = SceneProblemKind::Turned;
            return SceneProblem { kind, path, told };
        }
        let told = format!(
            "it has {} pixels (height x width), and `{source}` tells of {}: boxes were drawn in another image; mend the file, \
             or put the right image there",
            told(own),
            told(of_file)
        );
        let kind = SceneProblemKind::OtherSize;
        SceneProblem { kind, path, told }
    }
}
