//! How much each swept parameter matters for each objective.

use super::chart::{Along, Axis, Chart, Frame};
use super::drawing::{Label, Mark};
use super::figure::{Figure, Section};
use super::forest::{Feature, main_effects};
use super::ink::Ink;
use super::parameter::ParameterAxis;
use super::scale::AxisScale;
use super::view::{View, path_of};
use crate::spec::counted;

/// With fewer trials than this nothing can be said.
const LEAST_TRIALS: usize = 6;
/// With fewer than this, what is said is rough.
const ENOUGH_TRIALS: usize = 30;

/// The shares of the variance of an objective over the finished trials.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    /// The objective's metric.
    pub objective: String,
    /// Each parameter's share by itself, the largest first.
    pub shares: Vec<(String, f64)>,
    /// What is left: what parameters do together, and noise.
    pub together: f64,
    /// How many trials it was learnt from.
    pub trials: usize,
}

/// The importance for each objective for which it can be known.
pub fn importance(view: &View, objective: usize) -> Option<Importance> {
    let known: Vec<(usize, f64)> = view
        .ranking
        .iter()
        .filter_map(|place| Some((*place, view.judged[*place].values[objective]?)))
        .collect();
    if known.len() < LEAST_TRIALS {
        return None;
    }
    let trials = view.trials();
    let swept = &view.input.results.swept;
    let mut features = Vec::new();
    for name in swept {
        let parameter = ParameterAxis::of(name, known.iter().map(|(place, _)| &trials[*place]))?;
        let places: Option<Vec<f64>> = known
            .iter()
            .map(|(place, _)| parameter.value(trials[*place].parameters.get(name)?))
            .collect();
        let places = places?;
        features.push(match (&parameter.along, parameter.categories()) {
            (_, Some(count)) => {
                Feature::Category(places.iter().map(|place| *place as usize).collect(), count)
            }
            (Along::Numbers(scale) | Along::Counts(scale), None) => Feature::Number(
                places
                    .iter()
                    .map(|place| scale.place(*place).clamp(0.0, 1.0))
                    .collect(),
            ),
            (Along::Names(_), None) => return None,
        });
    }
    let targets: Vec<f64> = known.iter().map(|(_, value)| *value).collect();
    let effects = main_effects(&features, &targets)?;
    let together = (1.0 - effects.iter().sum::<f64>()).max(0.0);
    let mut shares: Vec<(String, f64)> = swept.iter().cloned().zip(effects).collect();
    shares.sort_by(|left, right| right.1.total_cmp(&left.1));
    Some(Importance {
        objective: path_of(&view.input.results.objectives[objective]),
        shares,
        together,
        trials: known.len(),
    })
}

/// A figure an objective.
pub fn figures(view: &View) -> Vec<Figure> {
    let objectives = &view.input.results.objectives;
    let figures = objectives.iter().enumerate().map(|(index, objective)| {
        let id = match objectives.len() {
            1 => "sweep-importance".to_owned(),
            _ => format!("sweep-importance-{}", index + 1),
        };
        let title = format!("What matters for {}", path_of(objective));
        match importance(view, index) {
            Some(found) => figure(id, title, &found),
            None => {
                let why = format!(
                    "importance needs at least {LEAST_TRIALS} finished trials with different results"
                );
                Figure::empty(id, Section::Sweep, title, &why)
            }
        }
    });
    figures.collect()
}

fn figure(id: String, title: String, found: &Importance) -> Figure {
    let mut rows: Vec<(String, f64, Ink)> = found
        .shares
        .iter()
        .map(|(name, share)| (name.clone(), *share, Ink::Series(0)))
        .collect();
    if rows.len() > 1 {
        rows.push(("together".to_owned(), found.together, Ink::Muted));
    }
    let mut chart = Chart::new(Frame {
        title: title.clone(),
        x: Axis::numbers(
            "share of the variance (0 to 1)",
            AxisScale::Linear { low: 0.0, high: 1.0 },
        ),
        y: Axis::names("", rows.iter().map(|(name, ..)| name.clone()).collect()),
        keys: Vec::new(),
        ramp: None,
        size: (480.0, (90.0 + 26.0 * rows.len() as f64).max(160.0)),
    });
    let bar = (chart.row() * 0.62).min(18.0);
    for (index, (name, share, ink)) in rows.iter().enumerate() {
        let y = chart.y(index as f64);
        let length = chart.x(*share) - chart.left;
        let text = format!("{share:.2}");
        let mark = Mark::rectangle((chart.left, y - bar / 2.0), length, bar)
            .fill(*ink)
            .rounded(2.0);
        chart.drawing.mark(mark.tip(format!("{name}: {text}")));
        let place = if *share > 0.9 {
            chart.right() - 30.0
        } else {
            chart.left + length + 5.0
        };
        let label = Label::new((place, y + 4.0), text).size(11.0);
        chart.drawing.label(if *share > 0.9 {
            label.ink(Ink::Paper)
        } else {
            label.ink(Ink::Muted)
        });
    }
    let rough = if found.trials < ENOUGH_TRIALS {
        ": a rough guess"
    } else {
        ""
    };
    Figure::new(id, Section::Sweep, title, chart.drawing).with_note(format!(
        "Learnt from {}{rough}. A bar is the share of the differences that a parameter explains by \
         itself; \u{201c}together\u{201d} is what is left: combinations, and noise (fANOVA over a random forest).",
        counted(found.trials, "finished trial")
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::plot::Setting;
    use crate::report::plot::testing::Sample;
    use crate::spec::Direction;

    #[test]
    fn what_matters_is_first() {
        let mut sample = Sample::new(&[("m.a", Direction::Maximize)]);
        for number in 1..=40u32 {
            let x = f64::from(number) / 10.0;
            sample.done(&[x * x]);
        }
        sample.input.results.swept = vec!["noise".to_owned(), "x".to_owned()];
        for trial in &mut sample.input.results.trials {
            let noise = ["a", "b", "c"][(trial.number * 7 % 3) as usize];
            trial.parameters.insert("noise".to_owned(), json!(noise));
        }
        let view = View::new(&sample.input);
        let found = importance(&view, 0).unwrap();
        assert_eq!(found.shares[0].0, "x");
        assert!(found.shares[0].1 > 0.9 && found.shares[1].1 < 0.05, "{found:?}");
        assert_eq!(found.trials, 40);
        assert!(figures(&view)[0].svg(Setting::Page).contains("together"));
    }

    #[test]
    fn a_few_trials_say_nothing() {
        let mut sample = Sample::new(&[("m.a", Direction::Maximize)]);
        sample.done(&[1.0]).done(&[2.0]);
        let figures = figures(&View::new(&sample.input));
        assert!(figures[0].svg(Setting::Page).contains("nothing to show yet"));
    }
}
