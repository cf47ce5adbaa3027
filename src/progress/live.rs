//! What is running now, as the rows of the display's live block.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::narrator::WIDEST_NAME;
use super::running::{RunningStage, Stages};
use super::style::{Palette, paint};
use super::sweep::SweepRows;
use super::text;
use crate::event::Event;
use crate::metric::MetricTable;

/// Most trials and stages shown at once; the rest is counted.
const MOST_ROWS: usize = 8;

/// The stages and trials that run at the moment.
pub struct Live {
    started: Instant,
    names: usize,
    total: usize,
    done: usize,
    running: Stages,
    sweep: SweepRows,
    metrics: Arc<MetricTable>,
}

impl Live {
    /// Nothing runs yet. Where there is room, names take `names` columns.
    pub fn new(now: Instant, names: usize, metrics: Arc<MetricTable>) -> Self {
        Self {
            started: now,
            names,
            total: 0,
            done: 0,
            running: Stages::default(),
            sweep: SweepRows::new(Arc::clone(&metrics)),
            metrics,
        }
    }

    /// Takes note of `event`, which happened at `now`.
    pub fn handle(&mut self, event: &Event, now: Instant) {
        if self.sweep.handle(event, now) {
            return;
        }
        self.running.handle(event, now, &self.metrics);
        match event {
            Event::RunStarted { stages, .. } => self.total = *stages,
            Event::StageReused { .. }
            | Event::StageFinished { .. }
            | Event::StageFailed { retrying: false, .. }
            | Event::StageInterrupted { .. }
            | Event::StageSkipped { .. } => self.done += 1,
            _ => {}
        }
    }

    /// The rows as they are at `now`: the sweep with its trials, the running stages, and where there
    /// is no sweep the whole run. At most `height` rows of at most `width` columns.
    pub fn rows(&self, now: Instant, width: usize, height: usize, palette: &Palette) -> Vec<String> {
        let elapsed = now - self.started;
        let stages = self.running.as_slice();
        if !self.sweep.is_under_way() {
            let most = MOST_ROWS.min(height.saturating_sub(2)).max(1);
            let shown = &stages[..stages.len().min(most)];
            let mut rows = self.stage_rows(shown, now, width, palette);
            rows.push(self.foot(stages.len() - shown.len(), elapsed, width, palette));
            return rows;
        }
        let room = Room::new(height, self.sweep.running(), stages.len());
        let hidden = self.sweep.running() + stages.len() - room.trials - room.stages;
        let mut rows = vec![self.sweep.headline(now, elapsed, hidden, width, palette)];
        if room.best {
            rows.extend(self.sweep.best_row(width, palette));
        }
        rows.extend(self.sweep.trial_rows(room.trials, now, width, palette));
        rows.extend(self.stage_rows(&stages[..room.stages], now, width, palette));
        rows
    }

    fn stage_rows(
        &self,
        shown: &[RunningStage],
        now: Instant,
        width: usize,
        palette: &Palette,
    ) -> Vec<String> {
        let names = shown
            .iter()
            .map(|running| console::measure_text_width(&running.name()));
        let longest = names.max().unwrap_or(0);
        let names = match width {
            0..80 => longest.min((width / 4).max(8)),
            _ => self.names.max(longest.min(WIDEST_NAME)),
        };
        let rows = shown
            .iter()
            .map(|running| running.row(now, width, names, palette));
        rows.collect()
    }

    fn foot(&self, hidden: usize, elapsed: Duration, width: usize, palette: &Palette) -> String {
        // A stage whose result was lost ends more than once.
        let unfinished = self.running.as_slice().len();
        let done = self.done.min(self.total.saturating_sub(unfinished));
        let mut line = format!(
            "  {} of {}",
            text::count(done as u64),
            text::counted(self.total, "stage")
        );
        if hidden > 0 {
            line.push_str(&format!(", {hidden} more running"));
        }
        line.push_str(&format!(", {}", text::whole_seconds(elapsed.as_secs_f64())));
        text::fit(&paint(palette.dim, line), Some(width))
    }
}

/// How many rows of each sort a sweep's live block has.
struct Room {
    best: bool,
    trials: usize,
    stages: usize,
}

impl Room {
    /// Where not everything finds room, trials that run and shared stages have half of it each, and
    /// what one does not need is the other's.
    fn new(height: usize, trials: usize, stages: usize) -> Self {
        let best = height >= 6;
        let most = MOST_ROWS
            .min(height.saturating_sub(if best { 3 } else { 2 }))
            .max(1);
        let stages = stages.min((most / 2).max(most.saturating_sub(trials)));
        let trials = trials.min(most - stages);
        Self { best, trials, stages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Activity, Unit};
    use crate::fingerprint::Digest;

    fn started(stage: &str, kind: &str) -> Event {
        Event::StageStarted {
            stage: stage.into(),
            kind: kind.into(),
            fingerprint: Digest::of_bytes(b"x"),
            reason: "never ran".into(),
            attempt: 1,
            key: None,
        }
    }

    fn activity(stage: &str, activity: Activity) -> Event {
        Event::StageActivity {
            stage: stage.into(),
            activity,
        }
    }

    fn sample(now: Instant) -> Live {
        let at = |ms| now + Duration::from_millis(ms);
        let mut live = Live::new(now, 12, Arc::default());
        live.handle(
            &Event::RunStarted {
                pipeline: "p".into(),
                stages: 6,
            },
            now,
        );
        live.handle(&started("model", "train"), now);
        live.handle(&started("raw", "download"), at(100));
        live.handle(&started("lint", "command"), at(100));
        live.handle(
            &Event::StageWaiting {
                stage: "shared".into(),
            },
            at(200),
        );
        let begin = Activity::TrainingStarted {
            parameters: 46_730,
            samples: 1293,
            epochs: 20,
            batches: 41,
            threads: 2,
            resumed_from: None,
        };
        live.handle(&activity("model", begin), at(1000));
        let metrics = [
            ("train_loss".to_owned(), 0.5),
            ("val_accuracy".to_owned(), 0.9125),
        ]
        .into();
        let epoch = Activity::EpochFinished {
            epoch: 2,
            metrics,
            samples_per_second: 4210.0,
            seconds: 0.4,
            phases: Default::default(),
        };
        live.handle(&activity("model", epoch), at(1800));
        let batch = Activity::BatchFinished {
            epoch: 3,
            batch: 20,
            loss: 0.4321,
            samples_per_second: 4180.0,
        };
        live.handle(&activity("model", batch), at(2000));
        for (ms, done) in [(200, 0u64), (2000, 4 << 20)] {
            let progress = Activity::Progress {
                task: "download".into(),
                done,
                total: Some(19 << 20),
                unit: Unit::Bytes,
            };
            live.handle(&activity("raw", progress), at(ms));
        }
        live
    }

    #[test]
    fn rows_at_many_widths() {
        let now = Instant::now();
        let live = sample(now);
        let mut text = String::new();
        for width in [100, 60, 30] {
            for row in live.rows(now + Duration::from_millis(2200), width, 30, &Palette::plain()) {
                assert!(console::measure_text_width(&row) <= width, "{row}");
                text.push_str(&row);
                text.push('\n');
            }
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_low_terminal_and_many_stages() {
        let now = Instant::now();
        let mut live = Live::new(now, 12, Arc::default());
        live.handle(
            &Event::RunStarted {
                pipeline: "p".into(),
                stages: 10_001,
            },
            now,
        );
        for index in 0..12 {
            live.handle(&started(&format!("stage-{index}"), "command"), now);
        }
        assert_eq!(live.rows(now, 80, 30, &Palette::plain()).len(), MOST_ROWS + 1);
        let rows = live.rows(now, 80, 4, &Palette::plain());
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[2], "  0 of 10,001 stages, 10 more running, 0 s");
    }

    #[test]
    fn what_ended_is_gone() {
        let now = Instant::now();
        let mut live = sample(now);
        for stage in ["model", "raw", "lint", "shared"] {
            live.handle(
                &Event::StageInterrupted {
                    stage: stage.into(),
                    kept: true,
                },
                now,
            );
        }
        assert_eq!(
            live.rows(now, 80, 30, &Palette::plain()),
            ["  4 of 6 stages, 0 s"]
        );
    }
}
