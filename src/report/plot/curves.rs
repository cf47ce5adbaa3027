//! Learning curves: each training's figures by epoch.
//!
//! Without a sweep, the training's and the validation's figures, each a line (the mean over the
//! replicates) in a band (from the smallest to the largest). In a sweep, one line a trial that
//! stands back, and the best one with its band in front; pruned trials end early, in a ring.

use std::collections::{BTreeMap, BTreeSet};

use super::chart::{Axis, Chart, Frame, LegendKey, LegendMark, USUAL};
use super::drawing::{Mark, Path};
use super::figure::{Figure, Section, slug};
use super::ink::Ink;
use super::losses::axis;
use super::scale::AxisScale;
use super::view::{TrainingHistory, View};
use crate::metric::EpochSplit;
use crate::report::TrialStatus;

/// The most lines in the background, and the most points of each.
const MOST_LINES: usize = 250;
const MOST_POINTS: usize = 50;
/// More lines than this are drawn fainter.
const CROWD: usize = 80;
/// So many trials can be told apart by colour.
const TOLD_APART: usize = 6;
/// Values that span more than this ratio are shown on a logarithmic axis.
const LOG_FROM: f64 = 30.0;

/// What an epoch's figures are over some histories.
#[derive(Clone, Copy, Debug, PartialEq)]
struct CurvePoint {
    epoch: f64,
    mean: f64,
    low: f64,
    high: f64,
}

/// All learning curves.
pub fn figures(view: &View) -> Vec<Figure> {
    let trained = view.input.graph.iter().filter(|node| node.kind == "train");
    let stages: BTreeSet<&str> = trained
        .map(|node| node.name.as_str())
        .chain(view.histories.iter().map(|history| history.file.stage.as_str()))
        .collect();
    let mut figures = Vec::new();
    for stage in stages {
        let histories: Vec<&TrainingHistory> = view
            .histories
            .iter()
            .filter(|history| history.file.stage == stage && !history.epochs.is_empty())
            .collect();
        if histories.is_empty() {
            figures.push(Figure::empty(
                format!("curves-{}", slug(stage)),
                Section::Curves,
                format!("Learning curves of {stage}"),
                "no epoch has been finished",
            ));
        }
        for family in families(view, stage, &histories) {
            figures.push(figure(view, stage, &family, &histories));
        }
    }
    figures
}

/// Columns that measure the same: `train_loss` and `val_loss`.
struct CurveFamily {
    /// The metric's name.
    name: String,
    /// Its title.
    title: String,
    columns: Vec<HistoryColumn>,
}

/// A column of a history.
struct HistoryColumn {
    name: String,
    /// In words.
    title: String,
    /// What it is measured on.
    split: Option<EpochSplit>,
}

/// The columns of the histories of `stage` by what they measure, the most telling first.
fn families(view: &View, stage: &str, histories: &[&TrainingHistory]) -> Vec<CurveFamily> {
    let metrics = &view.input.results.metrics;
    let columns: BTreeSet<&str> = histories
        .iter()
        .flat_map(|history| history.columns.keys().map(String::as_str))
        .collect();
    let mut families: BTreeMap<String, Vec<HistoryColumn>> = BTreeMap::new();
    for column in columns {
        let described = metrics.describe(stage, column);
        let family = described.map_or_else(|| column.to_owned(), |described| described.info.name.to_string());
        families.entry(family).or_default().push(HistoryColumn {
            name: column.to_owned(),
            title: metrics.title(stage, column),
            split: described.and_then(|described| described.split),
        });
    }
    let order = metrics.most_telling(stage, families.keys().map(String::as_str));
    let order: Vec<String> = order.into_iter().map(str::to_owned).collect();
    let family = |name: String| {
        let mut columns = families.remove(&name)?;
        columns.sort_by_key(|column| column.split);
        let title = metrics.title(stage, &name);
        Some(CurveFamily { name, title, columns })
    };
    order.into_iter().filter_map(family).collect()
}

fn figure(view: &View, stage: &str, family: &CurveFamily, histories: &[&TrainingHistory]) -> Figure {
    let lines = if view.is_sweep() {
        let mut columns = family.columns.iter();
        let judged = columns.find(|column| column.split == Some(EpochSplit::Val));
        sweep(view, judged.unwrap_or(&family.columns[0]), histories)
    } else {
        single(&family.columns, histories)
    };
    let values: Vec<f64> = lines.iter().flat_map(Line::values).collect();
    let epochs = lines
        .iter()
        .flat_map(|line| line.points.iter().map(|point| point.epoch));
    let title = match lines.first() {
        Some(line) if view.is_sweep() => format!("{stage}: {}", line.measure),
        _ => format!("{stage}: {}", family.title),
    };
    let id = format!("curves-{}-{}", slug(stage), slug(&family.name));
    if values.is_empty() {
        return Figure::empty(id, Section::Curves, title, "the history holds no number");
    }
    let mut chart = Chart::new(Frame {
        title: title.clone(),
        x: Axis::counts("epoch", AxisScale::linear(epochs)),
        y: Axis::numbers(
            axis(view, stage, &family.name),
            AxisScale::fitting(&values, LOG_FROM),
        ),
        keys: keys(view, &lines),
        ramp: None,
        size: USUAL,
    });
    let faint = if lines.len() > CROWD { 0.18 } else { 0.35 };
    for line in &lines {
        line.draw(&mut chart, faint);
    }
    let note = note(view, &lines, histories);
    Figure::new(id, Section::Curves, title, chart.drawing).with_note(note)
}

/// A line of a plot.
struct Line {
    /// What it shows, in words.
    measure: String,
    label: String,
    tip: String,
    trial: Option<u32>,
    points: Vec<CurvePoint>,
    role: Role,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Series(u8),
    Background,
    Pruned,
}

impl Line {
    fn values(&self) -> impl Iterator<Item = f64> {
        let front = matches!(self.role, Role::Series(_));
        self.points.iter().flat_map(move |point| match front {
            true => [point.mean, point.low, point.high],
            false => [point.mean; 3],
        })
    }

    fn draw(&self, chart: &mut Chart, faint: f64) {
        let mut points = self.points.clone();
        if !matches!(self.role, Role::Series(_)) {
            points = thinned(points);
        }
        let at = |value: fn(&CurvePoint) -> f64| -> Vec<(f64, f64)> {
            points
                .iter()
                .map(|point| chart.at(point.epoch, value(point)))
                .collect()
        };
        let mean = at(|point| point.mean);
        let marked = |mark: Mark| match self.trial {
            Some(trial) => mark.trial(trial).tip(self.tip.clone()),
            None => mark.tip(self.tip.clone()),
        };
        match self.role {
            Role::Series(series) => {
                let ink = Ink::Series(series);
                if points.iter().any(|point| point.high > point.low) {
                    let band = band(&at(|point| point.high), &at(|point| point.low));
                    chart.drawing.mark(Mark::path(band).fill(ink).opacity(0.2));
                }
                if let [only] = mean[..] {
                    chart.drawing.mark(marked(Mark::circle(only, 4.0).fill(ink)));
                } else {
                    let line = Mark::path(Path::through(mean)).stroke(ink, 2.0);
                    chart.drawing.mark(marked(line));
                }
            }
            Role::Background | Role::Pruned => {
                let end = mean
                    .iter()
                    .rev()
                    .find(|(x, y)| x.is_finite() && y.is_finite())
                    .copied();
                let line = Mark::path(Path::through(mean))
                    .stroke(Ink::Muted, 1.0)
                    .opacity(faint);
                chart.drawing.mark(marked(line));
                if let (Some(end), Role::Pruned) = (end, self.role) {
                    let ring = Mark::circle(end, 2.0).stroke(Ink::Muted, 1.0).opacity(0.7);
                    chart.drawing.mark(marked(ring));
                }
            }
        }
    }
}

/// The band between two lines, in as many pieces as numbers that are missing make.
fn band(upper: &[(f64, f64)], lower: &[(f64, f64)]) -> Path {
    let known = |index: &usize| upper[*index].1.is_finite() && lower[*index].1.is_finite();
    let indices: Vec<usize> = (0..upper.len()).filter(known).collect();
    let pick =
        |line: &[(f64, f64)]| -> Vec<(f64, f64)> { indices.iter().map(|index| line[*index]).collect() };
    Path::between(&pick(upper), &pick(lower))
}

fn single(columns: &[HistoryColumn], histories: &[&TrainingHistory]) -> Vec<Line> {
    let lines = columns.iter().enumerate().map(|(index, column)| Line {
        measure: column.title.clone(),
        label: column.title.clone(),
        tip: column.title.clone(),
        trial: None,
        points: points(&column.name, histories.iter().copied()),
        role: Role::Series(index as u8),
    });
    lines.filter(|line| !line.points.is_empty()).collect()
}

/// The lines of a sweep, those in front last.
fn sweep(view: &View, column: &HistoryColumn, histories: &[&TrainingHistory]) -> Vec<Line> {
    let trials = view.trials();
    let mut by_trial: BTreeMap<u32, Vec<&TrainingHistory>> = BTreeMap::new();
    for history in histories {
        by_trial.entry(history.file.trial).or_default().push(history);
    }
    let drawn: Vec<usize> = (0..trials.len())
        .filter(|place| by_trial.contains_key(&trials[*place].number))
        .collect();
    let best = view.best().filter(|best| drawn.contains(best));
    // Where nothing says which one is best, a few can be told apart, and many cannot.
    let told_apart = best.is_none() && drawn.len() <= TOLD_APART;
    let step = drawn.len().div_ceil(MOST_LINES).max(1);
    let mut lines = Vec::new();
    for (index, &place) in drawn.iter().enumerate() {
        let trial = &trials[place];
        let is_best = best == Some(place);
        if !is_best && !index.is_multiple_of(step) {
            continue;
        }
        let role = match &trial.status {
            _ if is_best => Role::Series(1),
            _ if told_apart => Role::Series(index as u8),
            TrialStatus::Pruned { .. } => Role::Pruned,
            _ => Role::Background,
        };
        lines.push(Line {
            measure: column.title.clone(),
            label: if is_best {
                format!("best: trial {}", trial.number)
            } else {
                format!("trial {}", trial.number)
            },
            tip: view.tip(place),
            trial: Some(trial.number),
            points: points(&column.name, by_trial[&trial.number].iter().copied()),
            role,
        });
    }
    lines.retain(|line| !line.points.is_empty());
    lines.sort_by_key(|line| matches!(line.role, Role::Series(_)));
    lines
}

/// Mean, smallest and largest value of each epoch over the histories that have it.
fn points<'a>(column: &str, histories: impl Iterator<Item = &'a TrainingHistory<'a>>) -> Vec<CurvePoint> {
    let mut by_epoch: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for history in histories {
        let Some(values) = history.columns.get(column) else {
            continue;
        };
        for (epoch, value) in history.epochs.iter().zip(values) {
            if *epoch >= 0.0 && value.is_finite() {
                by_epoch.entry(*epoch as u64).or_default().push(*value);
            }
        }
    }
    let points = by_epoch.into_iter().map(|(epoch, values)| CurvePoint {
        epoch: epoch as f64,
        mean: values.iter().sum::<f64>() / values.len() as f64,
        low: values.iter().copied().fold(f64::INFINITY, f64::min),
        high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    });
    points.collect()
}

/// Some of the points, the last one among them.
fn thinned(points: Vec<CurvePoint>) -> Vec<CurvePoint> {
    let step = points.len().div_ceil(MOST_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    let kept = points.into_iter().enumerate();
    kept.filter(|(index, _)| index % step == 0 || *index == last)
        .map(|(_, point)| point)
        .collect()
}

fn keys(view: &View, lines: &[Line]) -> Vec<LegendKey> {
    let mut keys = Vec::new();
    for line in lines {
        if let Role::Series(series) = line.role {
            keys.push(LegendKey {
                label: line.label.clone(),
                sample: LegendMark::Line(Ink::Series(series)),
            });
        }
    }
    if view.is_sweep() && lines.iter().any(|line| line.role == Role::Background) {
        keys.push(LegendKey {
            label: "other trials".to_owned(),
            sample: LegendMark::Faint(Ink::Muted),
        });
    }
    if lines.iter().any(|line| line.role == Role::Pruned) {
        keys.push(LegendKey {
            label: "pruned".to_owned(),
            sample: LegendMark::Ring(Ink::Muted),
        });
    }
    keys
}

fn note(view: &View, lines: &[Line], histories: &[&TrainingHistory]) -> String {
    let seeds: BTreeSet<u64> = histories.iter().map(|history| history.file.seed).collect();
    let mut note = match (seeds.len(), view.is_sweep()) {
        (0 | 1, _) => String::new(),
        (count, true) => format!(
            "Each line is the mean over up to {count} seeds; the band goes from the smallest to the largest. "
        ),
        (count, false) => {
            format!("Line: the mean over {count} seeds; band: from the smallest to the largest. ")
        }
    };
    let trials: BTreeSet<u32> = histories.iter().map(|history| history.file.trial).collect();
    if view.is_sweep() && trials.len() > lines.len() {
        note.push_str(&format!(
            "Of {} trials, {} are drawn. ",
            trials.len(),
            lines.len()
        ));
    }
    note.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::Setting;
    use crate::report::plot::testing::Sample as Results;
    use crate::report::{ReportInput, TrialFile};
    use crate::spec::Direction;

    fn history(trial: u32, seed: u64, text: &str) -> TrialFile {
        TrialFile {
            trial,
            seed,
            stage: "model".to_owned(),
            text: format!("epoch,train_loss,val_loss,val_accuracy\n{text}"),
        }
    }

    #[test]
    fn replicates_become_a_line_in_a_band() {
        let files = [
            history(1, 0, "1,3,2,0.5\n2,2,1,0.6\n"),
            history(1, 1, "1,5,NaN,0.7\n"),
        ];
        let histories: Vec<TrainingHistory> = files
            .iter()
            .map(|file| TrainingHistory {
                file,
                epochs: crate::spec::Sheet::read(&file.text).unwrap().into_columns()["epoch"].clone(),
                columns: crate::spec::Sheet::read(&file.text).unwrap().into_columns(),
            })
            .collect();
        let found = points("train_loss", histories.iter());
        assert_eq!(
            found,
            [
                CurvePoint {
                    epoch: 1.0,
                    mean: 4.0,
                    low: 3.0,
                    high: 5.0
                },
                CurvePoint {
                    epoch: 2.0,
                    mean: 2.0,
                    low: 2.0,
                    high: 2.0
                }
            ]
        );
        assert_eq!(
            points("val_loss", histories.iter())[0].high,
            2.0,
            "what is no number is left out"
        );
    }

    #[test]
    fn one_figure_a_measure() {
        let input = ReportInput {
            histories: vec![history(1, 0, "1,3,2,0.5\n2,2,1,0.6\n")],
            ..ReportInput::default()
        };
        let figures = figures(&View::new(&input));
        let ids: Vec<&str> = figures.iter().map(|figure| figure.id.as_str()).collect();
        assert_eq!(ids, ["curves-model-accuracy", "curves-model-loss"]);
        let svg = figures[1].svg(Setting::Page);
        assert!(svg.contains("training loss") && svg.contains("validation loss"));
    }

    #[test]
    fn the_best_trial_stands_in_front_and_many_are_thinned() {
        let mut sample = Results::new(&[("model.val_accuracy", Direction::Maximize)]);
        for number in 1..=1000u32 {
            let accuracy = f64::from(number % 700) / 1000.0;
            sample.done(&[accuracy]);
            let rows: String = (1..=200)
                .map(|epoch| format!("{epoch},1,1,{accuracy}\n"))
                .collect();
            sample.input.histories.push(history(number, 0, &rows));
        }
        let figures = figures(&View::new(&sample.input));
        let figure = figures
            .iter()
            .find(|figure| figure.id == "curves-model-accuracy")
            .unwrap();
        let svg = figure.svg(Setting::Page);
        assert!(svg.contains("best: trial 699"));
        assert!(svg.matches("<path").count() < MOST_LINES + 30);
        assert!(svg.len() < 200_000, "{}", svg.len());
        assert!(
            figure.note.contains("Of 1000 trials, 251 are drawn"),
            "{}",
            figure.note
        );
    }

    #[test]
    fn says_where_there_is_nothing() {
        let mut input = ReportInput {
            histories: vec![history(1, 0, "")],
            ..ReportInput::default()
        };
        let nothing = figures(&View::new(&input));
        assert!(nothing[0].svg(Setting::Page).contains("nothing to show yet"));
        input.histories = vec![history(1, 0, "1,NaN,NaN,NaN\n")];
        for figure in figures(&View::new(&input)) {
            assert!(
                figure.svg(Setting::Page).contains("nothing to show yet"),
                "{}",
                figure.id
            );
        }
        input.histories = vec![history(1, 0, "1,0.5,0.5,0.5\n")];
        assert!(
            figures(&View::new(&input))[0]
                .svg(Setting::Page)
                .contains("<circle")
        );
    }
}
