//! Images and the objects in them, whatever files tell of these: checked, decoded and taken in.
//!
//! Formats find [`Scene`]s; the [`SceneReader`] opens the images, holds what is told of them to what they are, and hands
//! boxes or masks of classes to the intake. Everything is looked at before anything is refused.

mod named_classes;
mod object_box;
mod painting;
mod problem_kind;
mod reader;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::metric::mask::RunLengths;
use crate::spec::SplitName;

pub(super) use named_classes::NamedClasses;
pub(super) use painting::resized_classes;
pub(super) use problem_kind::{SceneProblem, SceneProblemKind, SceneProblems};
pub(super) use reader::{SceneReader, SceneTarget};

/// An image and the objects in it.
pub(super) struct Scene {
    pub split: SplitName,
    pub image: PathBuf,
    /// What its file knows it by.
    pub id: Option<i64>,
    /// The height and width that its file tells.
    pub size: Option<[usize; 2]>,
    /// The file that tells of it.
    pub source: PathBuf,
    pub objects: Vec<SceneObject>,
}

/// An object as a file tells it.
pub(super) struct SceneObject {
    /// What it is called in messages, such as `annotation 17`.
    pub name: String,
    pub place: ObjectPlace,
    pub class: u32,
    /// The pixels that it covers; those of its box where nothing is told.
    pub area: Option<f64>,
    pub crowd: bool,
    pub difficult: bool,
    /// Its pixels, where masks are wanted.
    pub outline: Option<Outline>,
}

/// Where an object is.
#[derive(Clone, Copy, Debug)]
pub(super) enum ObjectPlace {
    /// Left, top, width and height in pixels.
    Pixels([f64; 4]),
    /// The middle's x and y, width and height, as shares of the image's sides.
    Middle([f64; 4]),
    /// Left, top, right and bottom, as shares of the image's sides.
    Edges([f64; 4]),
}

/// The pixels of an object.
pub(super) enum Outline {
    /// What lies inside of polygons: x, y, x, y, ... in pixels.
    Polygons(Vec<Vec<f64>>),
    /// Run lengths of a mask of the image's size.
    Runs(RunLengths),
}
