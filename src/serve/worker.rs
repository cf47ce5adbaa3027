//! Whoever asks a model: batch by batch, all that waits whenever it is free.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use hyper::StatusCode;

use super::figures::ModelFigures;
use super::queue::{AnsweredRows, BatchLimits, RowQueue, WaitingRows};
use super::refused::Refused;
use super::served::Served;

/// Answers what waits in `queue` until that is closed and empty, on the threads of the current pool.
pub(super) fn work(queue: &RowQueue, limits: BatchLimits, figures: &ModelFigures) {
    while let Some(batch) = queue.take(limits) {
        answer(batch, limits.rows, figures);
    }
}

/// Answers the requests of a batch, which all ask the same version.
fn answer(mut batch: Vec<WaitingRows>, most: usize, figures: &ModelFigures) {
    let Some(first) = batch.first() else { return };
    let version = std::sync::Arc::clone(&first.version);
    let (model, began) = (version.model.as_ref(), Instant::now());
    let rows: usize = batch.iter().map(|request| request.rows).sum();
    let numbers = match batch.as_mut_slice() {
        [only] => std::mem::take(&mut only.numbers),
        several => {
            let mut all = Vec::with_capacity(rows * model.row_len());
            for request in several {
                all.append(&mut request.numbers);
            }
            all
        }
    };
    let outputs = in_pieces(model, numbers, most, figures);
    let computed = began.elapsed();
    match outputs {
        Ok(outputs) => {
            let mut rest = outputs.as_slice();
            for request in batch {
                let (own, behind) = rest.split_at(request.rows * model.output_len());
                rest = behind;
                let queued = began.saturating_duration_since(request.since);
                let answer = match model.is_sound(own) {
                    true => Ok(AnsweredRows {
                        outputs: own.to_vec(),
                        queued,
                        computed,
                        batch: rows,
                    }),
                    // What is asked for can be to blame, and other requests are answered.
                    false => Err(Refused::new(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        "the model's output for it is not finite: the model or the sample is damaged",
                    )),
                };
                // Whoever asked may have gone.
                let _ = request.reply.send(answer);
            }
        }
        Err(problem) => {
            for request in batch {
                let _ = request.reply.send(Err(failed(&problem)));
            }
        }
    }
}

/// The outputs for rows, of which the model is shown `most` at a time.
fn in_pieces(
    model: &dyn Served,
    numbers: Vec<f32>,
    most: usize,
    figures: &ModelFigures,
) -> Result<Vec<f32>, String> {
    let piece = most.max(1).saturating_mul(model.row_len().max(1));
    if numbers.len() <= piece {
        return ask(model, numbers, figures);
    }
    let mut outputs = Vec::with_capacity(numbers.len() / model.row_len().max(1) * model.output_len());
    for piece in numbers.chunks(piece) {
        outputs.append(&mut ask(model, piece.to_vec(), figures)?);
    }
    Ok(outputs)
}

fn ask(model: &dyn Served, numbers: Vec<f32>, figures: &ModelFigures) -> Result<Vec<f32>, String> {
    let (rows, began) = (numbers.len() / model.row_len().max(1), Instant::now());
    // What goes wrong in one batch is not the end of the next one.
    let outputs = catch_unwind(AssertUnwindSafe(|| model.answer(numbers)));
    let outputs = outputs.unwrap_or_else(|_| Err("asking the model broke off".to_owned()))?;
    figures.batch(rows, began.elapsed().max(Duration::from_nanos(1)));
    match outputs.len() == rows * model.output_len() {
        true => Ok(outputs),
        false => Err("the model gave another number of outputs than it has".to_owned()),
    }
}

fn failed(problem: &str) -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, problem)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tokio::sync::oneshot;

    use super::*;
    use crate::serve::queue::QueueLimits;
    use crate::serve::served::ModelVersion;
    use crate::serve::tensor::{InputTensor, TensorInfo, TensorValues};
    use crate::serve::testing::{EchoModel, echo_version};

    const LIMITS: QueueLimits = QueueLimits {
        requests: 1000,
        bytes: 1 << 20,
    };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is put together, each request hears of its own rows, in their order.
        #[test]
        fn each_request_gets_the_answer_to_its_own_rows(
            requests in prop::collection::vec((1usize..9, any::<bool>()), 1..40),
            most in 1usize..8,
        ) {
            let queue = RowQueue::new(LIMITS);
            let versions = [echo_version("a"), echo_version("b")];
            let (mut expected, mut next) = (Vec::new(), 0.0f32);
            for (rows, is_second) in requests {
                let numbers: Vec<f32> = (0..rows * 2).map(|place| next + place as f32).collect();
                next += 100.0;
                let own = EchoModel::new().answer(numbers.clone()).unwrap();
                let (reply, answer) = oneshot::channel();
                queue.push(WaitingRows {
                    version: Arc::clone(&versions[usize::from(is_second)]),
                    numbers,
                    rows,
                    since: Instant::now(),
                    deadline: None,
                    reply,
                }).unwrap();
                expected.push((own, rows, answer));
            }
            queue.close();
            let figures = ModelFigures::new();
            work(&queue, BatchLimits { rows: most, delay: Duration::ZERO }, &figures);
            for (own, rows, answer) in expected {
                let answer = answer.blocking_recv().unwrap().unwrap();
                prop_assert_eq!(answer.outputs, own);
                prop_assert!(answer.batch <= most.max(rows));
            }
        }
    }

    /// Fails, panics or answers nonsense, as the first number of its rows says.
    struct TroubledModel(EchoModel);

    impl Served for TroubledModel {
        fn inputs(&self) -> &[TensorInfo] {
            self.0.inputs()
        }

        fn takes_one_of(&self) -> bool {
            false
        }

        fn outputs(&self) -> &[TensorInfo] {
            self.0.outputs()
        }

        fn row_len(&self) -> usize {
            2
        }

        fn output_len(&self) -> usize {
            2
        }

        fn rows(&self, inputs: Vec<InputTensor>, rows: usize) -> Result<Vec<f32>, String> {
            self.0.rows(inputs, rows)
        }

        fn answer(&self, rows: Vec<f32>) -> Result<Vec<f32>, String> {
            match rows[0] as u32 {
                1 => Err("no memory".to_owned()),
                2 => panic!("a mistake"),
                3 => Ok(vec![0.0]),
                4 => Ok(vec![f32::NAN; rows.len()]),
                _ => self.0.answer(rows),
            }
        }

        fn tensor(&self, index: usize, outputs: &[f32]) -> TensorValues {
            self.0.tensor(index, outputs)
        }
    }

    #[test]
    fn trouble_with_one_batch_leaves_the_next_one_alone() {
        let version = Arc::new(ModelVersion {
            model: Box::new(TroubledModel(EchoModel::new())),
            version: "a".to_owned(),
            fingerprint: "a".to_owned(),
        });
        let queue = RowQueue::new(LIMITS);
        let answers: Vec<_> = (1..=5)
            .map(|trouble| {
                let (reply, answer) = oneshot::channel();
                let rows = WaitingRows {
                    version: Arc::clone(&version),
                    numbers: vec![trouble as f32, 1.0],
                    rows: 1,
                    since: Instant::now(),
                    deadline: None,
                    reply,
                };
                queue.push(rows).unwrap();
                answer
            })
            .collect();
        queue.close();
        let limits = BatchLimits {
            rows: 1,
            delay: Duration::ZERO,
        };
        work(&queue, limits, &ModelFigures::new());
        let answers: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.blocking_recv().unwrap())
            .collect();
        for (answer, expected) in answers.iter().zip([500, 500, 500, 422]) {
            assert_eq!(answer.as_ref().unwrap_err().status.as_u16(), expected);
        }
        assert_eq!(answers[4].as_ref().unwrap().outputs, [6.0, 4.0]);
    }
}
