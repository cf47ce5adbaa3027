//! JSON lines: the event stream for programs.

use std::io::Write;

use jiff::Timestamp;
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{Event, Sink};

/// Writes each event as one JSON object and line: `time` (RFC 3339, UTC, milliseconds), `event`
/// (its kind), and the event's own fields.
pub struct JsonLines<W> {
    out: W,
    clock: fn() -> Timestamp,
}

#[derive(Serialize)]
struct WrittenEvent<'a> {
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

impl<W: Write + Send> JsonLines<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            clock: Timestamp::now,
        }
    }
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn event(&mut self, event: &Event) {
        let time = format!("{:.3}", (self.clock)());
        // Events are plain data that JSON can hold; were one not to be, the others still count.
        let Ok(mut line) = serde_json::to_vec(&WrittenEvent { time, event }) else {
            return;
        };
        line.push(b'\n');
        // A reader that went away must not stop the run.
        let _ = self.out.write_all(&line);
        let _ = self.out.flush();
    }
}

/// The JSON Schema of such a line.
pub fn event_schema() -> Value {
    #[derive(JsonSchema)]
    #[schemars(rename = "Event")]
    #[allow(dead_code, reason = "here for the schema alone")]
    struct EventLine {
        /// When it happened: RFC 3339, UTC, milliseconds.
        #[schemars(extend("format" = "date-time"))]
        time: String,
        #[serde(flatten)]
        event: Event,
    }
    schema_for!(EventLine).into()
}

/// Reads a line that [`JsonLines`] wrote: when the event happened, and the event.
///
/// # Errors
/// What is wrong with the line.
pub fn read_line(line: &str) -> Result<(Timestamp, Event), String> {
    #[derive(Deserialize)]
    struct Time {
        time: String,
    }
    let Time { time } = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let time = time
        .parse()
        .map_err(|error: jiff::Error| format!("`{time}` is no time: {error}"))?;
    let event = serde_json::from_str(line).map_err(|error| error.to_string())?;
    Ok((time, event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Activity, StageId, TrialOutcome, Unit};

    #[test]
    fn one_object_a_line_that_reads_back() {
        let event = Event::StageActivity {
            stage: "raw\n2".into(),
            activity: Activity::Progress {
                task: "download".into(),
                done: 1,
                total: None,
                unit: Unit::Bytes,
            },
        };
        let mut lines = JsonLines::new(Vec::new());
        lines.clock = || Timestamp::UNIX_EPOCH;
        lines.event(&event);
        lines.event(&event);
        let text = String::from_utf8(lines.out).unwrap();
        insta::assert_snapshot!(text.lines().next().unwrap());
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            assert_eq!(read_line(line).unwrap(), (Timestamp::UNIX_EPOCH, event.clone()));
        }
    }

    #[test]
    fn a_sweep_as_objects() {
        let values: indexmap::IndexMap<_, _> = [
            ("width".to_owned(), serde_json::json!(64)),
            ("lr".to_owned(), serde_json::json!(0.03)),
        ]
        .into();
        let finished = |outcome| Event::TrialFinished {
            trial: 1,
            values: values.clone(),
            outcome,
            best: false,
            seconds: 1.5,
        };
        let events = [
            Event::SweepStarted {
                pipeline: "digits".into(),
                search: "tpe".into(),
                trials: Some(24),
                known: 1,
                replicates: 2,
                objectives: vec![("model.val_accuracy".into(), true)],
            },
            Event::TrialStarted {
                trial: 1,
                values: values.clone(),
                continued_from: Some(3),
            },
            Event::StagePaused {
                stage: StageId::of_trial("model", 1, Some(2)),
                epoch: 3,
            },
            finished(TrialOutcome::Done {
                objectives: vec![0.98],
                deviations: vec![None],
            }),
            finished(TrialOutcome::Pruned { epoch: 3, value: 0.4 }),
            finished(TrialOutcome::Failed {
                error: "no space".into(),
            }),
            Event::SweepFinished {
                done: 20,
                pruned: 3,
                failed: 1,
                best: vec![12],
            },
        ];
        let mut lines = JsonLines::new(Vec::new());
        lines.clock = || Timestamp::UNIX_EPOCH;
        events.iter().for_each(|event| lines.event(event));
        let text = String::from_utf8(lines.out).unwrap();
        insta::assert_snapshot!(text);
        for (line, event) in text.lines().zip(&events) {
            assert_eq!(serde_json::from_str::<Event>(line).unwrap(), *event);
        }
    }
}
