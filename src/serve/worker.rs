//! Whoever asks a model: batch by batch, all that waits whenever it is free.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;

use super::figures::ModelFigures;
use super::queue::{AnsweredRows, BatchLimits, RowQueue, WaitingRows};
use super::refused::Refused;
use super::served::{Served, ServedModel, ServedRows};

/// Answers what waits in `queue` until that is closed and empty, on the threads of the current pool.
pub(super) fn work(queue: &RowQueue, limits: BatchLimits, figures: &ModelFigures) {
    while let Some(batch) = queue.take(limits) {
        answer(batch, limits.rows, figures);
    }
}

/// Answers the requests of a batch, which all ask the same version.
fn answer(mut batch: Vec<WaitingRows>, most: usize, figures: &ModelFigures) {
    let Some(first) = batch.first_mut() else { return };
    let version = Arc::clone(&first.version);
    let ServedModel::Rows(model) = &version.model else {
        for request in batch {
            let _ = request.reply.send(Err(failed("the model says nothing of rows")));
        }
        return;
    };
    let (model, began) = (model.as_ref(), Instant::now());
    let counts: Vec<usize> = batch.iter().map(|request| request.rows.len()).collect();
    let nothing = || ServedRows::Texts(Vec::new());
    let mut rows = nothing();
    for (place, request) in batch.iter_mut().enumerate() {
        let own = std::mem::replace(&mut request.rows, nothing());
        match place {
            0 => rows = own,
            _ => rows.append(own),
        }
    }
    let total = rows.len();
    let outputs = in_pieces(model, rows, most, figures);
    let computed = began.elapsed();
    match outputs {
        Ok(mut outputs) => {
            for (request, count) in batch.into_iter().zip(counts) {
                let behind = outputs.split_off(count.min(outputs.len()));
                let own = std::mem::replace(&mut outputs, behind);
                let queued = began.saturating_duration_since(request.since);
                let answer = match own.iter().all(|row| model.is_sound(row)) {
                    true => Ok(AnsweredRows {
                        outputs: own,
                        queued,
                        computed,
                        batch: total,
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
    rows: ServedRows,
    most: usize,
    figures: &ModelFigures,
) -> Result<Vec<Vec<f32>>, String> {
    let mut outputs = Vec::with_capacity(rows.len());
    for piece in rows.pieces(most) {
        outputs.append(&mut ask(model, piece, figures)?);
    }
    Ok(outputs)
}

fn ask(model: &dyn Served, rows: ServedRows, figures: &ModelFigures) -> Result<Vec<Vec<f32>>, String> {
    let (count, began) = (rows.len(), Instant::now());
    // What goes wrong in one batch is not the end of the next one.
    let outputs = catch_unwind(AssertUnwindSafe(|| model.answer(rows)));
    let outputs = outputs.unwrap_or_else(|_| Err("asking the model broke off".to_owned()))?;
    figures.batch(count, began.elapsed().max(Duration::from_nanos(1)));
    match outputs.len() == count {
        true => Ok(outputs),
        false => Err("the model gave outputs for another number of rows than it was asked about".to_owned()),
    }
}

fn failed(problem: &str) -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, problem)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::sync::oneshot;

    use super::*;
    use crate::data::ReadText;
    use crate::serve::queue::QueueLimits;
    use crate::serve::served::{ModelInterface, ModelVersion};
    use crate::serve::tensor::{InputTensor, TensorInfo, TensorValues};
    use crate::serve::testing::{EchoModel, echo_version};

    const LIMITS: QueueLimits = QueueLimits {
        requests: 1000,
        bytes: 1 << 20,
    };

    fn pairs(values: Vec<f32>) -> ServedRows {
        ServedRows::Numbers { values, width: 2 }
    }

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
                let numbers = pairs(numbers);
                let own = EchoModel::new().answer(numbers.clone()).unwrap();
                let (reply, answer) = oneshot::channel();
                queue.push(WaitingRows {
                    version: Arc::clone(&versions[usize::from(is_second)]),
                    rows: numbers,
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

    impl ModelInterface for TroubledModel {
        fn inputs(&self) -> &[TensorInfo] {
            self.0.inputs()
        }

        fn takes_one_of(&self) -> bool {
            false
        }

        fn outputs(&self) -> &[TensorInfo] {
            self.0.outputs()
        }

        fn row_bytes(&self) -> usize {
            self.0.row_bytes()
        }
    }

    impl Served for TroubledModel {
        fn rows(&self, inputs: Vec<InputTensor>, rows: usize) -> Result<ServedRows, String> {
            self.0.rows(inputs, rows)
        }

        fn trials(&self) -> ServedRows {
            self.0.trials()
        }

        fn answer(&self, rows: ServedRows) -> Result<Vec<Vec<f32>>, String> {
            let ServedRows::Numbers { values, .. } = &rows else {
                return Err("no numbers".to_owned());
            };
            match values[0] as u32 {
                1 => Err("no memory".to_owned()),
                2 => panic!("a mistake"),
                3 => Ok(Vec::new()),
                4 => Ok(vec![vec![f32::NAN; 2]]),
                _ => self.0.answer(rows),
            }
        }

        fn tensor(&self, index: usize, outputs: &[Vec<f32>], texts: &[Arc<ReadText>]) -> TensorValues {
            self.0.tensor(index, outputs, texts)
        }
    }

    #[test]
    fn trouble_with_one_batch_leaves_the_next_one_alone() {
        let version = Arc::new(ModelVersion {
            model: ServedModel::Rows(Box::new(TroubledModel(EchoModel::new()))),
            version: "a".to_owned(),
            fingerprint: "a".to_owned(),
        });
        let queue = RowQueue::new(LIMITS);
        let answers: Vec<_> = (1..=5)
            .map(|trouble| {
                let (reply, answer) = oneshot::channel();
                let rows = WaitingRows {
                    version: Arc::clone(&version),
                    rows: pairs(vec![trouble as f32, 1.0]),
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
        assert_eq!(answers[4].as_ref().unwrap().outputs, [[6.0, 4.0]]);
    }
}
