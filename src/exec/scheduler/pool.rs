//! What is free of the resources.

use crate::exec::capacity::{Capacity, Needs};

/// What a stage got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    needs: Needs,
    gpus: Vec<String>,
}

impl Grant {
    /// What the stage finds in `CUDA_VISIBLE_DEVICES`; nothing where it does not say what it needs.
    pub fn visible_gpus(&self) -> Option<String> {
        self.needs.gpus.map(|_| self.gpus.join(","))
    }
}

/// What is free.
#[derive(Debug)]
pub(super) struct Pool {
    cpus: usize,
    memory: u64,
    slots: usize,
    gpus: Vec<String>,
}

impl Pool {
    pub fn new(capacity: &Capacity, jobs: usize) -> Self {
        Self {
            cpus: capacity.cpus,
            memory: capacity.memory.unwrap_or(u64::MAX),
            slots: jobs.max(1),
            gpus: capacity.gpus.clone(),
        }
    }

    /// Takes what `needs` says, if it is free.
    pub fn take(&mut self, needs: Needs) -> Option<Grant> {
        let free = self.slots > 0
            && self.cpus >= needs.cpus
            && self.memory >= needs.memory
            && self.gpus.len() >= needs.gpus.unwrap_or(0);
        free.then(|| {
            self.slots -= 1;
            self.cpus -= needs.cpus;
            self.memory -= needs.memory;
            Grant {
                needs,
                gpus: self.gpus.drain(..needs.gpus.unwrap_or(0)).collect(),
            }
        })
    }

    /// Gives back what was taken.
    pub fn give(&mut self, grant: Grant) {
        let Grant { needs, gpus } = grant;
        self.gpus.extend(gpus);
        self.slots += 1;
        self.cpus += needs.cpus;
        self.memory += needs.memory;
    }

    /// Whether nothing more can start, whatever it needs.
    pub fn is_exhausted(&self) -> bool {
        self.slots == 0 || self.cpus == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_handed_out_once_and_come_back() {
        let capacity = Capacity {
            cpus: 8,
            memory: None,
            gpus: ["0", "GPU-8932f937", "3"].map(str::to_owned).to_vec(),
        };
        let mut pool = Pool::new(&capacity, 8);
        let needs = |gpus| Needs {
            cpus: 1,
            memory: 0,
            gpus: Some(gpus),
        };
        let two = pool.take(needs(2)).unwrap();
        assert_eq!(two.visible_gpus().unwrap(), "0,GPU-8932f937");
        assert_eq!(pool.take(needs(2)), None);
        // Who asked for none sees none; who did not say sees all.
        assert_eq!(pool.take(needs(0)).unwrap().visible_gpus().unwrap(), "");
        let silent = Needs {
            gpus: None,
            ..needs(0)
        };
        assert_eq!(pool.take(silent).unwrap().visible_gpus(), None);
        assert_eq!(pool.take(needs(1)).unwrap().visible_gpus().unwrap(), "3");
        pool.give(two);
        assert!(pool.take(needs(2)).is_some());
    }
}
