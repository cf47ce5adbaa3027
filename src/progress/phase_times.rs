//! Where a training's time went, in one line.

use super::text;
use crate::event::PhaseSeconds;

/// The sums over a training's epochs.
#[derive(Clone, Copy, Debug, Default)]
pub struct PhaseTimes {
    phases: PhaseSeconds,
    /// Samples trained on.
    samples: f64,
    /// Seconds that their training took.
    training: f64,
}

impl PhaseTimes {
    /// Takes note of an epoch: where its time went, its wall time, its speed.
    pub fn add(&mut self, phases: PhaseSeconds, seconds: f64, samples_per_second: f64) {
        let sums = &mut self.phases;
        sums.data += phases.data;
        sums.forward += phases.forward;
        sums.backward += phases.backward;
        sums.step += phases.step;
        sums.validation += phases.validation;
        let training = (seconds - phases.validation).max(0.0);
        self.training += training;
        self.samples += samples_per_second * training;
    }

    /// The parts of the line, each with its rank; nothing where no time was measured.
    pub fn parts(&self, peak_memory: Option<u64>) -> Vec<(u8, String)> {
        let PhaseSeconds {
            data,
            forward,
            backward,
            step,
            validation,
        } = self.phases;
        let total = data + forward + backward + step + validation;
        if total <= 0.0 {
            return Vec::new();
        }
        let share = |name: &str, seconds: f64| format!("{name} {:.0} %", 100.0 * seconds / total);
        let mut parts = vec![
            (0, share("data", data)),
            (0, share("forward", forward)),
            (0, share("backward", backward)),
            (0, share("step", step)),
        ];
        if validation > 0.0 {
            parts.push((2, share("validation", validation)));
        }
        if self.training > 0.0 {
            parts.push((1, format!("{}/s", text::rate(self.samples / self.training))));
        }
        if let Some(bytes) = peak_memory {
            parts.push((1, format!("peak memory {}", text::bytes(bytes as f64))));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_speed_and_memory() {
        let mut times = PhaseTimes::default();
        assert!(times.parts(Some(1)).is_empty());
        let phases = PhaseSeconds {
            data: 0.5,
            forward: 3.0,
            backward: 5.0,
            step: 0.5,
            validation: 1.0,
        };
        times.add(phases, 10.0, 100.0);
        times.add(phases, 10.0, 200.0);
        let parts: Vec<String> = times
            .parts(Some(3 << 20))
            .into_iter()
            .map(|(_, part)| part)
            .collect();
        assert_eq!(
            parts,
            [
                "data 5 %",
                "forward 30 %",
                "backward 50 %",
                "step 5 %",
                "validation 10 %",
                "150/s",
                "peak memory 3.0 MiB"
            ]
        );
    }
}
