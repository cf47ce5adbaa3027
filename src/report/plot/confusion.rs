//! Confusion matrices: which class was taken for which.

use super::chart::{Axis, Chart, Frame, RampKey};
use super::drawing::{Anchor, Label, Mark, Path};
use super::figure::{Figure, Section, slug};
use super::ink::Ink;
use super::text::width;
use super::view::View;
use crate::report::TrialFile;
use crate::spec::{ArtifactTable, Sheet, cell_number, counted};

/// With more classes than this, only those that are confused most are shown.
const MOST_CLASSES: usize = 100;
/// So many of them then.
const SHOWN: usize = 40;
/// Up to so many classes, each cell tells what it holds.
const CELLS_SPEAK: usize = 40;
const CELL_SIZE: f64 = 9.5;

/// Counts by true class (rows) and predicted class (columns).
#[derive(Clone, Debug, PartialEq)]
struct Matrix {
    classes: Vec<String>,
    counts: Vec<Vec<f64>>,
}

/// A matrix an evaluation: the best trial's, added up over its replicates.
pub fn figures(view: &View) -> Vec<Figure> {
    by_stage(view, &view.input.confusions)
        .into_iter()
        .map(|(stage, files, whose)| {
            let id = format!("confusion-{}", slug(stage));
            let title = format!("{stage}: confusion matrix");
            match Matrix::sum(&files) {
                Some(matrix) => matrix.figure(id, title, &whose),
                None => Figure::empty(id, Section::Evaluation, title, "confusion.csv holds no matrix"),
            }
        })
        .collect()
}

/// The files of each stage that belong to the trial that is shown, and whose they are in words.
pub fn by_stage<'a>(view: &View, files: &'a [TrialFile]) -> Vec<(&'a str, Vec<&'a TrialFile>, String)> {
    let mut stages: Vec<&str> = files.iter().map(|file| file.stage.as_str()).collect();
    stages.sort_unstable();
    stages.dedup();
    let shown = view.best().map(|place| view.trials()[place].number);
    let groups = stages.into_iter().map(|stage| {
        let of_stage = || files.iter().filter(move |file| file.stage == stage);
        let first = of_stage().map(|file| file.trial).min();
        let trial = shown
            .filter(|trial| of_stage().any(|file| file.trial == *trial))
            .or(first);
        let files: Vec<&TrialFile> = of_stage().filter(|file| Some(file.trial) == trial).collect();
        let mut whose = match (view.is_sweep(), trial) {
            (true, Some(trial)) if shown == Some(trial) => format!("The best trial, {trial}"),
            (true, Some(trial)) => format!("Trial {trial}"),
            _ => String::new(),
        };
        if files.len() > 1 {
            let seeds = format!("{} seeds together", files.len());
            whose = if whose.is_empty() {
                seeds
            } else {
                format!("{whose}; {seeds}")
            };
        }
        (stage, files, whose)
    });
    groups.collect()
}

impl Matrix {
    /// The sum of the files' matrices; nothing where there is none, or where their classes differ.
    fn sum(files: &[&TrialFile]) -> Option<Self> {
        let mut sum: Option<Self> = None;
        for file in files {
            let matrix = Self::read(&file.text)?;
            sum = Some(match sum {
                None => matrix,
                Some(sum) => sum.plus(&matrix)?,
            });
        }
        sum.filter(|sum| !sum.classes.is_empty())
    }

    fn read(text: &str) -> Option<Self> {
        let sheet = Sheet::of(ArtifactTable::CONFUSION, text)?;
        let classes: Vec<String> = sheet.titles.get(1..)?.to_vec();
        let counts: Vec<Vec<f64>> = sheet
            .rows
            .iter()
            .map(|row| row[1..].iter().map(|cell| cell_number(cell)).collect())
            .collect();
        let square = counts.len() == classes.len();
        let known = counts
            .iter()
            .flatten()
            .all(|count| count.is_finite() && *count >= 0.0);
        (square && known).then_some(Self { classes, counts })
    }

    fn plus(mut self, other: &Self) -> Option<Self> {
        if self.classes != other.classes {
            return None;
        }
        for (row, others) in self.counts.iter_mut().zip(&other.counts) {
            for (count, more) in row.iter_mut().zip(others) {
                *count += more;
            }
        }
        Some(self)
    }

    /// Only the classes that are most often part of a mistake, in their order.
    fn most_confused(&self, most: usize) -> Self {
        let mistakes = |class: usize| -> f64 {
            let others = (0..self.classes.len()).filter(|other| *other != class);
            others
                .map(|other| self.counts[class][other] + self.counts[other][class])
                .sum()
        };
        let mut order: Vec<(f64, usize)> = (0..self.classes.len())
            .map(|class| (-mistakes(class), class))
            .collect();
        order.sort_by(|left, right| left.0.total_cmp(&right.0).then(left.1.cmp(&right.1)));
        let mut kept: Vec<usize> = order.into_iter().take(most).map(|(_, class)| class).collect();
        kept.sort_unstable();
        Self {
            classes: kept.iter().map(|class| self.classes[*class].clone()).collect(),
            counts: kept
                .iter()
                .map(|row| kept.iter().map(|column| self.counts[*row][*column]).collect())
                .collect(),
        }
    }

    fn figure(&self, id: String, title: String, whose: &str) -> Figure {
        let totals: Vec<f64> = self.counts.iter().map(|row| row.iter().sum()).collect();
        let right: f64 = (0..self.classes.len())
            .map(|class| self.counts[class][class])
            .sum();
        let all: f64 = totals.iter().sum();
        let mut note = format!("{right} of {} right. ", counted(all, "sample"));
        if !whose.is_empty() {
            note = format!("{whose}: {note}");
        }
        let shown = if self.classes.len() > MOST_CLASSES {
            note.push_str(&format!(
                "Of {} classes, the {SHOWN} that are confused most are shown.",
                self.classes.len()
            ));
            self.most_confused(SHOWN)
        } else {
            self.clone()
        };
        let shown_totals: Vec<f64> = shown
            .classes
            .iter()
            .map(|class| {
                self.classes
                    .iter()
                    .position(|name| name == class)
                    .map_or(0.0, |at| totals[at])
            })
            .collect();
        Figure::new(
            id,
            Section::Evaluation,
            title.clone(),
            shown.draw(title, &shown_totals).drawing,
        )
        .with_note(note.trim_end())
    }

    fn draw(&self, title: String, totals: &[f64]) -> Chart {
        let count = self.classes.len();
        let cell = (360.0 / count as f64).clamp(11.0, 48.0);
        let names = self
            .classes
            .iter()
            .map(|name| width(name, 11.0))
            .fold(0.0, f64::max)
            .min(150.0);
        let size = (
            (names + 56.0 + cell * count as f64).max(340.0),
            (112.0
                + cell * count as f64
                + if names > cell - 4.0 {
                    names.min(100.0) - 10.0
                } else {
                    0.0
                })
            .max(200.0),
        );
        let mut chart = Chart::new(Frame {
            title,
            x: Axis::names("predicted class", self.classes.clone()),
            y: Axis::names("true class", self.classes.clone()),
            keys: Vec::new(),
            ramp: Some(RampKey {
                title: "share of the true class".to_owned(),
                from: 0,
                low: "0".to_owned(),
                high: "1".to_owned(),
            }),
            size,
        });
        let (cell_width, cell_height) = (chart.column(), chart.row());
        // Cells of one colour are one path where there are many.
        let mut together: Vec<Path> = vec![Path::default(); usize::from(Ink::STEPS)];
        for (row, (counts, total)) in self.counts.iter().zip(totals).enumerate() {
            for (column, found) in counts.iter().enumerate().filter(|(_, found)| **found > 0.0) {
                let (x, y) = chart.at(column as f64, row as f64);
                let corner = (x - cell_width / 2.0, y - cell_height / 2.0);
                let ink = Ink::ramp(found / total);
                if count > CELLS_SPEAK {
                    if let Ink::Ramp(step) = ink {
                        together[usize::from(step)].rectangle(corner, cell_width, cell_height);
                    }
                    continue;
                }
                let tip = format!(
                    "{} taken for {}: {found} of {total}",
                    self.classes[row], self.classes[column]
                );
                let mark = Mark::rectangle(corner, cell_width, cell_height)
                    .fill(ink)
                    .tip(tip);
                chart.drawing.mark(mark);
                let text = found.to_string();
                if width(&text, CELL_SIZE) < cell_width - 3.0 && cell_height > CELL_SIZE + 2.0 {
                    let label = Label::new((x, y + 3.5), text)
                        .size(CELL_SIZE)
                        .ink(ink.text_upon());
                    chart.drawing.label(label.anchor(Anchor::Middle));
                }
            }
        }
        for (step, path) in together.into_iter().enumerate() {
            chart.drawing.mark(Mark::path(path).fill(Ink::Ramp(step as u8)));
        }
        let corner = (chart.left, chart.top);
        let outline = Mark::rectangle(corner, chart.width, chart.height).stroke(Ink::Muted, 1.0);
        chart.drawing.mark(outline);
        chart
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ReportInput;
    use crate::report::plot::Setting;

    fn file(trial: u32, seed: u64, text: impl Into<String>) -> TrialFile {
        TrialFile {
            trial,
            seed,
            stage: "test".to_owned(),
            text: text.into(),
        }
    }

    fn drawn(files: Vec<TrialFile>) -> (String, String) {
        let input = ReportInput {
            confusions: files,
            ..ReportInput::default()
        };
        let figures = figures(&View::new(&input));
        assert_eq!(figures.len(), 1);
        (figures[0].svg(Setting::Page), figures[0].note.clone())
    }

    #[test]
    fn seeds_are_added_up() {
        let text = "class,cat,<dog>\ncat,8,2\n<dog>,0,10\n";
        let (svg, note) = drawn(vec![file(1, 0, text), file(1, 1, text)]);
        assert_eq!(note, "2 seeds together: 36 of 40 samples right.");
        assert!(svg.contains("cat taken for &lt;dog&gt;: 4 of 20"), "{svg}");
        assert!(
            !svg.contains("&lt;dog&gt; taken for cat"),
            "nothing where nothing is"
        );
    }

    #[test]
    fn many_classes_stay_small_and_too_many_are_chosen_from() {
        for count in [1usize, 2, 60, 100, 150] {
            let names: Vec<String> = (0..count).map(|class| format!("class {class}")).collect();
            let rows: String = (0..count)
                .map(|row| {
                    let cells = (0..count).map(|column| match (row == column, row == 7) {
                        (true, _) => "10",
                        (false, true) => "3",
                        _ => "0",
                    });
                    format!("class {row},{}\n", cells.collect::<Vec<_>>().join(","))
                })
                .collect();
            let (svg, note) = drawn(vec![file(1, 0, format!("class,{}\n{rows}", names.join(",")))]);
            assert!(svg.len() < 150_000, "{count}: {}", svg.len());
            assert_eq!(
                count > MOST_CLASSES,
                note.contains("40 that are confused most"),
                "{note}"
            );
        }
    }

    #[test]
    fn what_is_no_matrix_is_said() {
        for text in ["", "class,a\na,x\n", "class,a,b\na,1,2\n", "class,a\na,-1\n"] {
            assert!(
                drawn(vec![file(1, 0, text)]).0.contains("nothing to show yet"),
                "{text}"
            );
        }
    }
}
