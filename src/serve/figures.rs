//! What is counted and timed, and how Prometheus reads it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;

/// The bounds of buckets of seconds.
const SECONDS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The bounds of buckets of rows.
const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// How many values fell under each of some bounds.
#[derive(Clone, Debug)]
struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
    count: u64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len()],
            sum: 0.0,
            count: 0,
        }
    }

    fn add(&mut self, value: f64) {
        if let Some(bucket) = self.bounds.iter().position(|bound| value <= *bound) {
            self.counts[bucket] += 1;
        }
        self.sum += value;
        self.count += 1;
    }

    fn write(&self, name: &str, labels: &str, out: &mut String) {
        let mut below = 0;
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            below += count;
            line(
                out,
                format_args!("{name}_bucket{{{labels},le=\"{bound}\"}} {below}"),
            );
        }
        line(
            out,
            format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {}", self.count),
        );
        line(out, format_args!("{name}_sum{{{labels}}} {}", self.sum));
        line(out, format_args!("{name}_count{{{labels}}} {}", self.count));
    }
}

/// Figures of one model.
#[derive(Debug)]
pub(super) struct ModelFigures {
    counted: Mutex<ModelCounts>,
}

/// Of one model: requests and rows that were answered, batches, and times, all since the server began.
#[derive(Clone, Debug)]
pub(super) struct ModelCounts {
    /// Requests that were answered.
    pub answered: u64,
    /// Those that were not.
    pub refused: u64,
    /// Rows that were answered.
    pub rows: u64,
    /// Batches that the model was asked about.
    pub batches: u64,
    /// What requests waited, in all.
    pub queued: Duration,
    /// What requests waited and their batches took, in all.
    pub spent: Duration,
    /// What batches took, in all.
    pub computed: Duration,
    /// When the last request was answered, in milliseconds since 1970.
    pub last: i64,
    batch_rows: Histogram,
    queue_seconds: Histogram,
    compute_seconds: Histogram,
    /// Tokens of prompts.
    prompt_tokens: u64,
    /// Tokens of texts behind them.
    written_tokens: u64,
    /// Texts that are being written.
    running: usize,
    reloads: u64,
    reload_failures: u64,
}

impl ModelFigures {
    pub fn new() -> Self {
        Self {
            counted: Mutex::new(ModelCounts {
                answered: 0,
                refused: 0,
                rows: 0,
                batches: 0,
                queued: Duration::ZERO,
                spent: Duration::ZERO,
                computed: Duration::ZERO,
                last: 0,
                batch_rows: Histogram::new(ROWS),
                queue_seconds: Histogram::new(SECONDS),
                compute_seconds: Histogram::new(SECONDS),
                prompt_tokens: 0,
                written_tokens: 0,
                running: 0,
                reloads: 0,
                reload_failures: 0,
            }),
        }
    }

    fn counts(&self) -> MutexGuard<'_, ModelCounts> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch of `rows` took so long.
    pub fn batch(&self, rows: usize, computed: Duration) {
        let mut counts = self.counts();
        counts.batches += 1;
        counts.computed += computed;
        counts.batch_rows.add(rows as f64);
        counts.compute_seconds.add(computed.as_secs_f64());
    }

    /// A request was answered.
    pub fn answered(&self, rows: usize, queued: Duration, computed: Duration) {
        let mut counts = self.counts();
        counts.answered += 1;
        counts.rows += rows as u64;
        counts.queued += queued;
        counts.spent += queued + computed;
        counts.last = jiff::Timestamp::now().as_millisecond();
        counts.queue_seconds.add(queued.as_secs_f64());
    }

    /// A text began behind a prompt of so many tokens.
    pub fn prompt(&self, tokens: usize) {
        self.counts().prompt_tokens += tokens as u64;
    }

    /// A token of a text was chosen.
    pub fn token(&self) {
        self.counts().written_tokens += 1;
    }

    /// So many texts are being written.
    pub fn running(&self, texts: usize) {
        self.counts().running = texts;
    }

    /// A request was not answered.
    pub fn refused(&self) {
        self.counts().refused += 1;
    }

    /// Another version was looked for and found, or could not be loaded.
    pub fn reload(&self, is_done: bool) {
        let mut counts = self.counts();
        match is_done {
            true => counts.reloads += 1,
            false => counts.reload_failures += 1,
        }
    }

    /// All of them at once.
    pub fn snapshot(&self) -> ModelCounts {
        self.counts().clone()
    }
}

/// How many requests were answered with which code, by the model that they were for.
#[derive(Debug, Default)]
pub(super) struct RequestCounts(Mutex<BTreeMap<(String, u16), u64>>);

impl RequestCounts {
    /// A request ended with `code`.
    pub fn add(&self, model: &str, code: u16) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((model.to_owned(), code)).or_default() += 1;
    }
}

/// A model at one moment.
pub(super) struct ModelMoment {
    pub version: String,
    pub fingerprint: String,
    /// Requests that wait, and their bytes.
    pub queue: (usize, usize),
    pub counts: ModelCounts,
}

/// A figure of a model.
type FigureOf = fn(&ModelMoment) -> f64;
/// A histogram of a model.
type HistogramOf = fn(&ModelCounts) -> &Histogram;

/// The server at one moment, as Prometheus reads it.
pub(super) struct Moment<'a> {
    pub requests: &'a RequestCounts,
    pub models: IndexMap<String, ModelMoment>,
    pub connections: usize,
    pub log_lines_lost: u64,
    pub is_ready: bool,
}

impl Moment<'_> {
    /// Text in Prometheus' exposition format, version 0.0.4.
    pub fn text(&self) -> String {
        let mut out = String::new();
        head(&mut out, "erlen_ready", "gauge", "1 while new requests are taken");
        line(&mut out, format_args!("erlen_ready {}", u8::from(self.is_ready)));
        head(&mut out, "erlen_connections", "gauge", "Open connections");
        line(&mut out, format_args!("erlen_connections {}", self.connections));
        head(
            &mut out,
            "erlen_log_lines_lost_total",
            "counter",
            "Lines of the log that could not be written in time",
        );
        line(
            &mut out,
            format_args!("erlen_log_lines_lost_total {}", self.log_lines_lost),
        );
        head(
            &mut out,
            "erlen_requests_total",
            "counter",
            "Requests by model and by the code of their answer; 499 where the client went first",
        );
        let requests = self
            .requests
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for ((model, code), count) in requests {
            line(
                &mut out,
                format_args!("erlen_requests_total{{model=\"{model}\",code=\"{code}\"}} {count}"),
            );
        }
        self.models(&mut out);
        out
    }

    fn models(&self, out: &mut String) {
        head(out, "erlen_model_info", "gauge", "The version that answers");
        for (name, model) in &self.models {
            line(
                out,
                format_args!(
                    "erlen_model_info{{model=\"{name}\",version=\"{}\",fingerprint=\"{}\"}} 1",
                    model.version, model.fingerprint
                ),
            );
        }
        let figures: [(&str, &str, &str, FigureOf); 11] = [
            ("erlen_queue_length", "gauge", "Requests that wait", |model| {
                model.queue.0 as f64
            }),
            ("erlen_queue_bytes", "gauge", "Bytes of their rows", |model| {
                model.queue.1 as f64
            }),
            (
                "erlen_rows_total",
                "counter",
                "Rows that were answered",
                |model| model.counts.rows as f64,
            ),
            ("erlen_batches_total", "counter", "Batches", |model| {
                model.counts.batches as f64
            }),
            (
                "erlen_answered_total",
                "counter",
                "Requests that were answered",
                |model| model.counts.answered as f64,
            ),
            (
                "erlen_refused_total",
                "counter",
                "Requests that were not",
                |model| model.counts.refused as f64,
            ),
            (
                "erlen_running_texts",
                "gauge",
                "Texts that are being written",
                |model| model.counts.running as f64,
            ),
            (
                "erlen_prompt_tokens_total",
                "counter",
                "Tokens of prompts",
                |model| model.counts.prompt_tokens as f64,
            ),
            (
                "erlen_written_tokens_total",
                "counter",
                "Tokens of texts that were written",
                |model| model.counts.written_tokens as f64,
            ),
            (
                "erlen_reloads_total",
                "counter",
                "Versions that were loaded later",
                |model| model.counts.reloads as f64,
            ),
            (
                "erlen_reload_failures_total",
                "counter",
                "Versions that could not be loaded or looked for",
                |model| model.counts.reload_failures as f64,
            ),
        ];
        for (figure, kind, help, value) in figures {
            head(out, figure, kind, help);
            for (name, model) in &self.models {
                line(out, format_args!("{figure}{{model=\"{name}\"}} {}", value(model)));
            }
        }
        let histograms: [(&str, &str, HistogramOf); 3] = [
            ("erlen_batch_rows", "Rows of a batch", |counts| &counts.batch_rows),
            ("erlen_queue_seconds", "How long requests waited", |counts| {
                &counts.queue_seconds
            }),
            ("erlen_compute_seconds", "How long batches took", |counts| {
                &counts.compute_seconds
            }),
        ];
        for (figure, help, of) in histograms {
            head(out, figure, "histogram", help);
            for (name, model) in &self.models {
                of(&model.counts).write(figure, &format!("model=\"{name}\""), out);
            }
        }
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    line(out, format_args!("# HELP {name} {help}"));
    line(out, format_args!("# TYPE {name} {kind}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A text in memory takes all.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_its_time_from_each_of_its_requests() {
        let [one, two, three] = [1, 2, 3].map(Duration::from_secs);
        let figures = ModelFigures::new();
        figures.batch(2, three);
        figures.answered(1, one, three);
        figures.answered(1, two, three);
        let counts = figures.snapshot();
        assert_eq!((counts.queued, counts.computed), (three, three));
        assert_eq!(counts.spent, Duration::from_secs(9));
    }

    #[test]
    fn buckets_add_up() {
        let mut histogram = Histogram::new(ROWS);
        for value in [1.0, 2.0, 3.0, 5000.0] {
            histogram.add(value);
        }
        let mut text = String::new();
        histogram.write("rows", "model=\"m\"", &mut text);
        for line in [
            "rows_bucket{model=\"m\",le=\"1\"} 1",
            "rows_bucket{model=\"m\",le=\"2\"} 2",
            "rows_bucket{model=\"m\",le=\"1024\"} 3",
            "rows_bucket{model=\"m\",le=\"+Inf\"} 4",
            "rows_sum{model=\"m\"} 5006",
            "rows_count{model=\"m\"} 4",
        ] {
            assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
        }
    }
}
