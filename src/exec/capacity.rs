//! What there is for stages, and what each takes of it.

use crate::spec::{ByteSize, Kind, StageSpec};
use crate::stages::DeviceChoice;

/// The processor cores, memory and graphics processors that there are for stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Processor cores.
    pub cpus: usize,
    /// Memory in bytes, where it is known.
    pub memory: Option<u64>,
    /// The graphics processors, as `CUDA_VISIBLE_DEVICES` names them.
    pub gpus: Vec<String>,
}

impl Capacity {
    /// What this process may use of this machine.
    pub fn of_this_machine() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cpus,
            memory: total_memory(),
            gpus: visible_gpus(),
        }
    }
}

/// What `CUDA_VISIBLE_DEVICES` leaves of NVIDIA's graphics processors.
fn visible_gpus() -> Vec<String> {
    match std::env::var("CUDA_VISIBLE_DEVICES") {
        Ok(list) => named_gpus(&list),
        Err(_) => {
            let found = std::fs::read_dir("/proc/driver/nvidia/gpus")
                .into_iter()
                .flatten()
                .count();
            (0..found).map(|number| number.to_string()).collect()
        }
    }
}

/// The processors that a value of `CUDA_VISIBLE_DEVICES` names; as CUDA does, up to the first that
/// cannot be one.
fn named_gpus(list: &str) -> Vec<String> {
    let names = list.split(',').map(str::trim);
    let names = names.take_while(|name| !name.is_empty() && !name.starts_with('-'));
    names.map(str::to_owned).collect()
}

#[cfg(target_os = "linux")]
fn total_memory() -> Option<u64> {
    let info = rustix::system::sysinfo();
    Some(info.totalram as u64 * u64::from(info.mem_unit))
}

#[cfg(not(target_os = "linux"))]
fn total_memory() -> Option<u64> {
    None
}

/// What a stage takes while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Processor cores.
    pub cpus: usize,
    /// Memory in bytes; 0 where it does not say.
    pub memory: u64,
    /// Graphics processors.
    /// None where it does not say: it may see all of them, and none is set aside for it.
    pub gpus: Option<usize>,
}

impl Needs {
    /// What `stage` takes of `machine`: what it declares, at most what there is; by default one
    /// core, and all of them where the stage computes. A graphics processor is its own where it says so,
    /// or where there is one and it computes on `device`, which may be any.
    pub(super) fn of(stage: &StageSpec, machine: &Capacity, device: DeviceChoice) -> Self {
        let takes_any_gpu = stage.kind.takes_gpu() && device.takes_any_gpu();
        let default = if stage.kind.is_heavy() { machine.cpus } else { 1 };
        let cpus = stage.resources.cpus.map_or(default, |cpus| cpus.get() as usize);
        let memory = stage.resources.memory.map_or(0, |ByteSize(bytes)| bytes);
        Self {
            cpus: cpus.clamp(1, machine.cpus),
            memory: memory.min(machine.memory.unwrap_or(u64::MAX)),
            gpus: match stage.resources.gpus {
                Some(gpus) => Some(machine.gpus.len().min(gpus as usize)),
                None => (takes_any_gpu && !machine.gpus.is_empty()).then_some(1),
            },
        }
    }

    /// All that `stage` asks for and `machine` does not have, in words; the stage runs alone then, and slower.
    pub fn exceeding(stage: &StageSpec, machine: &Capacity) -> Option<String> {
        let mut missing = Vec::new();
        let cpus = stage.resources.cpus.map_or(0, |cpus| cpus.get() as usize);
        if cpus > machine.cpus {
            missing.push(format!("{cpus} cpus of {}", machine.cpus));
        }
        let gpus = stage.resources.gpus.unwrap_or(0) as usize;
        if gpus > machine.gpus.len() {
            missing.push(format!("{gpus} gpus of {}", machine.gpus.len()));
        }
        if let (Some(ByteSize(asked)), Some(total)) = (stage.resources.memory, machine.memory)
            && asked > total
        {
            missing.push(format!("{} of memory of {}", ByteSize(asked), ByteSize(total)));
        }
        (!missing.is_empty())
            .then(|| format!("it asks for more than the machine has: {}", missing.join(", ")))
    }
}

/// The threads that a stage of `kind` gets where it needs `needs`.
pub(super) fn threads(kind: &Kind, needs: Needs) -> usize {
    if kind.is_heavy() { needs.cpus } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_named_as_cuda_reads_them() {
        assert_eq!(named_gpus("0, GPU-8932f937,3,-1,4"), ["0", "GPU-8932f937", "3"]);
        assert_eq!(named_gpus(""), [""; 0]);
    }
}
