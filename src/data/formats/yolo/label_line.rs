//! One line of a YOLO file.

use crate::data::formats::scenes::{ObjectPlace, SceneProblemKind};

/// Shares of the image's sides are not larger than this, however far a box leaves its image.
const LARGEST_SHARE: f64 = 1.5;

/// An object of a line.
#[derive(Debug)]
pub(super) struct LabelLine {
    pub class: u32,
    pub place: ObjectPlace,
}

/// Reads a line: the class, and a box or the corners of a polygon, whose box it then is. Nothing where the line is empty. An
/// error says what is wrong.
pub(super) fn parse(line: &str, classes: usize) -> Result<Option<LabelLine>, (SceneProblemKind, String)> {
    let mut numbers = Vec::new();
    for word in line.split_whitespace() {
        let number: f64 = word.parse().map_err(|_| {
            let told =
                format!("`{word}` is no number: write the class, and x, y, width and height as shares");
            (SceneProblemKind::UnreadableObject, told)
        })?;
        numbers.push(number);
    }
    let [class, place @ ..] = &numbers[..] else {
        return Ok(None);
    };
    if !(*class >= 0.0 && class.fract() == 0.0) {
        let told = format!("its class is {class}, which is no number of a class: write one from 0 on");
        return Err((SceneProblemKind::UnreadableObject, told));
    }
    if *class >= classes as f64 {
        let told = format!(
            "its class is {class}, and the {classes} classes are numbered from 0 to {}: name it, or mend the line",
            classes.saturating_sub(1)
        );
        return Err((SceneProblemKind::UnknownClass, told));
    }
    if let Some(large) = place
        .iter()
        .find(|number| number.abs() > LARGEST_SHARE && number.is_finite())
    {
        let told = format!(
            "it has {large}, and places are shares of the image's sides, from 0 to 1: divide x and width by the image's width, y \
             and height by its height"
        );
        return Err((SceneProblemKind::Pixels, told));
    }
    let place = match place {
        [x, y, width, height] => ObjectPlace::Middle([*x, *y, *width, *height]),
        corners if corners.len() >= 6 && corners.len().is_multiple_of(2) => {
            if corners.iter().any(|number| !number.is_finite()) {
                let told = "its polygon has numbers that are none: mend it, or remove it".to_owned();
                return Err((SceneProblemKind::NotFinite, told));
            }
            let side = |axis: usize| {
                let along = || corners.iter().skip(axis).step_by(2).copied();
                [
                    along().fold(f64::INFINITY, f64::min),
                    along().fold(f64::NEG_INFINITY, f64::max),
                ]
            };
            let ([left, right], [top, bottom]) = (side(0), side(1));
            ObjectPlace::Edges([left, top, right, bottom])
        }
        other => {
            let told = format!(
                "it has {} numbers: a box has 5, and a polygon the class and an x and y for each of 3 or more corners",
                other.len() + 1
            );
            return Err((SceneProblemKind::UnreadableObject, told));
        }
    };
    // A class below the number of classes fits 32 bits.
    let class = *class as u32;
    Ok(Some(LabelLine { class, place }))
}
