//! Tensors on the host and in safetensors files.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensors, View};

use super::error::TrainError;
use crate::models::TensorLayout;
use crate::schema::InputShape;

/// A tensor's bytes, little-endian and row by row, with its type and shape.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Named tensors, in the order of their names.
pub type NamedTensors = BTreeMap<String, HostTensor>;

impl HostTensor {
    /// An f32 tensor of `shape`.
    pub fn from_f32(shape: Vec<usize>, values: &[f32]) -> Self {
        let mut bytes = Vec::with_capacity(values.len() * 4);
        for value in values {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        Self {
            dtype: Dtype::F32,
            shape,
            bytes,
        }
    }

    /// A copy of a candle tensor, which must be f32, i64 or u32.
    ///
    /// # Errors
    /// It has another type, or cannot be copied from its device.
    pub fn from_tensor(tensor: &Tensor) -> candle_core::Result<Self> {
        let shape = tensor.dims().to_vec();
        let flat = tensor.flatten_all()?;
        let (dtype, bytes) = match tensor.dtype() {
            DType::F32 => return Ok(Self::from_f32(shape, &flat.to_vec1::<f32>()?)),
            DType::I64 => (
                Dtype::I64,
                flat.to_vec1::<i64>()?
                    .iter()
                    .flat_map(|x| x.to_le_bytes())
                    .collect(),
            ),
            DType::U32 => (
                Dtype::U32,
                flat.to_vec1::<u32>()?
                    .iter()
                    .flat_map(|x| x.to_le_bytes())
                    .collect(),
            ),
            other => candle_core::bail!("a state tensor of type {other:?} cannot be kept"),
        };
        Ok(Self { dtype, shape, bytes })
    }

    /// A tensor of `shape` whose elements are `bytes`.
    pub(super) fn new(dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) -> Self {
        Self { dtype, shape, bytes }
    }

    /// Leaves out up to `count` dimensions of one member at the end.
    pub(super) fn squeeze(&mut self, count: usize) {
        for _ in 0..count {
            if self.shape.last() == Some(&1) {
                self.shape.pop();
            }
        }
    }

    /// The dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The type of the elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The bytes, little-endian.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The values, where they are f32.
    ///
    /// # Errors
    /// A sentence: they are of another type.
    pub fn to_f32(&self) -> Result<Vec<f32>, String> {
        match self.dtype {
            Dtype::F32 => Ok(self.words().map(f32::from_le_bytes).collect()),
            other => Err(format!("a tensor has type {other:?}, but F32 is expected")),
        }
    }

    /// The values as f32, where they are floats of 16 to 64 bits.
    ///
    /// # Errors
    /// A sentence: they are of another type.
    pub(super) fn widened(&self) -> Result<Vec<f32>, String> {
        let tensor = self.to_tensor(&Device::Cpu)?;
        let values = tensor.flatten_all().and_then(|tensor| tensor.to_vec1());
        values.map_err(|error| error.to_string())
    }

    /// The same as a candle tensor on `device`; floats of other widths become f32, and integers of other
    /// widths i64.
    ///
    /// # Errors
    /// A sentence: the type is neither a float of 16 to 64 bits nor an integer, or the device fails.
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor, String> {
        let shape = self.shape.as_slice();
        let tensor = match self.dtype {
            Dtype::F32 => Tensor::from_vec(self.to_f32()?, shape, device),
            Dtype::I64 => {
                let values: Vec<i64> = self.words().map(i64::from_le_bytes).collect();
                Tensor::from_vec(values, shape, device)
            }
            Dtype::U32 => {
                let values: Vec<u32> = self.words().map(u32::from_le_bytes).collect();
                Tensor::from_vec(values, shape, device)
            }
            Dtype::I32 => self.integers(|word| i32::from_le_bytes(word).into(), device),
            Dtype::I16 => self.integers(|word| i16::from_le_bytes(word).into(), device),
            Dtype::I8 => self.integers(|word| i8::from_le_bytes(word).into(), device),
            Dtype::U16 => self.integers(|word| u16::from_le_bytes(word).into(), device),
            Dtype::U8 | Dtype::BOOL => self.integers(|word| u8::from_le_bytes(word).into(), device),
            // PyTorch's other floats, as weights are often published: computed with in f32.
            Dtype::F16 => self.floats(|word| f16::from_le_bytes(word).to_f32(), device),
            Dtype::BF16 => self.floats(|word| bf16::from_le_bytes(word).to_f32(), device),
            Dtype::F64 => self.floats(|word| f64::from_le_bytes(word) as f32, device),
            other => return Err(format!("tensors of type {other:?} are not supported")),
        };
        tensor.map_err(|error| error.to_string())
    }

    fn floats<const N: usize>(
        &self,
        read: impl Fn([u8; N]) -> f32,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let values: Vec<f32> = self.words().map(read).collect();
        Tensor::from_vec(values, self.shape.as_slice(), device)
    }

    fn integers<const N: usize>(
        &self,
        read: impl Fn([u8; N]) -> i64,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let values: Vec<i64> = self.words().map(read).collect();
        Tensor::from_vec(values, self.shape.as_slice(), device)
    }

    fn words<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> + '_ {
        self.bytes.as_chunks::<N>().0.iter().copied()
    }
}

impl View for &HostTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// A batch of samples as the tensor that a network takes: `[N, C, H, W]` or `[N, F]`.
///
/// # Errors
/// The number of values is not that of `samples` samples of `shape`.
pub fn input_tensor(
    inputs: Vec<f32>,
    samples: usize,
    shape: InputShape,
    device: &Device,
) -> candle_core::Result<Tensor> {
    Tensor::from_vec(inputs, shape.of_batch(samples), device)
}

/// Copies `tensors` to the host.
///
/// # Errors
/// As [`HostTensor::from_tensor`].
pub fn to_host(tensors: &BTreeMap<String, Tensor>) -> candle_core::Result<NamedTensors> {
    let copied = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), HostTensor::from_tensor(tensor)?)));
    copied.collect()
}

/// Copies `tensors` to `device`.
///
/// # Errors
/// As [`HostTensor::to_tensor`], with the tensor's name.
pub fn to_device(tensors: &NamedTensors, device: &Device) -> Result<BTreeMap<String, Tensor>, String> {
    let copied = tensors.iter().map(|(name, tensor)| {
        let tensor = tensor
            .to_tensor(device)
            .map_err(|error| format!("`{name}`: {error}"))?;
        Ok((name.clone(), tensor))
    });
    copied.collect()
}

/// `tensors` in the safetensors format. The same tensors and at most one metadata entry give the
/// same bytes.
///
/// # Errors
/// A sentence: the header would be too large.
pub fn encode<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a HostTensor)>,
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>, String> {
    safetensors::serialize(tensors, Some(metadata)).map_err(|error| error.to_string())
}

/// The tensors and the metadata in the safetensors `bytes`.
///
/// # Errors
/// A sentence: the bytes are not what they should be.
pub fn decode(bytes: &[u8]) -> Result<(NamedTensors, HashMap<String, String>), String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let tensors = file.iter().map(|(name, view)| {
        let tensor = HostTensor {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        };
        (name.to_owned(), tensor)
    });
    Ok((tensors.collect(), header.metadata().clone().unwrap_or_default()))
}

/// The bytes of a header beyond which a file is refused, as safetensors does: one of ten thousand tensors has some 2 MB.
const HEADER_LIMIT: u64 = 100_000_000;

/// Bytes of a file that are read at once; a multiple of the size of a number.
const READ_BYTES: usize = 1 << 15;

/// A file of named tensors, of which one after the other is read.
pub struct TensorFile {
    path: PathBuf,
    file: File,
    header: Metadata,
    /// Where the tensors' bytes begin.
    start: u64,
}

impl TensorFile {
    /// Reads the header.
    ///
    /// # Errors
    /// It cannot be read, or is not a whole safetensors file.
    pub fn open(path: &Path) -> Result<Self, TrainError> {
        let unreadable = |source| TrainError::Read {
            path: path.to_owned(),
            source,
        };
        let damaged = |problem: String| TrainError::BadFile {
            path: path.to_owned(),
            problem: format!("not a whole safetensors file: {problem}"),
        };
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let (header, start) = read_header(&file, length).map_err(unreadable)?.map_err(damaged)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
            start,
        })
    }

    /// How many numbers all tensors have together.
    pub fn numbers(&self) -> usize {
        let tensors = self.header.tensors();
        let numbers = tensors.values().map(|info| info.shape.iter().product::<usize>());
        numbers.fold(0, usize::saturating_add)
    }

    /// The shapes of the tensors, by their names.
    pub fn layouts(&self) -> BTreeMap<String, TensorLayout> {
        let layout = |(name, info): (String, &TensorInfo)| {
            let layout = TensorLayout {
                shape: info.shape.clone(),
                is_integer: counts(info.dtype),
            };
            (name, layout)
        };
        self.header.tensors().into_iter().map(layout).collect()
    }

    /// Reads all tensors.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn read_all(&self) -> Result<NamedTensors, TrainError> {
        let names = self.header.offset_keys();
        names
            .into_iter()
            .map(|name| Ok((name.clone(), self.read(&name)?)))
            .collect()
    }

    /// Reads the tensor of that name.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn read(&self, name: &str) -> Result<HostTensor, TrainError> {
        let info = self.info(name)?;
        let (from, to) = info.data_offsets;
        let mut bytes = vec![0; to - from];
        self.read_at(&mut bytes, from)?;
        Ok(HostTensor {
            dtype: info.dtype,
            shape: info.shape.clone(),
            bytes,
        })
    }

    /// Reads the tensor of that name onto `device`.
    ///
    /// # Errors
    /// As [`TensorFile::read`] and [`HostTensor::to_tensor`].
    pub fn read_to(&self, name: &str, device: &Device) -> Result<Tensor, TrainError> {
        let info = self.info(name)?;
        let tensor = match info.dtype {
            Dtype::F32 => {
                let tensor = Tensor::from_vec(self.read_f32(info)?, info.shape.as_slice(), device);
                tensor.map_err(|error| error.to_string())
            }
            _ => self.read(name)?.to_tensor(device),
        };
        tensor.map_err(|problem| TrainError::BadFile {
            path: self.path.clone(),
            problem: format!("`{name}`: {problem}"),
        })
    }

    /// Reads the numbers of a tensor that holds f32. Their bytes do not stand beside them.
    fn read_f32(&self, info: &TensorInfo) -> Result<Vec<f32>, TrainError> {
        let (from, to) = info.data_offsets;
        let mut values = Vec::with_capacity((to - from) / size_of::<f32>());
        let mut bytes = vec![0; READ_BYTES.min(to - from)];
        for start in (from..to).step_by(READ_BYTES) {
            let part = &mut bytes[..READ_BYTES.min(to - start)];
            self.read_at(part, start)?;
            values.extend(part.as_chunks().0.iter().copied().map(f32::from_le_bytes));
        }
        Ok(values)
    }

    fn info(&self, name: &str) -> Result<&TensorInfo, TrainError> {
        self.header.info(name).ok_or_else(|| TrainError::BadFile {
            path: self.path.clone(),
            problem: format!("it has no tensor `{name}`"),
        })
    }

    /// Fills `bytes` with those of the tensors from `place` on.
    fn read_at(&self, bytes: &mut [u8], place: usize) -> Result<(), TrainError> {
        let read = self.file.read_exact_at(bytes, self.start + place as u64);
        read.map_err(|source| TrainError::Read {
            path: self.path.clone(),
            source,
        })
    }
}

/// Whether elements of a type count something. The narrow floats are none, whether or not they can be read here.
pub(super) fn counts(dtype: Dtype) -> bool {
    matches!(
        dtype,
        Dtype::BOOL
            | Dtype::U8
            | Dtype::I8
            | Dtype::U16
            | Dtype::I16
            | Dtype::U32
            | Dtype::I32
            | Dtype::U64
            | Dtype::I64
    )
}

/// The header of the safetensors file `file` of `length` bytes, whose tensors are as long as it says, and where their
/// bytes begin; or what is wrong with it.
///
/// # Errors
/// It cannot be read.
pub(super) fn read_header(file: &File, length: u64) -> io::Result<Result<(Metadata, u64), String>> {
    if length < 8 {
        return Ok(Err(format!("it has {length} bytes")));
    }
    let mut size = [0; 8];
    file.read_exact_at(&mut size, 0)?;
    let size = u64::from_le_bytes(size);
    if size > HEADER_LIMIT.min(length - 8) {
        return Ok(Err("its header is longer than the file".to_owned()));
    }
    let mut header = vec![0; size as usize];
    file.read_exact_at(&mut header, 8)?;
    let header: Metadata = match serde_json::from_slice(&header) {
        Ok(header) => header,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let start = 8 + size;
    let expected = start.saturating_add(header.data_len() as u64);
    Ok(match length == expected {
        true => Ok((header, start)),
        false => Err(format!("{length} bytes, and {expected} are expected")),
    })
}

/// Reads a file of named tensors.
///
/// # Errors
/// It cannot be read, or is not a safetensors file.
pub fn read_tensors(path: &Path) -> Result<NamedTensors, TrainError> {
    TensorFile::open(path)?.read_all()
}

/// Writes a file so that after a crash either the old or the new one is there as a whole: to a
/// temporary name, flushed, renamed.
///
/// # Errors
/// It cannot be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let failed = |source| TrainError::Write {
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn tensors_survive_a_file() {
        let device = Device::Cpu;
        let tensors = BTreeMap::from([
            (
                "b.weight".to_owned(),
                Tensor::new(&[[1.5f32, -0.0], [f32::MIN_POSITIVE, 3.0]], &device).unwrap(),
            ),
            ("a.count".to_owned(), Tensor::new(7i64, &device).unwrap()),
        ]);
        let host = to_host(&tensors).unwrap();
        let entries = || host.iter().map(|(name, tensor)| (name.as_str(), tensor));
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let bytes = encode(entries(), metadata.clone()).unwrap();
        assert_eq!(bytes, encode(entries(), metadata.clone()).unwrap());

        let (back, read_metadata) = decode(&bytes).unwrap();
        assert_eq!((back.clone(), read_metadata), (host, metadata));
        let back = to_device(&back, &device).unwrap();
        assert_eq!(back["a.count"].to_scalar::<i64>().unwrap(), 7);
        assert_eq!(back["b.weight"].dims(), [2, 2]);
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn a_file_is_whole_or_refused() {
        let tensor = HostTensor::from_f32(vec![2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let count = HostTensor::new(Dtype::I64, Vec::new(), 7i64.to_le_bytes().to_vec());
        let whole = encode([("b", &tensor), ("a", &count)], HashMap::new()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let open = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            TensorFile::open(&path)
        };
        let file = open(&whole).unwrap();
        let layout = |shape: Vec<usize>, is_integer| TensorLayout { shape, is_integer };
        let layouts = [("a", layout(vec![], true)), ("b", layout(vec![2, 3], false))];
        assert_eq!(
            file.layouts(),
            layouts.map(|(name, layout)| (name.to_owned(), layout)).into()
        );
        assert_eq!(
            (file.read("b").unwrap(), file.read("a").unwrap()),
            (tensor, count)
        );
        assert!(file.read("c").is_err());
        assert_eq!(file.numbers(), 7);
        let numbers = file.read_to("b", &Device::Cpu).unwrap();
        assert_eq!(
            numbers.to_vec2::<f32>().unwrap(),
            [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
        );
        for len in [0, 7, 8, 20, whole.len() - 1] {
            let problem = open(&whole[..len]).err().expect("cut").to_string();
            assert!(problem.contains("not a whole safetensors file"), "{problem}");
        }
        let longer = [whole.as_slice(), b"x"].concat();
        assert!(open(&longer).is_err());
        let endless = [u64::MAX.to_le_bytes().as_slice(), &whole[8..]].concat();
        assert!(open(&endless).is_err());
    }

    #[test]
    fn large_tensors_are_read_piece_by_piece() {
        let values: Vec<f32> = (0..READ_BYTES as u32 / 2 + 3).map(|place| place as f32).collect();
        let tensor = HostTensor::from_f32(vec![values.len()], &values);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        fs::write(&path, encode([("w", &tensor)], HashMap::new()).unwrap()).unwrap();
        let read = TensorFile::open(&path)
            .unwrap()
            .read_to("w", &Device::Cpu)
            .unwrap();
        assert_eq!(read.to_vec1::<f32>().unwrap(), values);
    }

    #[test]
    fn narrow_floats_are_no_integers() {
        let narrow = HostTensor::new(Dtype::F8_E4M3, vec![2], vec![0, 1]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        fs::write(&path, encode([("w", &narrow)], HashMap::new()).unwrap()).unwrap();
        let file = TensorFile::open(&path).unwrap();
        assert!(!file.layouts()["w"].is_integer);
        let problem = file.read_to("w", &Device::Cpu).unwrap_err().to_string();
        assert!(
            problem.contains("`w`: tensors of type F8_E4M3 are not supported"),
            "{problem}"
        );
    }

    #[test]
    fn other_floats_become_f32() {
        let values = [1.5f32, -0.25, 1024.0];
        for dtype in [DType::F16, DType::BF16, DType::F64] {
            let narrow = Tensor::new(&values, &Device::Cpu)
                .unwrap()
                .to_dtype(dtype)
                .unwrap();
            let mut tensors = HashMap::new();
            tensors.insert("w".to_owned(), narrow);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("w.safetensors");
            candle_core::safetensors::save(&tensors, &path).unwrap();
            let read = to_device(&read_tensors(&path).unwrap(), &Device::Cpu).unwrap();
            assert_eq!(read["w"].to_vec1::<f32>().unwrap(), values, "{dtype:?}");
        }
    }

    #[test]
    fn files_are_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, b"first").unwrap();
        write_atomically(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_atomically(&folder.path().join("no/file"), b"x").is_err());
    }
}
