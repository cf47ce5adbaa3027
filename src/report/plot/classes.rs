//! Precision, recall and F1 of each class.

use super::chart::{Axis, Chart, Frame, LegendKey, LegendMark};
use super::confusion::by_stage;
use super::drawing::Mark;
use super::figure::{Figure, Section, slug};
use super::ink::Ink;
use super::scale::AxisScale;
use super::view::{View, significant};
use crate::report::TrialFile;
use crate::spec::{ArtifactTable, Sheet, cell_number};

/// With more classes than this, only the worst are shown, and so many of them.
const MOST_CLASSES: usize = 50;
const SHOWN: usize = 40;

/// A class's figures: means over the replicates.
#[derive(Clone, Debug, PartialEq)]
struct ClassRow {
    name: String,
    precision: f64,
    recall: f64,
    f1: f64,
    support: f64,
}

/// Bars an evaluation: the best trial's.
pub fn figures(view: &View) -> Vec<Figure> {
    by_stage(view, &view.input.classes)
        .into_iter()
        .map(|(stage, files, whose)| {
            let id = format!("classes-{}", slug(stage));
            let title = format!("{stage}: figures of each class");
            match mean(&files) {
                Some(classes) if !classes.is_empty() => {
                    let seeds = files.len();
                    let whose = whose.replace(
                        &format!("{seeds} seeds together"),
                        &format!("mean over {seeds} seeds"),
                    );
                    figure(id, title, &whose, classes)
                }
                _ => Figure::empty(id, Section::Evaluation, title, "classes.csv holds no figures"),
            }
        })
        .collect()
}

fn mean(files: &[&TrialFile]) -> Option<Vec<ClassRow>> {
    let mut sum: Vec<ClassRow> = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let classes = read(&file.text)?;
        if index == 0 {
            sum = classes;
            continue;
        }
        if sum.len() != classes.len() {
            return None;
        }
        for (sum, class) in sum.iter_mut().zip(&classes) {
            sum.precision += class.precision;
            sum.recall += class.recall;
            sum.f1 += class.f1;
        }
    }
    let count = files.len() as f64;
    for class in &mut sum {
        class.precision /= count;
        class.recall /= count;
        class.f1 /= count;
    }
    Some(sum)
}

fn read(text: &str) -> Option<Vec<ClassRow>> {
    let sheet = Sheet::of(ArtifactTable::CLASSES, text)?;
    let rows = sheet.rows.iter().map(|row| {
        let number = |column: usize| cell_number(&row[column]);
        ClassRow {
            name: row[0].clone(),
            precision: number(1),
            recall: number(2),
            f1: number(3),
            support: number(4),
        }
    });
    Some(rows.collect())
}

fn figure(id: String, title: String, whose: &str, mut classes: Vec<ClassRow>) -> Figure {
    let mut note = if whose.is_empty() {
        String::new()
    } else {
        format!("{whose}. ")
    };
    if classes.len() > MOST_CLASSES {
        note.push_str(&format!(
            "Of {} classes, the {SHOWN} with the lowest F1 are shown.",
            classes.len()
        ));
        classes.sort_by(|left, right| left.f1.total_cmp(&right.f1));
        classes.truncate(SHOWN);
    }
    let mut chart = Chart::new(Frame {
        title: title.clone(),
        x: Axis::numbers("share (0 to 1)", AxisScale::Linear { low: 0.0, high: 1.0 }),
        y: Axis::names("", classes.iter().map(|class| class.name.clone()).collect()),
        keys: vec![
            key("F1", LegendMark::Bar(Ink::Series(0))),
            key("precision", LegendMark::Dot(Ink::Series(1))),
            key("recall", LegendMark::Ring(Ink::Text)),
        ],
        ramp: None,
        size: (480.0, (112.0 + 19.0 * classes.len() as f64).max(170.0)),
    });
    let bar = (chart.row() * 0.6).min(14.0);
    for (index, class) in classes.iter().enumerate() {
        let y = chart.y(index as f64);
        let tip = format!(
            "{}: F1 {}, precision {}, recall {}, {} samples",
            class.name,
            significant(class.f1, 4),
            significant(class.precision, 4),
            significant(class.recall, 4),
            class.support
        );
        if class.f1.is_finite() {
            let length = chart.x(class.f1) - chart.left;
            let mark = Mark::rectangle((chart.left, y - bar / 2.0), length, bar);
            chart.drawing.mark(
                mark.fill(Ink::Series(0))
                    .opacity(0.75)
                    .rounded(2.0)
                    .tip(tip.clone()),
            );
        }
        if class.precision.is_finite() {
            let dot = Mark::circle((chart.x(class.precision), y), 3.5).fill(Ink::Series(1));
            chart.drawing.mark(dot.stroke(Ink::Paper, 0.8).tip(tip.clone()));
        }
        if class.recall.is_finite() {
            let ring = Mark::circle((chart.x(class.recall), y), 4.5).stroke(Ink::Text, 1.3);
            chart.drawing.mark(ring.tip(tip));
        }
    }
    Figure::new(id, Section::Evaluation, title, chart.drawing).with_note(note.trim_end())
}

fn key(label: &str, sample: LegendMark) -> LegendKey {
    LegendKey {
        label: label.to_owned(),
        sample,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ReportInput;
    use crate::report::plot::Setting;

    #[test]
    fn means_over_seeds() {
        let file = |seed, f1: f64| TrialFile {
            trial: 1,
            seed,
            stage: "test".to_owned(),
            text: format!("class,precision,recall,f1,support\ncat,1,0.5,{f1},10\ndog,0,0,NaN,0\n"),
        };
        let files = [file(0, 0.6), file(1, 0.8)];
        let classes = mean(&[&files[0], &files[1]]).unwrap();
        assert!((classes[0].f1 - 0.7).abs() < 1e-12 && classes[0].precision == 1.0);
        let input = ReportInput {
            classes: files.into(),
            ..ReportInput::default()
        };
        let figures = figures(&View::new(&input));
        let svg = figures[0].svg(Setting::Page);
        assert!(
            svg.contains("cat: F1 0.7, precision 1, recall 0.5, 10 samples"),
            "{svg}"
        );
        assert_eq!(figures[0].note, "mean over 2 seeds.");
        assert!(!svg.contains("x=\"NaN"));
    }

    #[test]
    fn the_worst_of_many() {
        let rows: String = (0..200)
            .map(|class| format!("c{class},1,1,0.{class:03},5\n"))
            .collect();
        let text = format!("class,precision,recall,f1,support\n{rows}");
        let figure = figure("i".into(), "t".into(), "", read(&text).unwrap());
        assert!(figure.note.contains("Of 200 classes, the 40 with the lowest F1"));
        assert!(figure.svg(Setting::Page).contains("c39:") && !figure.svg(Setting::Page).contains("c41:"));
    }
}
