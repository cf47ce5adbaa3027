//! What may be wrong with images and what is told of the objects in them.

use crate::data::formats::problems::{FileProblem, FileProblems, ProblemKind};

/// Something that is wrong with an image or an object.
pub(in crate::data::formats) type SceneProblem = FileProblem<SceneProblemKind>;

/// All that is wrong.
pub(in crate::data::formats) type SceneProblems = FileProblems<SceneProblemKind>;

/// A kind of problem, in the order in which they are counted up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::data::formats) enum SceneProblemKind {
    MissingImage,
    MissingAnnotations,
    UnreadableImage,
    UnreadableAnnotations,
    RepeatedImage,
    RepeatedObject,
    UnknownImage,
    UnknownClass,
    OtherSize,
    Turned,
    UnreadableObject,
    NotFinite,
    NoArea,
    Outside,
    Pixels,
    BadMask,
}

impl SceneProblemKind {
    /// What `problems.csv` calls it, what one of them is, and what several are.
    fn words(self) -> [&'static str; 3] {
        match self {
            Self::MissingImage => ["missing_image", "missing image", "missing images"],
            Self::MissingAnnotations => [
                "missing_annotations",
                "image without its file of annotations",
                "images without their files of annotations",
            ],
            Self::UnreadableImage => ["unreadable_image", "unreadable image", "unreadable images"],
            Self::UnreadableAnnotations => [
                "unreadable_annotations",
                "unreadable file of annotations",
                "unreadable files of annotations",
            ],
            Self::RepeatedImage => ["repeated_image", "image told twice", "images told twice"],
            Self::RepeatedObject => ["repeated_object", "object told twice", "objects told twice"],
            Self::UnknownImage => [
                "unknown_image",
                "object of an unknown image",
                "objects of unknown images",
            ],
            Self::UnknownClass => [
                "unknown_class",
                "object of an unknown class",
                "objects of unknown classes",
            ],
            Self::OtherSize => [
                "other_size",
                "image of another size than told",
                "images of other sizes than told",
            ],
            Self::Turned => [
                "turned",
                "image that EXIF data turn",
                "images that EXIF data turn",
            ],
            Self::UnreadableObject => ["unreadable_object", "unreadable object", "unreadable objects"],
            Self::NotFinite => [
                "not_finite",
                "object with numbers that are none",
                "objects with numbers that are none",
            ],
            Self::NoArea => ["no_area", "box without area", "boxes without area"],
            Self::Outside => [
                "outside",
                "box that leaves its image",
                "boxes that leave their images",
            ],
            Self::Pixels => [
                "pixels",
                "box in pixels instead of shares",
                "boxes in pixels instead of shares",
            ],
            Self::BadMask => [
                "bad_mask",
                "object without a sound mask",
                "objects without a sound mask",
            ],
        }
    }
}

impl ProblemKind for SceneProblemKind {
    fn remedy(found: &[Self]) -> &'static str {
        match found.contains(&Self::Outside) {
            true => {
                "write `on_error: skip` to leave out just these objects and files, or `on_error: clip`, which also cuts boxes to \
                 their images"
            }
            false => "write `on_error: skip` to leave out just these objects and files",
        }
    }

    fn name(self) -> &'static str {
        self.words()[0]
    }

    fn counted(self, count: u64) -> String {
        let [_, one, several] = self.words();
        format!("{count} {}", if count == 1 { one } else { several })
    }
}
