//! An object's box within its image.

use super::{ObjectPlace, SceneObject, SceneProblemKind};
use crate::data::object::Object;

/// How far a box may leave its image unnoticed, in pixels: rounding does that.
const SLACK: f64 = 0.5;

/// What is wrong with an object.
pub(super) type ObjectFault = (SceneProblemKind, String);

/// What became of an object.
pub(super) struct PlacedObject {
    /// In pixels of the image as its file has it.
    pub object: Object,
    /// What was wrong and is mended.
    pub cut: Option<ObjectFault>,
}

impl SceneObject {
    /// The object in an image of this height and width; cut to it where `clips`.
    pub(super) fn placed(
        &self,
        [height, width]: [usize; 2],
        clips: bool,
    ) -> Result<PlacedObject, ObjectFault> {
        let sides = [width as f64, height as f64];
        let (given, is_share) = match self.place {
            ObjectPlace::Pixels(given) => (given, false),
            ObjectPlace::Middle([x, y, wide, high]) => {
                let [wide, high] = [wide * sides[0], high * sides[1]];
                (
                    [x * sides[0] - wide / 2.0, y * sides[1] - high / 2.0, wide, high],
                    true,
                )
            }
            ObjectPlace::Edges([left, top, right, bottom]) => {
                let [left, right] = [left, right].map(|x| x * sides[0]);
                let [top, bottom] = [top, bottom].map(|y| y * sides[1]);
                ([left, top, right - left, bottom - top], true)
            }
        };
        let name = &self.name;
        if given.iter().any(|number| !number.is_finite()) {
            let told = format!(
                "{name}: its box {} has numbers that are none: write it anew, or remove it",
                shown(given)
            );
            return Err((SceneProblemKind::NotFinite, told));
        }
        if let Some(area) = self.area.filter(|area| !(area.is_finite() && *area >= 0.0)) {
            let told =
                format!("{name}: its area is {area}: write how many pixels it covers, or leave `area` out");
            return Err((SceneProblemKind::NotFinite, told));
        }
        let [left, top, wide, high] = given;
        if !(wide > 0.0 && high > 0.0) {
            let told = format!(
                "{name}: its box {} is {wide} wide and {high} high: give both a length, or remove it",
                shown(given)
            );
            return Err((SceneProblemKind::NoArea, told));
        }
        let (across, cut_across) = within(left, wide, sides[0]);
        let (down, cut_down) = within(top, high, sides[1]);
        let leaves = cut_across.max(cut_down);
        let area = self.area.unwrap_or(wide * high);
        let mut object = Object {
            left,
            top,
            width: wide,
            height: high,
            class: self.class,
            area,
            crowd: self.crowd,
            difficult: self.difficult,
        };
        let mut cut = None;
        if leaves > SLACK {
            let is_outside = across[1] <= 0.0 || down[1] <= 0.0;
            let how = if is_outside {
                "lies outside of"
            } else {
                "reaches out of"
            };
            let told = format!(
                "{name}: its box {} {how} the image of {height}x{width} pixels (height x width), by {}: mend it, or remove it",
                shown(given),
                rounded(leaves)
            );
            if is_outside || !clips {
                return Err((SceneProblemKind::Outside, told));
            }
            cut = Some((SceneProblemKind::Outside, told));
        }
        // What rounding does to shares is no news. Other boxes are kept as they are written, as figures are made of them.
        if cut.is_some() || (is_share && leaves > 0.0) {
            ([object.left, object.width], [object.top, object.height]) = (across, down);
            object.area = area * (object.width * object.height / (wide * high));
        }
        if !(object.width > 0.0 && object.height > 0.0) {
            let told = format!(
                "{name}: nothing of its box {} lies in the image: remove it",
                shown(given)
            );
            return Err((SceneProblemKind::NoArea, told));
        }
        Ok(PlacedObject { object, cut })
    }
}

/// The part of a box's side that lies in an image's, as start and length, and how far the box leaves it.
fn within(start: f64, length: f64, side: f64) -> ([f64; 2], f64) {
    let end = start + length;
    let leaves = (-start).max(end - side).max(0.0);
    if leaves == 0.0 {
        return ([start, length], leaves);
    }
    let inside = start.clamp(0.0, side);
    ([inside, end.clamp(0.0, side) - inside], leaves)
}

/// A box in messages: left, top, width and height.
fn shown(given: [f64; 4]) -> String {
    let [left, top, width, height] = given.map(rounded);
    format!("[{left}, {top}, {width}, {height}] (left, top, width, height)")
}

/// A number with as many decimals as help.
fn rounded(number: f64) -> String {
    let rounded = (number * 100.0).round() / 100.0;
    match rounded == 0.0 && number != 0.0 {
        true => number.to_string(),
        false => rounded.to_string(),
    }
}

impl Object {
    /// The object once its image of the height and width `from` has those of `to`.
    pub(super) fn scaled(mut self, from: [usize; 2], to: [usize; 2]) -> Self {
        let [down, across] = [0, 1].map(|side: usize| to[side] as f64 / from[side].max(1) as f64);
        if from != to {
            self.left *= across;
            self.width *= across;
            self.top *= down;
            self.height *= down;
            self.area *= across * down;
        }
        self
    }
}
