//! How long stages took.

use std::collections::{BTreeMap, BTreeSet};

use super::chart::{Axis, Chart, Frame};
use super::drawing::Mark;
use super::figure::{Figure, Section};
use super::ink::Ink;
use super::scale::AxisScale;
use super::view::{View, significant};

/// How long the results of a stage took to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// The stage's name.
    pub stage: String,
    /// Seconds of each result, in ascending order. Trials that share a result count once.
    pub seconds: Vec<f64>,
    /// The largest memory of them in bytes, where known.
    pub peak_memory: Option<f64>,
}

impl Timing {
    /// The middle one.
    pub fn median(&self) -> f64 {
        let count = self.seconds.len();
        f64::midpoint(self.seconds[(count - 1) / 2], self.seconds[count / 2])
    }

    /// All of them together.
    pub fn total(&self) -> f64 {
        self.seconds.iter().sum()
    }
}

/// The timings of all stages with results, in the order of the graph.
pub fn timings(view: &View) -> Vec<Timing> {
    let mut seen = BTreeSet::new();
    let mut by_stage: BTreeMap<&str, Timing> = BTreeMap::new();
    let replicates = view.trials().iter().flat_map(|trial| &trial.replicates);
    for (stage, result) in replicates.flat_map(|replicate| &replicate.stages) {
        let Some(seconds) = result.made["seconds"].as_f64().filter(|seconds| *seconds >= 0.0) else {
            continue;
        };
        if !seen.insert((stage, result.fingerprint)) {
            continue;
        }
        let timing = by_stage.entry(stage).or_insert_with(|| Timing {
            stage: stage.clone(),
            seconds: Vec::new(),
            peak_memory: None,
        });
        timing.seconds.push(seconds);
        let memory = result.made["peak_memory"].as_f64();
        timing.peak_memory = [timing.peak_memory, memory]
            .into_iter()
            .flatten()
            .reduce(f64::max);
    }
    let order = |stage: &str| view.input.graph.iter().position(|node| node.name == stage);
    let mut timings: Vec<Timing> = by_stage.into_values().collect();
    timings
        .iter_mut()
        .for_each(|timing| timing.seconds.sort_by(f64::total_cmp));
    timings.sort_by_key(|timing| order(&timing.stage).unwrap_or(usize::MAX));
    timings
}

/// One figure.
pub fn figures(view: &View) -> Vec<Figure> {
    let (id, title) = ("stage-times".to_owned(), "Wall time of each stage".to_owned());
    let timings = timings(view);
    let longest = timings
        .iter()
        .flat_map(|timing| &timing.seconds)
        .copied()
        .fold(0.0, f64::max);
    if timings.is_empty() {
        return vec![Figure::empty(id, Section::Timings, title, "no stage has run")];
    }
    let (unit, seconds) = match longest {
        longest if longest < 1.0 => ("milliseconds", 1e-3),
        longest if longest < 180.0 => ("seconds", 1.0),
        longest if longest < 3.0 * 3600.0 => ("minutes", 60.0),
        _ => ("hours", 3600.0),
    };
    let several = timings.iter().any(|timing| timing.seconds.len() > 1);
    let what = if several {
        "median time of a result"
    } else {
        "time"
    };
    let mut chart = Chart::new(Frame {
        title: title.clone(),
        x: Axis::numbers(
            format!("{what} ({unit})"),
            AxisScale::linear([0.0, longest / seconds]).and_zero(),
        ),
        y: Axis::names("", timings.iter().map(|timing| timing.stage.clone()).collect()),
        keys: Vec::new(),
        ramp: None,
        size: (480.0, (90.0 + 26.0 * timings.len() as f64).max(150.0)),
    });
    let bar = (chart.row() * 0.62).min(18.0);
    for (index, timing) in timings.iter().enumerate() {
        let y = chart.y(index as f64);
        let x = |value: f64| chart.x(value / seconds);
        let length = x(timing.median()) - chart.left;
        let tip = format!("{}: {}", timing.stage, duration(timing.median()));
        let mark = Mark::rectangle((chart.left, y - bar / 2.0), length.max(1.0), bar);
        let ends = (x(timing.seconds[0]), x(timing.seconds[timing.seconds.len() - 1]));
        chart
            .drawing
            .mark(mark.fill(Ink::Series(0)).opacity(0.8).rounded(2.0).tip(tip));
        if ends.1 > ends.0 {
            chart
                .drawing
                .mark(Mark::line((ends.0, y), (ends.1, y)).stroke(Ink::Text, 1.3));
        }
    }
    let note = if several {
        "A line goes from the shortest to the longest. What trials share was made once and counts once."
    } else {
        ""
    };
    vec![Figure::new(id, Section::Timings, title, chart.drawing).with_note(note)]
}

/// A time in words.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{} ms", significant(s * 1e3, 2)),
        s if s < 60.0 => format!("{} s", significant(s, 3)),
        s if s < 3600.0 => format!("{} min {} s", (s / 60.0).floor(), (s % 60.0).floor()),
        s => format!("{} h {} min", (s / 3600.0).floor(), (s % 3600.0 / 60.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Digest;
    use crate::report::plot::Setting;
    use crate::report::plot::testing::Sample;
    use crate::spec::Direction;

    #[test]
    fn shared_results_count_once() {
        let mut sample = Sample::new(&[("m.a", Direction::Maximize)]);
        sample.done(&[1.0]).done(&[2.0]).done(&[3.0]);
        let last = &mut sample.input.results.trials[2].replicates[0];
        let result = last.stages.get_mut("m").unwrap();
        result.fingerprint = Digest::of_bytes(b"other");
        result.made = serde_json::json!({"seconds": 4.5, "peak_memory": 1e6});
        let view = View::new(&sample.input);
        let timings = timings(&view);
        assert_eq!(timings[0].seconds, [1.5, 4.5]);
        assert_eq!((timings[0].median(), timings[0].total()), (3.0, 6.0));
        assert!(figures(&view)[0].svg(Setting::Page).contains("(seconds)"));
    }

    #[test]
    fn times_in_words() {
        let all = [0.0123, 4.56, 75.0, 3725.0];
        assert_eq!(
            all.map(duration).join(", "),
            "12 ms, 4.56 s, 1 min 15 s, 1 h 2 min"
        );
    }
}
