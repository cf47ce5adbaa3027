//! Parallel coordinates: a line a trial, through its parameters to what it gave.

use serde_json::Value;

use super::chart::{Along, LegendKey, LegendMark, RampKey, legend, ramp_legend, title};
use super::drawing::{Anchor, Drawing, Label, Mark, Path};
use super::figure::{Figure, Section};
use super::ink::Ink;
use super::parameter::ParameterAxis;
use super::scale::{AxisScale, Tick};
use super::search::NO_TRIAL;
use super::text::{shortened, width};
use super::view::{View, path_of};
use crate::report::TrialStatus;

const HEIGHT: f64 = 360.0;
const GAP: f64 = 96.0;
/// With more axes than this, the plot takes the whole width of a page.
const FEW_AXES: usize = 4;
const SMALL: f64 = 11.0;

/// A vertical axis.
struct ParallelAxis {
    title: String,
    along: Along,
    /// Where each trial lies on it, in shares of its length from below.
    places: Vec<Option<f64>>,
}

/// One figure, where there is an objective.
pub fn figures(view: &View) -> Vec<Figure> {
    if view.input.results.objectives.is_empty() {
        return Vec::new();
    }
    let (id, heading) = (
        "sweep-parallel".to_owned(),
        "Trials: from parameters to results".to_owned(),
    );
    match axes(view) {
        Some(axes) => vec![draw(view, id, heading, &axes)],
        None => vec![Figure::empty(id, Section::Sweep, heading, NO_TRIAL)],
    }
}

fn axes(view: &View) -> Option<Vec<ParallelAxis>> {
    if view.ranking.is_empty() {
        return None;
    }
    let trials = view.trials();
    let mut axes = Vec::new();
    for name in &view.input.results.swept {
        let parameter = ParameterAxis::of(name, trials.iter())?;
        let place = |value: &Value| Some(share(&parameter.along, parameter.value(value)?));
        axes.push(ParallelAxis {
            title: name.clone(),
            places: trials
                .iter()
                .map(|trial| place(trial.parameters.get(name).unwrap_or(&Value::Null)))
                .collect(),
            along: parameter.along,
        });
    }
    for (index, objective) in view.input.results.objectives.iter().enumerate() {
        let value = |place: usize| match trials[place].status {
            TrialStatus::Done => view.judged[place].values[index],
            _ => None,
        };
        let values: Vec<f64> = (0..trials.len()).filter_map(value).collect();
        let along = Along::Numbers(AxisScale::fitting(&values, 100.0));
        axes.push(ParallelAxis {
            title: path_of(objective),
            places: (0..trials.len())
                .map(|place| value(place).map(|value| share(&along, value)))
                .collect(),
            along,
        });
    }
    Some(axes)
}

fn share(along: &Along, value: f64) -> f64 {
    match along {
        Along::Numbers(scale) | Along::Counts(scale) => scale.place(value),
        Along::Names(names) => 1.0 - (value + 0.5) / names.len().max(1) as f64,
    }
}

fn draw(view: &View, id: String, heading: String, axes: &[ParallelAxis]) -> Figure {
    let room = if axes.len() > FEW_AXES { 820.0 } else { 370.0 };
    let gap = GAP.max(room / axes.len().saturating_sub(1).max(1) as f64);
    // Half of the outer titles is beyond their axes.
    let half = |axis: Option<&ParallelAxis>| {
        let half = axis.map_or(0.0, |axis| width(&axis.title, SMALL) * 0.53);
        half.min(gap / 2.0) + 6.0
    };
    let left = half(axes.first()).max(60.0);
    let full = left + gap * (axes.len() - 1) as f64 + half(axes.last()).max(20.0);
    let mut drawing = Drawing::new(full.max(480.0), HEIGHT);
    title(&mut drawing, &heading);
    let key = RampKey {
        title: "rank by the first objective".to_owned(),
        from: Ink::SEEN,
        low: "worst".to_owned(),
        high: "best".to_owned(),
    };
    let mut top = ramp_legend(&mut drawing, &key, (12.0, 38.0));
    let others: Vec<usize> = (0..view.trials().len())
        .filter(|place| !view.ranking.contains(place))
        .filter(|place| matches!(view.trials()[*place].status, TrialStatus::Pruned { .. }))
        .collect();
    if !others.is_empty() {
        let keys = [LegendKey {
            label: "pruned (without a result)".to_owned(),
            sample: LegendMark::Dashes(Ink::Muted),
        }];
        let room = drawing.width - 24.0;
        top = legend(&mut drawing, &keys, (12.0, top + 4.0), room);
    }
    let (top, bottom) = (top + 34.0, HEIGHT - 22.0);
    let x = |index: usize| left + gap * index as f64;
    let y = |share: f64| bottom - share * (bottom - top);

    let line = |place: usize| {
        let points = axes
            .iter()
            .enumerate()
            .filter_map(|(index, axis)| Some((x(index), y(axis.places[place]?))));
        Path::through(points)
    };
    for place in others {
        let mark = Mark::path(line(place))
            .stroke(Ink::Muted, 0.8)
            .dashed("2 3")
            .opacity(0.5);
        drawing.mark(mark.trial(view.trials()[place].number).tip(view.tip(place)));
    }
    // The best one is drawn last, on top.
    let count = view.ranking.len();
    let thin = if count > 250 { 0.8 } else { 1.3 };
    for (rank, &place) in view.ranking.iter().enumerate().rev() {
        let goodness = if count > 1 {
            1.0 - rank as f64 / (count - 1) as f64
        } else {
            1.0
        };
        let ink = Ink::seen(goodness);
        let weight = if rank == 0 { 3.0 } else { thin };
        let mark = Mark::path(line(place))
            .stroke(ink, weight)
            .opacity(if rank == 0 { 1.0 } else { 0.75 });
        drawing.mark(mark.trial(view.trials()[place].number).tip(view.tip(place)));
    }
    for (index, axis) in axes.iter().enumerate() {
        let x = x(index);
        drawing.mark(Mark::line((x, top), (x, bottom)).stroke(Ink::Muted, 1.2));
        // Bold letters are wider.
        let name = shortened(&axis.title, (gap - 8.0) / 1.05, SMALL);
        let label = Label::new((x, top - 12.0), name).size(SMALL).bold();
        drawing.label(label.anchor(Anchor::Middle).halo().tip_if_needed(&axis.title));
        for tick in ticks(&axis.along, bottom - top) {
            let y = y(share(&axis.along, tick.value));
            drawing.mark(Mark::line((x - 3.0, y), (x, y)).stroke(Ink::Muted, 1.0));
            let text = shortened(&tick.label, (gap - 14.0).min(46.0_f64.max(gap * 0.5)), SMALL);
            let label = Label::new((x - 5.0, y + 4.0), text)
                .size(SMALL)
                .anchor(Anchor::End)
                .halo();
            drawing.label(label.tip_if_needed(&tick.label));
        }
    }
    let best = view.ranking[0];
    Figure::new(id, Section::Sweep, heading, drawing)
        .with_note(format!("The thick line is the best: {}.", view.describe(best)))
}

fn ticks(along: &Along, height: f64) -> Vec<Tick> {
    let most = (height / 38.0) as usize;
    match along {
        Along::Numbers(scale) => scale.ticks(most),
        Along::Counts(scale) => scale.whole_ticks(most),
        Along::Names(names) => {
            let step = names.len().div_ceil((height / 14.0) as usize).max(1);
            let shown = names.iter().enumerate().step_by(step);
            shown
                .map(|(index, name)| Tick {
                    value: index as f64,
                    label: name.clone(),
                })
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::Setting;
    use crate::report::plot::testing::Sample as Results;
    use crate::spec::Direction;

    #[test]
    fn the_best_is_on_top() {
        let mut sample = Results::new(&[("m.a", Direction::Minimize)]);
        sample.done(&[0.5]).done(&[0.1]).pruned(1).done(&[0.9]).failed();
        let figures = figures(&View::new(&sample.input));
        let svg = figures[0].svg(Setting::Page);
        let at = |trial: u32| svg.find(&format!("data-t=\"{trial}\"")).unwrap();
        assert!(at(3) < at(4) && at(4) < at(1) && at(1) < at(2));
        assert!(!svg.contains("data-t=\"5\""), "a failed trial has no line");
        assert!(figures[0].note.contains("trial 2"));
    }

    #[test]
    fn many_trials_stay_small() {
        let mut sample = Results::new(&[("m.a", Direction::Minimize)]);
        for number in 0..1000 {
            sample.done(&[f64::from(number * 37 % 1000)]);
        }
        let svg = figures(&View::new(&sample.input))[0].svg(Setting::Page);
        assert!(svg.len() < 300_000, "{}", svg.len());
    }

    #[test]
    fn nothing_yet() {
        let sample = Results::new(&[("m.a", Direction::Minimize)]);
        let figures = figures(&View::new(&sample.input));
        assert!(figures[0].svg(Setting::Page).contains("nothing to show yet"));
    }
}
