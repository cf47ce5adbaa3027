//! Where to compute.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use super::error::TrainError;

/// A wish for a device. Never part of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first CUDA device where this build can use one and there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device, by its number.
    Cuda(usize),
}

impl DeviceChoice {
    /// Fails where this build, whatever the machine, cannot serve the wish.
    ///
    /// # Errors
    /// A CUDA device is asked for, and the build has no CUDA.
    pub fn check(self) -> Result<(), TrainError> {
        match self {
            Self::Cuda(_) if !cfg!(feature = "cuda") => Err(TrainError::Device(format!(
                "`--device {self}` needs a build with CUDA, and this one has none: build with \
                 `cargo build --release --features cuda` (or cudnn) on a machine with the CUDA toolkit, or use \
                 `--device cpu`"
            ))),
            _ => Ok(()),
        }
    }

    /// Whether any CUDA device will do, and this build can use one.
    pub fn takes_any_gpu(self) -> bool {
        self == Self::Auto && cfg!(feature = "cuda")
    }

    /// Opens the device.
    ///
    /// # Errors
    /// It is not there, or this build cannot use it.
    pub fn open(self) -> Result<Device, TrainError> {
        self.check()?;
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Auto if !cfg!(feature = "cuda") => Ok(Device::Cpu),
            // Without a driver or a device the CPU serves.
            Self::Auto => Ok(Device::new_cuda(0).unwrap_or(Device::Cpu)),
            Self::Cuda(number) => Device::new_cuda(number).map_err(|error| {
                TrainError::Device(format!(
                    "the CUDA device {number} cannot be opened: {error}; `nvidia-smi` lists those that there are"
                ))
            }),
        }
    }
}

impl Display for DeviceChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => return Ok(Self::Auto),
            "cpu" => return Ok(Self::Cpu),
            "cuda" => return Ok(Self::Cuda(0)),
            _ => {}
        }
        text.strip_prefix("cuda:")
            .and_then(|number| number.parse().ok())
            .map(Self::Cuda)
            .ok_or_else(|| format!("`{text}` is no device; known: auto, cpu, cuda, cuda:N"))
    }
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DeviceChoice> for String {
    fn from(choice: DeviceChoice) -> Self {
        choice.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_spelt_as_they_are_read() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for text in ["", "gpu", "cuda:", "cuda:-1", "cuda:x"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_what_it_lacks() {
        let error = DeviceChoice::Cuda(1).open().unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
        assert!(DeviceChoice::Auto.open().unwrap().is_cpu());
        assert!(DeviceChoice::Cpu.open().unwrap().is_cpu());
    }
}
