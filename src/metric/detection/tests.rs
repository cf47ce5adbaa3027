use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// A case of `tests/fixtures/detection.py`.
struct Case {
    name: String,
    images: Vec<i64>,
    categories: Vec<i64>,
    truths: Vec<GroundTruth>,
    detections: Vec<Detection>,
    limits: [usize; 3],
    expected: Value,
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter()
        .map(|number| number.as_f64().expect("a number"))
        .collect()
}

fn ids(value: &Value) -> Vec<i64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|id| id.as_i64().expect("an id")).collect()
}

fn list<T>(value: &Value, row: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().expect("a list").iter().map(row).collect()
}

fn bbox(value: &Value) -> [f64; 4] {
    numbers(value).try_into().expect("four numbers")
}

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../tests/fixtures/detection.json")).expect("JSON")
}

fn cases() -> Vec<Case> {
    list(&fixture()["cases"], |case| Case {
        name: case["name"].as_str().expect("a name").to_owned(),
        images: ids(&case["images"]),
        categories: ids(&case["categories"]),
        truths: list(&case["truths"], |row| GroundTruth {
            image: row[0].as_i64().expect("an id"),
            category: row[1].as_i64().expect("an id"),
            bbox: bbox(&row[2]),
            area: row[3].as_f64().expect("an area"),
            crowd: row[4] == 1,
        }),
        detections: list(&case["detections"], |row| Detection {
            image: row[0].as_i64().expect("an id"),
            category: row[1].as_i64().expect("an id"),
            bbox: bbox(&row[2]),
            score: row[3].as_f64().expect("a score"),
        }),
        limits: std::array::from_fn(|place| case["limits"][place].as_u64().expect("a limit") as usize),
        expected: case.clone(),
    })
}

impl Case {
    fn sets(&self) -> BoxSets<'_> {
        BoxSets::new(&self.images, &self.categories, &self.truths, &self.detections).expect("known ids")
    }

    fn coco(&self) -> CocoEvaluation {
        CocoEvaluation::new(&self.sets(), self.limits).expect("limits")
    }
}

/// As JSON, so that the last bit of each is compared, and what is missing too.
fn told(figures: impl IntoIterator<Item = Option<f64>>) -> Value {
    figures.into_iter().collect()
}

#[test]
fn figures_of_coco_are_those_of_pycocotools() {
    let cases = cases();
    assert_eq!(cases.len(), 17);
    for case in &cases {
        let evaluation = case.coco();
        let expected = &case.expected["coco"];
        assert_eq!(
            told(evaluation.figures().stats()),
            expected["stats"],
            "{}",
            case.name
        );
        let by_category = evaluation.by_category();
        let rows = by_category.iter().map(|figures| {
            let numbers = told([figures.ap, figures.ap50, figures.ap75, figures.ar]);
            let numbers = numbers.as_array().expect("a list").iter().cloned();
            [Value::from(figures.category)]
                .into_iter()
                .chain(numbers)
                .collect()
        });
        assert_eq!(
            Value::Array(rows.collect()),
            expected["by_category"],
            "{}",
            case.name
        );
    }
}

#[test]
fn thresholds_are_those_of_numpy() {
    let fixture = fixture();
    assert_eq!(numbers(&fixture["iou_thresholds"]), iou_thresholds());
    assert_eq!(numbers(&fixture["recall_thresholds"]), recall_thresholds());
}

#[test]
fn figures_of_voc_are_those_of_its_kit() {
    let ways = [
        (BoxEdges::Inclusive, VocInterpolation::ElevenPoint),
        (BoxEdges::Inclusive, VocInterpolation::AllPoints),
        (BoxEdges::Continuous, VocInterpolation::ElevenPoint),
        (BoxEdges::Continuous, VocInterpolation::AllPoints),
    ];
    for case in cases() {
        for ((edges, interpolation), expected) in
            ways.into_iter().zip(list(&case.expected["voc"], Value::clone))
        {
            let evaluation = VocEvaluation::new(&case.sets(), 0.5, edges, interpolation);
            let expected = list(&expected, Value::clone);
            assert_eq!(evaluation.categories.len(), expected.len());
            for (figures, expected) in evaluation.categories.iter().zip(expected) {
                assert_eq!(expected[0], figures.category);
                assert_eq!(expected[1], figures.truths);
                let [ap, expected] = [figures.ap, expected[2].as_f64()].map(|ap| ap.unwrap_or(-1.0));
                assert!((ap - expected).abs() < 1e-12, "{}: {ap}, {expected}", case.name);
            }
        }
    }
    let tiny = &cases()[0];
    let evaluation = VocEvaluation::new(
        &tiny.sets(),
        0.5,
        BoxEdges::Inclusive,
        VocInterpolation::AllPoints,
    );
    let mean = evaluation.mean().expect("objects");
    assert!((mean - (0.916_666_666_666_666_6 + 0.666_666_666_666_666_6) / 2.0).abs() < 1e-12);
}

#[test]
fn an_edge_is_a_pixel_where_it_is_inclusive() {
    let truth = GroundTruth {
        image: 1,
        category: 1,
        bbox: [10.0, 10.0, 7.0, 7.0],
        area: 49.0,
        crowd: false,
    };
    let found = Detection {
        image: 1,
        category: 1,
        bbox: [12.0, 12.0, 6.0, 6.0],
        score: 1.0,
    };
    // 25 of 60 pixels, and 36 of 77.
    assert_eq!(bbox_overlap(&found.bbox, &truth.bbox, false), 25.0 / 60.0);
    assert_eq!(bbox_overlap(&found.bbox, &truth.bbox, true), 25.0 / 36.0);
    let (truths, detections) = ([truth], [found]);
    let sets = BoxSets::new(&[1], &[1], &truths, &detections).expect("known ids");
    for (edges, least, ap) in [
        (BoxEdges::Inclusive, 36.0 / 77.0, 1.0),
        (BoxEdges::Continuous, 36.0 / 77.0, 0.0),
        (BoxEdges::Continuous, 25.0 / 60.0, 1.0),
    ] {
        let evaluation = VocEvaluation::new(&sets, least, edges, VocInterpolation::AllPoints);
        assert_eq!(evaluation.mean(), Some(ap));
    }
}

#[test]
fn threads_do_not_matter() {
    for case in cases() {
        let of = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("threads").install(|| {
                let evaluation = case.coco();
                let curve = evaluation.curve(case.categories[0], 3, AreaRange::All).copied();
                (evaluation.figures(), evaluation.by_category(), curve)
            })
        };
        assert_eq!(of(1), of(3));
    }
}

#[test]
fn curves_fall_from_the_first_recall_on() {
    let evaluation = cases()[1].coco();
    let curve = evaluation.curve(1, 0, AreaRange::All).expect("objects");
    assert!(curve[..70].iter().all(|precision| *precision > 0.999));
    assert!(curve[70..].iter().all(|precision| *precision == 0.0));
    assert!(evaluation.curve(1, 0, AreaRange::Large).is_none());
    assert!(evaluation.curve(1, 10, AreaRange::All).is_none());
    assert!(evaluation.curve(2, 0, AreaRange::All).is_none());
}

#[test]
fn mistakes_are_told() {
    let mut case = cases().remove(0);
    let told = |case: &Case| {
        let sets = BoxSets::new(&case.images, &case.categories, &case.truths, &case.detections);
        sets.expect_err("refused").to_string()
    };
    case.detections[3].score = f64::NAN;
    assert_eq!(
        told(&case),
        "detection 3 has NaN as its score, which is no finite number; leave it out"
    );
    case.truths[2].image = 8;
    assert_eq!(
        told(&case),
        "object 2 is of image 8, which is none of the images that are evaluated; leave it out, or add the image"
    );
    case.truths[1].category = 3;
    assert_eq!(
        told(&case),
        "object 1 is of category 3, which is none of the categories that are evaluated; leave it out, or add \
         the category"
    );
    let error = CocoEvaluation::new(&cases()[0].sets(), [10, 0, 100]).expect_err("refused");
    assert_eq!(error, DetectionError::NoDetections);
}

proptest! {
    /// Ids are names: in another order of the same, which boxes have them changes no figure. Nor does the order of boxes
    /// whose scores differ.
    #[test]
    fn ids_and_order_do_not_matter(
        boxes in prop::collection::vec((0i64..4, 0i64..3, 0u8..20, 0u8..20, 1u8..40, any::<bool>()), 1..40),
        scale in 1i64..1_000_000_000_000,
    ) {
        let of = |scale: i64, reversed: bool| {
            let sides = |x: u8, y: u8, side: u8| [f64::from(x), f64::from(y), f64::from(side), f64::from(side)];
            let mut truths = Vec::new();
            let mut detections = Vec::new();
            for (index, &(image, category, x, y, side, is_truth)) in boxes.iter().enumerate() {
                let (image, category, bbox) = (image * scale - 1, category * scale - 2, sides(x, y, side));
                if is_truth {
                    truths.push(GroundTruth { image, category, bbox, area: bbox[2] * bbox[3], crowd: index % 7 == 0 });
                }
                let score = index as f64;
                detections.push(Detection { image, category, bbox, score });
            }
            if reversed {
                detections.reverse();
            }
            let ids = |count: i64, start: i64| -> Vec<i64> { (0..count).map(|id| id * scale - start).collect() };
            let sets = BoxSets::new(&ids(4, 1), &ids(3, 2), &truths, &detections).expect("known ids");
            CocoEvaluation::new(&sets, CocoEvaluation::LIMITS).expect("limits").figures()
        };
        prop_assert_eq!(of(1, false), of(scale, true));
    }

    /// Sums of the same numbers in another order differ in the last bits alone.
    #[test]
    fn means_are_means(values in prop::collection::vec(0.0f64..1.0, 1..3000)) {
        let plain = values.iter().sum::<f64>() / values.len() as f64;
        let mean = pairwise::mean(&values).expect("values");
        prop_assert!((mean - plain).abs() < 1e-12);
    }
}
