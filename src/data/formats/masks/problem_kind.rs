//! What may be wrong with images and masks.

use crate::data::formats::problems::{FileProblem, FileProblems, ProblemKind};
use crate::spec::counted;

/// Something that is wrong with an image or a mask.
pub(super) type MaskProblem = FileProblem<MaskProblemKind>;

/// All that is wrong.
pub(super) type MaskProblems = FileProblems<MaskProblemKind>;

/// A kind of problem, in the order in which they are counted up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MaskProblemKind {
    MissingMask,
    MissingImage,
    SeveralImages,
    SeveralMasks,
    UnreadableImage,
    UnreadableMask,
    WrongForm,
    OtherSize,
    Turned,
    UnknownValues,
}

impl MaskProblemKind {
    /// What one of them is, where several are counted.
    fn noun(self) -> &'static str {
        match self {
            Self::MissingMask => "missing mask",
            Self::MissingImage => "missing image",
            Self::SeveralImages => "mask of several images",
            Self::SeveralMasks => "image with several masks",
            Self::UnreadableImage => "unreadable image",
            Self::UnreadableMask => "unreadable mask",
            Self::WrongForm => "mask in a wrong form",
            Self::OtherSize => "mask of another size",
            Self::Turned => "mask of an image that is turned",
            Self::UnknownValues => "mask with unknown values",
        }
    }
}

impl ProblemKind for MaskProblemKind {
    fn name(self) -> &'static str {
        match self {
            Self::MissingMask => "missing_mask",
            Self::MissingImage => "missing_image",
            Self::SeveralImages => "several_images",
            Self::SeveralMasks => "several_masks",
            Self::UnreadableImage => "unreadable_image",
            Self::UnreadableMask => "unreadable_mask",
            Self::WrongForm => "wrong_form",
            Self::OtherSize => "other_size",
            Self::Turned => "turned",
            Self::UnknownValues => "unknown_values",
        }
    }

    fn counted(self, count: u64) -> String {
        match (self.noun().split_once(' '), count) {
            (_, 1) | (None, _) => format!("{count} {}", self.noun()),
            (Some((what @ ("mask" | "image"), rest)), _) => format!("{count} {what}s {rest}"),
            _ => counted(count, self.noun()),
        }
    }
}
