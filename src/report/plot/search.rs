//! The views of a sweep that show trials as points: the search's course, slices, Pareto fronts.

use serde_json::Value;

use super::chart::{Along, Axis, Chart, Frame, LegendKey, LegendMark, RampKey, USUAL};
use super::drawing::{Mark, Path};
use super::figure::{Figure, Section, slug};
use super::ink::Ink;
use super::parameter::ParameterAxis;
use super::scale::AxisScale;
use super::view::{View, path_of};
use crate::report::{Trial, TrialStatus};

/// Values that span more than this ratio are shown on a logarithmic axis.
const LOG_FROM: f64 = 100.0;

/// Why most views of a sweep are empty at first.
pub const NO_TRIAL: &str = "no trial has come to its end";

/// Each objective by trial, and the best value so far.
pub fn course(view: &View) -> Vec<Figure> {
    let objectives = &view.input.results.objectives;
    let figures = objectives.iter().enumerate().map(|(index, objective)| {
        let path = path_of(objective);
        let id = numbered("sweep-history", index, objectives.len());
        let title = format!("Search: {path} by trial");
        let values: Vec<f64> = view
            .judged
            .iter()
            .filter_map(|judged| judged.values[index])
            .collect();
        if values.is_empty() {
            return Figure::empty(id, Section::Sweep, title, NO_TRIAL);
        }
        let trials = view.trials();
        let spans = view.judged.iter().filter_map(|judged| judged.spans[index]);
        let all: Vec<f64> = spans.flat_map(|(low, high)| [low, high]).chain(values).collect();
        let mut keys = vec![
            key("finished", LegendMark::Dot(Ink::Series(0))),
            key("best so far", LegendMark::Line(Ink::Series(1))),
        ];
        let any = |wanted: fn(&TrialStatus) -> bool| trials.iter().any(|trial| wanted(&trial.status));
        if any(|status| matches!(status, TrialStatus::Pruned { .. })) {
            keys.push(key("pruned", LegendMark::Ring(Ink::Muted)));
        }
        if any(|status| matches!(status, TrialStatus::Failed { .. })) {
            keys.push(key("failed", LegendMark::Cross(Ink::Bad)));
        }
        let mut chart = Chart::new(Frame {
            title: title.clone(),
            x: Axis::counts(
                "trial (number)",
                AxisScale::linear(trials.iter().map(|trial| f64::from(trial.number))),
            ),
            y: Axis::numbers(objective_title(view, index), AxisScale::fitting(&all, LOG_FROM)),
            keys,
            ramp: None,
            size: USUAL,
        });
        let radius = radius(trials.len());
        let mut best: Option<f64> = None;
        let mut line = Path::default();
        let mut marks = Vec::new();
        for (place, trial) in trials.iter().enumerate() {
            let value = view.judged[place].values[index];
            let x = f64::from(trial.number);
            let mark = match (&trial.status, value) {
                (TrialStatus::Done, Some(value)) => {
                    if let Some((low, high)) =
                        view.judged[place].spans[index].filter(|(low, high)| high > low)
                    {
                        let whisker = Mark::line(chart.at(x, low), chart.at(x, high));
                        marks.push(whisker.stroke(Ink::Series(0), 1.0).opacity(0.4));
                    }
                    if best.is_none_or(|best| objective.direction().is_better(value, best)) {
                        if let Some(before) = best {
                            line.to(chart.at(x, before));
                        }
                        line.to(chart.at(x, value));
                        best = Some(value);
                    }
                    Mark::circle(chart.at(x, value), radius)
                        .fill(Ink::Series(0))
                        .opacity(0.8)
                }
                (TrialStatus::Pruned { .. }, Some(value)) => {
                    Mark::circle(chart.at(x, value), radius - 0.5).stroke(Ink::Muted, 1.2)
                }
                (TrialStatus::Pruned { .. }, None) => {
                    Mark::circle((chart.x(x), chart.bottom() - 6.0), radius - 0.5).stroke(Ink::Muted, 1.2)
                }
                (TrialStatus::Failed { .. }, _) => {
                    Mark::cross((chart.x(x), chart.bottom() - 6.0), radius - 0.5).stroke(Ink::Bad, 1.5)
                }
                _ => continue,
            };
            marks.push(mark.trial(trial.number).tip(view.tip(place)));
        }
        if let Some(best) = best {
            line.to((chart.right(), chart.y(best)));
        }
        chart.drawing.mark(Mark::path(line).stroke(Ink::Series(1), 2.0));
        marks.into_iter().for_each(|mark| chart.drawing.mark(mark));
        let mut note = seeds_note(view);
        let unmeasured = |(place, trial): (usize, &Trial)| {
            matches!(
                trial.status,
                TrialStatus::Pruned { .. } | TrialStatus::Failed { .. }
            ) && view.judged[place].values[index].is_none()
        };
        if trials.iter().enumerate().any(unmeasured) {
            note.push_str(" What stands on the lower edge has no value.");
        }
        Figure::new(id, Section::Sweep, title, chart.drawing).with_note(note.trim_start())
    });
    figures.collect()
}

/// The first objective by each swept parameter.
pub fn slices(view: &View) -> Vec<Figure> {
    let results = &view.input.results;
    let Some(objective) = results.objectives.first() else {
        return Vec::new();
    };
    let path = path_of(objective);
    let figures = results.swept.iter().map(|name| {
        let id = format!("sweep-slice-{}", slug(name));
        let title = format!("Slice: {path} by {name}");
        let known: Vec<(usize, f64)> = view
            .ranking
            .iter()
            .filter_map(|place| Some((*place, view.judged[*place].values[0]?)))
            .collect();
        let trials = view.trials();
        let parameter = ParameterAxis::of(name, known.iter().map(|(place, _)| &trials[*place]));
        let Some(parameter) = parameter else {
            return Figure::empty(id, Section::Sweep, title, NO_TRIAL);
        };
        let values: Vec<f64> = known.iter().map(|(_, value)| *value).collect();
        let last = trials.last().map_or(1, |trial| trial.number);
        let mut chart = Chart::new(Frame {
            title: title.clone(),
            x: Axis {
                title: name.clone(),
                along: parameter.along.clone(),
            },
            y: Axis::numbers(objective_title(view, 0), AxisScale::fitting(&values, LOG_FROM)),
            keys: Vec::new(),
            ramp: Some(RampKey {
                title: "trial".to_owned(),
                from: Ink::SEEN,
                low: "first".to_owned(),
                high: format!("last ({last})"),
            }),
            size: USUAL,
        });
        // In the order of the trials, so that the later ones are on top.
        let mut points = known;
        points.sort_by_key(|(place, _)| *place);
        for (place, value) in points {
            let trial = &trials[place];
            let Some(along) = parameter.value(trial.parameters.get(name).unwrap_or(&Value::Null)) else {
                continue;
            };
            let (mut x, y) = chart.at(along, value);
            if matches!(parameter.along, Along::Names(_)) {
                x += spread(trial.number) * (chart.column() * 0.5).min(60.0);
            }
            let ink = Ink::seen(f64::from(trial.number) / f64::from(last.max(1)));
            let dot = Mark::circle((x, y), radius(trials.len()))
                .fill(ink)
                .stroke(Ink::Muted, 0.7);
            chart.drawing.mark(dot.trial(trial.number).tip(view.tip(place)));
        }
        Figure::new(id, Section::Sweep, title, chart.drawing)
    });
    figures.collect()
}

/// Each pair of objectives, with the trials that nothing beats.
pub fn pareto(view: &View) -> Vec<Figure> {
    let objectives = &view.input.results.objectives;
    let mut figures = Vec::new();
    for second in 1..objectives.len() {
        for first in 0..second {
            let pairs = objectives.len() * (objectives.len() - 1) / 2;
            let id = numbered("sweep-pareto", figures.len(), pairs);
            figures.push(pair(view, id, first, second));
        }
    }
    figures
}

fn pair(view: &View, id: String, first: usize, second: usize) -> Figure {
    let objectives = &view.input.results.objectives;
    let title = format!(
        "Pareto front: {} and {}",
        path_of(&objectives[first]),
        path_of(&objectives[second])
    );
    let value = |place: usize| {
        let values = &view.judged[place].values;
        Some((values[first]?, values[second]?))
    };
    let points: Vec<(usize, (f64, f64))> = view
        .ranking
        .iter()
        .filter_map(|place| Some((*place, value(*place)?)))
        .collect();
    if points.is_empty() {
        return Figure::empty(id, Section::Sweep, title, NO_TRIAL);
    }
    let (xs, ys): (Vec<f64>, Vec<f64>) = points.iter().map(|(_, point)| *point).unzip();
    let mut chart = Chart::new(Frame {
        title: title.clone(),
        x: Axis::numbers(objective_title(view, first), AxisScale::fitting(&xs, LOG_FROM)),
        y: Axis::numbers(objective_title(view, second), AxisScale::fitting(&ys, LOG_FROM)),
        keys: vec![
            key("on the front", LegendMark::Dot(Ink::Series(1))),
            key("beaten by another", LegendMark::Dot(Ink::Series(0))),
        ],
        ramp: None,
        size: USUAL,
    });
    let on_front = |place: &usize| view.front.contains(place);
    if objectives.len() == 2 {
        let mut front: Vec<(f64, f64)> = points
            .iter()
            .filter(|(place, _)| on_front(place))
            .map(|(_, point)| *point)
            .collect();
        front.sort_by(|left, right| left.0.total_cmp(&right.0));
        // Between two neighbours nothing is known to be better than the worse of both.
        let better_is_more = objectives[first].direction() == crate::spec::Direction::Maximize;
        let mut line = Path::default();
        for (index, point) in front.iter().enumerate() {
            if let Some(before) = index.checked_sub(1).map(|before| front[before]) {
                let corner = if better_is_more {
                    (before.0, point.1)
                } else {
                    (point.0, before.1)
                };
                line.to(chart.at(corner.0, corner.1));
            }
            line.to(chart.at(point.0, point.1));
        }
        chart
            .drawing
            .mark(Mark::path(line).stroke(Ink::Series(1), 1.5).opacity(0.7));
    }
    let radius = radius(view.trials().len());
    let (front, beaten): (Vec<_>, Vec<_>) = points.into_iter().partition(|(place, _)| on_front(place));
    for (places, ink, opacity) in [(beaten, Ink::Series(0), 0.5), (front, Ink::Series(1), 1.0)] {
        for (place, (x, y)) in places {
            let dot = Mark::circle(chart.at(x, y), radius).fill(ink).opacity(opacity);
            let number = view.trials()[place].number;
            chart.drawing.mark(dot.trial(number).tip(view.tip(place)));
        }
    }
    Figure::new(id, Section::Sweep, title, chart.drawing).with_note(format!(
        "{}, {}.",
        wish(view, first),
        wish(view, second)
    ))
}

fn wish(view: &View, index: usize) -> String {
    let objective = &view.input.results.objectives[index];
    match objective.direction() {
        crate::spec::Direction::Maximize => format!("{}: more is better", path_of(objective)),
        crate::spec::Direction::Minimize => format!("{}: less is better", path_of(objective)),
    }
}

/// An objective as an axis' title: its path, the unit that its stage gives it, and what a point means where there are several seeds.
pub fn objective_title(view: &View, index: usize) -> String {
    let results = &view.input.results;
    let path = results.objectives[index].path();
    let described = results.metrics.of_stage(&path.stage, &path.metric);
    let unit = described.and_then(|info| info.unit.as_deref());
    let several = (most_seeds(view) > 1).then_some("mean over seeds");
    let notes: Vec<&str> = unit.into_iter().chain(several).collect();
    if notes.is_empty() {
        path.to_string()
    } else {
        format!("{path} ({})", notes.join(", "))
    }
}

fn most_seeds(view: &View) -> usize {
    let counts = view.trials().iter().map(|trial| trial.replicates.len());
    counts.max().unwrap_or(0)
}

fn seeds_note(view: &View) -> String {
    match most_seeds(view) {
        0 | 1 => String::new(),
        count => format!("A thin line goes from the smallest to the largest of a trial's {count} seeds."),
    }
}

fn radius(trials: usize) -> f64 {
    match trials {
        0..=60 => 4.0,
        61..=250 => 3.2,
        _ => 2.5,
    }
}

/// A number from -0.5 to 0.5 that scatters neighbours: the golden ratio's multiples.
fn spread(number: u32) -> f64 {
    (f64::from(number) * 0.618_033_988_75).fract() - 0.5
}

fn numbered(id: &str, index: usize, count: usize) -> String {
    if count == 1 {
        id.to_owned()
    } else {
        format!("{id}-{}", index + 1)
    }
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
    use crate::report::plot::Setting;
    use crate::report::plot::testing::Sample as Results;
    use crate::spec::Direction;

    #[test]
    fn every_trial_is_shown_as_what_it_is() {
        let mut sample = Results::new(&[("m.a", Direction::Maximize)]);
        sample.done(&[0.5]).failed().pruned(2).done(&[0.9]).done(&[0.7]);
        let figures = course(&View::new(&sample.input));
        let svg = figures[0].svg(Setting::Page);
        assert_eq!(figures[0].id, "sweep-history");
        for trial in [1, 2, 4, 5] {
            assert_eq!(
                svg.matches(&format!("data-t=\"{trial}\"")).count(),
                1,
                "trial {trial}"
            );
        }
        assert!(svg.contains("failed") && svg.contains("pruned") && svg.contains("best so far"));
    }

    #[test]
    fn a_slice_shows_finished_trials() {
        let mut sample = Results::new(&[("m.a", Direction::Maximize)]);
        sample.done(&[0.5]).failed().done(&[0.9]);
        let figures = slices(&View::new(&sample.input));
        assert_eq!(figures[0].id, "sweep-slice-x");
        assert_eq!(figures[0].svg(Setting::Page).matches("data-t").count(), 2);
    }

    #[test]
    fn the_front_is_in_front() {
        let mut sample = Results::new(&[("m.a", Direction::Maximize), ("m.b", Direction::Minimize)]);
        sample.done(&[0.9, 5.0]).done(&[0.8, 1.0]).done(&[0.7, 2.0]);
        let view = View::new(&sample.input);
        let figures = pareto(&view);
        let svg = figures[0].svg(Setting::Page);
        assert_eq!(figures.len(), 1);
        assert!(
            svg.rfind("data-t=\"1\"") > svg.rfind("data-t=\"3\""),
            "the beaten lie below"
        );
        assert_eq!(figures[0].note, "m.a: more is better, m.b: less is better.");
        assert_eq!(course(&view).len(), 2);
    }

    #[test]
    fn one_trial_and_none() {
        let mut sample = Results::new(&[("m.a", Direction::Minimize), ("m.b", Direction::Minimize)]);
        for figure in [course, slices, pareto]
            .iter()
            .flat_map(|make| make(&View::new(&sample.input)))
        {
            assert!(
                figure.svg(Setting::Page).contains("nothing to show yet"),
                "{}",
                figure.id
            );
        }
        sample.done(&[0.0, 1e-9]);
        for figure in [course, slices, pareto]
            .iter()
            .flat_map(|make| make(&View::new(&sample.input)))
        {
            let svg = figure.svg(Setting::Page);
            assert!(
                svg.contains("data-t=\"1\"") && !svg.contains("NaN"),
                "{}: {svg}",
                figure.id
            );
        }
    }
}
