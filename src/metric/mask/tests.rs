use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Made by `tests/fixtures/masks.py`.
fn fixture(name: &str) -> Vec<Value> {
    let fixture: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/masks.json")).expect("JSON");
    fixture[name].as_array().expect("a list").clone()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list").iter();
    list.map(|number| number.as_f64().expect("a number")).collect()
}

fn size(case: &Value) -> [usize; 2] {
    [0, 1].map(|axis| case["size"][axis].as_u64().expect("a side") as usize)
}

/// A mask and its sides.
fn pixels(rows: &Value) -> (Vec<u8>, usize, usize) {
    let rows = rows.as_array().expect("a list");
    let mask = rows
        .iter()
        .flat_map(|row| text(row).bytes().map(|byte| byte - b'0'));
    (mask.collect(), rows.len(), text(&rows[0]).len())
}

#[test]
fn runs_texts_areas_and_boxes_are_those_of_pycocotools() {
    let cases = fixture("masks");
    assert_eq!(cases.len(), 28);
    for case in cases {
        let (mask, height, width) = pixels(&case["rows"]);
        let runs = RunLengths::encode(&mask, height, width).expect("fits");
        assert_eq!(
            runs.counts()
                .iter()
                .map(|&count| Value::from(count))
                .collect::<Value>(),
            case["counts"]
        );
        assert_eq!([runs.height(), runs.width()], [height, width]);
        assert_eq!(runs.decode(), mask);
        assert_eq!(runs.to_text(), case["text"]);
        assert_eq!(case["area"], runs.area());
        assert_eq!(runs.bounding_box().as_slice(), numbers(&case["box"]));
        let of_text = RunLengths::from_text(text(&case["text"]), height, width);
        assert_eq!(of_text.as_ref(), Ok(&runs));
        assert_eq!(RunLengths::new(height, width, runs.counts().to_vec()), of_text);
    }
}

#[test]
fn overlaps_and_unions_are_those_of_pycocotools() {
    for case in fixture("overlaps") {
        let [height, width] = size(&case);
        let masks = case["masks"].as_array().expect("a list").iter();
        let masks: Vec<RunLengths> = masks
            .map(|counts| RunLengths::from_text(text(counts), height, width).expect("runs"))
            .collect();
        for (crowd, expected) in [false, true]
            .into_iter()
            .zip(case["overlaps"].as_array().expect("two"))
        {
            for (found, expected) in masks.iter().zip(expected.as_array().expect("rows")) {
                let overlap = |truth| found.overlap(truth, crowd).expect("same sides");
                assert_eq!(masks.iter().map(overlap).collect::<Vec<_>>(), numbers(expected));
            }
        }
        let union = masks[0].union(&masks[1]).expect("same sides");
        assert_eq!(union.to_text(), case["union"]);
    }
}

#[test]
fn polygons_have_the_pixels_of_pycocotools() {
    let cases = fixture("polygons");
    assert_eq!(cases.len(), 71);
    for case in cases {
        let [height, width] = size(&case);
        let polygons: Vec<Vec<f64>> = case["polygons"]
            .as_array()
            .expect("a list")
            .iter()
            .map(numbers)
            .collect();
        let mask = RunLengths::from_polygons(&polygons, height, width).expect("corners");
        assert_eq!(mask.decode(), pixels(&case["rows"]).0, "{}", case["polygons"]);
        let again = RunLengths::encode(&mask.decode(), height, width).expect("fits");
        assert_eq!(again.to_text(), case["text"]);
    }
    let none = RunLengths::from_polygons(&[], 2, 3).expect("no corners");
    assert_eq!(none.counts(), [6]);
}

#[test]
fn mistakes_are_told() {
    let told = |result: Result<RunLengths, MaskError>| result.expect_err("refused").to_string();
    assert_eq!(
        told(RunLengths::new(6, 8, vec![13, 3])),
        "the runs add up to 16 pixels, but a mask of 6 x 8 has 48; check that `size` is height, then width"
    );
    assert_eq!(
        told(RunLengths::encode(&[0; 5], 2, 3)),
        "5 pixels are no mask of 2 x 3, which has 6"
    );
    assert_eq!(
        told(RunLengths::new(1 << 20, 1 << 20, Vec::new())),
        "a mask of 1048576 x 1048576 pixels has more than 4,294,967,295 of them"
    );
    for (text, problem) in [
        ("1 ", "1: only the characters from `0` to `o` stand for numbers"),
        ("o", "1: the last number goes on, but the text ends"),
        ("oooooooooooo", "8: the number has more than 32 bits"),
        (
            "N",
            "0: the run has less than no pixels, or more than 32 bits tell",
        ),
    ] {
        assert_eq!(
            told(RunLengths::from_text(text, 2, 3)),
            format!("the compressed runs cannot be read at character {problem}")
        );
    }
    assert_eq!(
        told(RunLengths::from_polygon(&[1.0, 2.0, 3.0, 4.0], 9, 9)),
        "a polygon needs three points or more, each of two numbers; this one has 4 numbers"
    );
    assert!(RunLengths::from_polygon(&[1.0; 7], 9, 9).is_err());
    assert_eq!(
        told(RunLengths::from_polygon(
            &[1.0, 2.0, f64::NAN, 4.0, 5.0, 6.0],
            9,
            9
        )),
        "number 2 of the polygon, counted from 0, is NaN, which is no place in an image"
    );
    let of = |height| RunLengths::encode(&vec![1; height * 2], height, 2).expect("fits");
    assert_eq!(
        of(2).overlap(&of(3), false).expect_err("refused").to_string(),
        "masks of 2x2 and of 3x2 pixels cannot lie on each other"
    );
    assert!(of(2).union(&of(3)).is_err());
}

#[test]
fn corners_far_outside_of_the_image_are_corners_all_the_same() {
    let around = |far: f64| RunLengths::from_polygon(&[-far, -far, far, -far, far, far, -far, far], 3, 2);
    assert_eq!(around(9e5).map(|mask| mask.area()), Ok(6));
    assert!(matches!(around(1e9), Err(MaskError::NoPlace { .. })));
    let nothing = RunLengths::from_polygons(&[], usize::MAX, 2);
    assert!(matches!(nothing, Err(MaskError::TooLarge { .. })));
    assert_eq!(
        RunLengths::from_polygons(&[], 3, 2).map(|mask| mask.decode()),
        Ok(vec![0; 6])
    );
}

/// A mask of some sides.
fn mask() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, usize, usize)> {
    (0usize..9, 0usize..9).prop_flat_map(|(height, width)| {
        let pixels = || prop::collection::vec(0u8..2, height * width);
        (pixels(), pixels(), Just(height), Just(width))
    })
}

proptest! {
    /// The definitions, pixel by pixel.
    #[test]
    fn runs_are_pixels((left, right, height, width) in mask()) {
        let [a, b] = [&left, &right].map(|mask| RunLengths::encode(mask, height, width).expect("fits"));
        prop_assert_eq!(&a.decode(), &left);
        prop_assert_eq!(RunLengths::from_text(&a.to_text(), height, width), Ok(a.clone()));
        let count = |is: fn(u8, u8) -> bool| left.iter().zip(&right).filter(|(a, b)| is(**a, **b)).count() as f64;
        let (both, either) = (count(|a, b| a & b == 1), count(|a, b| a | b == 1));
        let expected = if both > 0.0 { both / either } else { 0.0 };
        prop_assert_eq!(a.overlap(&b, false), Ok(expected));
        let either: Vec<u8> = left.iter().zip(&right).map(|(a, b)| a | b).collect();
        prop_assert_eq!(a.union(&b), RunLengths::encode(&either, height, width));
    }

    /// Text from anywhere is read or refused.
    #[test]
    fn no_text_is_too_strange(text in "[0-p]{0,20}", height in 0usize..9, width in 0usize..9) {
        if let Ok(runs) = RunLengths::from_text(&text, height, width) {
            prop_assert_eq!(runs.decode().len(), height * width);
        }
    }
}
