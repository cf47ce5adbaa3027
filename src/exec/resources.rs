//! What the machine has, and what of it is in use.

use crate::spec::{ByteSize, Kind, Stage};

/// A machine's processor cores and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Processor cores that this process may use.
    pub cpus: usize,
    /// Memory in bytes, where it is known.
    pub memory: Option<u64>,
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self { cpus, memory: total_memory() }
    }
}

#[cfg(target_os = "linux")]
fn total_memory() -> Option<u64> {
    let info = rustix::system::sysinfo();
    Some(u64::from(info.totalram) * u64::from(info.mem_unit))
}

#[cfg(not(target_os = "linux"))]
fn total_memory() -> Option<u64> {
    None
}

/// What a stage takes while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    pub cpus: usize,
    pub memory: u64,
}

impl Needs {
    /// What `stage` takes of `machine`: what it declares, at most what there is; by default one
    /// core, and all of them where the stage computes.
    pub fn of(stage: &Stage, machine: &Machine) -> Self {
        let default = if stage.kind.is_heavy() { machine.cpus } else { 1 };
        let cpus = stage.resources.cpus.map_or(default, |cpus| cpus.get() as usize);
        let memory = stage.resources.memory.map_or(0, |ByteSize(bytes)| bytes);
        Self { cpus: cpus.clamp(1, machine.cpus), memory: memory.min(machine.memory.unwrap_or(u64::MAX)) }
    }

    /// Whether `stage` asks for more than `machine` has; then it runs alone, and slower.
    pub fn exceed(stage: &Stage, machine: &Machine) -> Option<String> {
        let cpus = stage.resources.cpus.map_or(0, |cpus| cpus.get() as usize);
        if cpus > machine.cpus {
            return Some(format!("it asks for {cpus} cpus and the machine has {}", machine.cpus));
        }
        let (ByteSize(asked), total) = (stage.resources.memory?, machine.memory?);
        (asked > total).then(|| {
            format!("it asks for {} of memory and the machine has {}", ByteSize(asked), ByteSize(total))
        })
    }
}

/// What is free.
#[derive(Debug)]
pub(super) struct Pool {
    cpus: usize,
    memory: u64,
    slots: usize,
}

impl Pool {
    pub fn new(machine: &Machine, jobs: usize) -> Self {
        Self { cpus: machine.cpus, memory: machine.memory.unwrap_or(u64::MAX), slots: jobs.max(1) }
    }

    /// Takes what `needs` says, if it is free.
    pub fn take(&mut self, needs: Needs) -> bool {
        let free = self.slots > 0 && self.cpus >= needs.cpus && self.memory >= needs.memory;
        if free {
            self.slots -= 1;
            self.cpus -= needs.cpus;
            self.memory -= needs.memory;
        }
        free
    }

    /// Gives back what was taken.
    pub fn give(&mut self, needs: Needs) {
        self.slots += 1;
        self.cpus += needs.cpus;
        self.memory += needs.memory;
    }

    /// Whether nothing more can start, whatever it needs.
    pub fn is_exhausted(&self) -> bool {
        self.slots == 0 || self.cpus == 0
    }
}

/// The threads that a stage of `kind` gets where it needs `needs`.
pub(super) fn threads(kind: &Kind, needs: Needs) -> usize {
    if kind.is_heavy() { needs.cpus } else { 1 }
}
