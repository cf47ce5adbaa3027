//! Files of PyTorch's own making, damaged ones, and hostile ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::Device;
use proptest::prelude::*;
use serde_json::Value;

use super::pickle::{Pickle, PickleError};
use super::*;
use crate::models::{Models, Pass};
use crate::random::{Purpose, Stream};
use crate::schema::InputShape;
use crate::spec::{Model, Precision};
use crate::train::tensor_file::{HostTensor, encode, to_device};

/// The folder of the files that `tests/fixtures/state_dicts.py` wrote.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/state_dicts")
}

fn open(name: &str) -> Result<StateDict, String> {
    StateDict::open(&folder().join(name))
}

/// What `torch.load` gives.
fn expected(of: &str) -> Value {
    let text = fs::read_to_string(folder().join("expected.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[of].take()
}

/// A tensor's values, whatever their type.
fn values(tensor: &HostTensor) -> Vec<f64> {
    let tensor = tensor.to_tensor(&Device::Cpu).unwrap();
    let tensor = tensor.to_dtype(candle_core::DType::F64).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The tensors that the network of the fixtures has.
fn network() -> WantedTensors<'static> {
    let shapes: [(&str, &[usize]); 4] = [
        ("0.weight", &[8, 4]),
        ("0.bias", &[8]),
        ("2.weight", &[3, 8]),
        ("2.bias", &[3]),
    ];
    let tensors = shapes.map(|(name, shape)| {
        let wanted = WantedTensor {
            shape: shape.iter().copied().map(Some).collect(),
            is_integer: false,
        };
        (name.to_owned(), wanted)
    });
    WantedTensors {
        model: "sequential",
        tensors: tensors.into(),
        head: "2".to_owned(),
    }
}

/// The network's tensors in a file, and what is told of them.
fn fitted(name: &str) -> Result<(NamedTensors, Vec<String>), String> {
    let file = open(name)?;
    let fitting = Fitting::find(&network(), &file)?;
    Ok((fitting.read(&file)?, fitting.told()))
}

fn assert_values(tensors: &NamedTensors, expected: &Value) {
    let expected = expected.as_object().unwrap();
    assert!(tensors.keys().all(|name| expected.contains_key(name)));
    assert_eq!(tensors.len(), expected.len());
    for (name, tensor) in tensors {
        let wanted: Vec<f64> = serde_json::from_value(expected[name]["values"].clone()).unwrap();
        let shape: Vec<usize> = serde_json::from_value(expected[name]["shape"].clone()).unwrap();
        assert_eq!((tensor.shape(), values(tensor)), (&shape[..], wanted), "{name}");
    }
}

#[test]
fn every_type_and_view_is_what_torch_loads() {
    for name in [
        "kinds",
        "kinds_old",
        "kinds_protocol_4",
        "kinds_protocol_5",
        "kinds_without_sums",
        "kinds_big_endian",
    ] {
        let file = open(&format!("{name}.pth")).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let tensors = file.read(file.tensors().keys().map(String::as_str)).unwrap();
        assert_values(&tensors, &expected("kinds"));
    }
}

#[test]
fn a_state_dict_is_found_wherever_it_stands() {
    for name in ["network.pth", "network_old.pth"] {
        let (tensors, told) = fitted(name).unwrap();
        assert_values(&tensors, &expected("network"));
        assert!(told.is_empty(), "{told:?}");
    }
    let (tensors, told) = fitted("checkpoint.pth").unwrap();
    assert_values(&tensors, &expected("network"));
    let told = told.join("\n");
    assert!(
        told.contains("under `state_dict.module._orig_mod.`")
            && told.contains("averages under `state_dict_ema.module.` are not taken")
            && told.contains("left aside: optimizer.state.0.exp_avg"),
        "{told}"
    );
}

#[test]
fn a_folder_stands_for_the_only_file_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| fs::copy(self::folder().join(from), folder.path().join(to)).unwrap();
    copy("network.pth", "resnet.pth");
    assert_eq!(StateDict::open(folder.path()).unwrap().tensors().len(), 4);
    copy("network.pth", "another.pth");
    let problem = StateDict::open(folder.path()).unwrap_err();
    assert!(problem.contains("`another.pth`, `resnet.pth`"), "{problem}");
    copy("kinds.pth", WEIGHTS_FILE);
    assert!(StateDict::open(folder.path()).unwrap().tensors().len() > 4);
}

#[test]
fn two_networks_in_one_file_are_not_chosen_between() {
    let problem = fitted("two.pth").unwrap_err();
    assert!(
        problem.contains("under `student.` and under `teacher.`") && problem.contains("save one of them"),
        "{problem}"
    );
}

#[test]
fn what_is_no_state_dict_is_refused_with_the_way_out() {
    for (name, words) in [
        (
            "whole_module.pth",
            ["`torch.nn.modules.container.Sequential`", "model.state_dict()"],
        ),
        (
            "whole_module_within.pth",
            ["`model` in it is an object", "state_dict()"],
        ),
        ("script.pth", ["TorchScript", "state_dict()"]),
        ("list.pth", ["no tensors", "a list"]),
        ("arrays.pth", ["`model.0.bias` in it", "a numpy array"]),
        ("compressed.pth", ["compressed", "torch.save"]),
        ("expected.json", ["JSON", "torch.save"]),
    ] {
        let problem = fitted(name).unwrap_err();
        assert!(
            words.iter().all(|word| problem.contains(word)),
            "{name}: {problem}"
        );
    }
}

#[test]
fn a_tensor_that_is_not_plain_is_refused_by_name() {
    for (name, word) in [
        ("negated", "resolve_neg"),
        ("sparse", "_rebuild_sparse_tensor"),
        ("quantized", "_rebuild_qtensor"),
        ("subclass", "Odd"),
        ("complex", "ComplexFloatStorage"),
        ("float8", "_rebuild_tensor_v3"),
        ("meta", "_rebuild_meta_tensor_no_storage"),
    ] {
        let problem = fitted(&format!("odd_{name}.pth")).unwrap_err();
        assert!(
            problem.contains("missing 0.weight (in the file:") && problem.contains(word),
            "{name}: {problem}"
        );
    }
}

#[test]
fn names_that_miss_are_told_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let tensor = |shape: &[usize]| HostTensor::from_f32(shape.to_vec(), &vec![0.5; shape.iter().product()]);
    let write = |names: &[(&str, &[usize])]| {
        let tensors: NamedTensors = names
            .iter()
            .map(|(name, shape)| ((*name).to_owned(), tensor(shape)))
            .collect();
        let entries = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        fs::write(&path, encode(entries, Default::default()).unwrap()).unwrap();
    };
    let find = || Fitting::find(&network(), &StateDict::open(&path).unwrap()).map(|fitting| fitting.told());
    write(&[
        ("model.0.weights", &[8, 4]),
        ("model.0.bias", &[8]),
        ("model.2.bias", &[5]),
    ]);
    assert_eq!(
        find().unwrap_err(),
        "the weights do not fit the network (of those under `model.`): missing 0.weight (the nearest in the file: \
         0.weights); unexpected 0.weights"
    );
    // The output layer of another task may have more layers, and other things may stand beside.
    write(&[
        ("net.0.weight", &[8, 4]),
        ("net.0.bias", &[8]),
        ("net.2.0.weight", &[9, 8]),
        ("queue", &[2]),
    ]);
    assert_eq!(
        find().unwrap(),
        [
            "its tensors stand under `net.`",
            "2 of its tensors are left aside: net.2.0.weight, queue"
        ]
    );
    write(&[("elsewhere", &[8, 4])]);
    let problem = find().unwrap_err();
    assert!(
        problem.contains("none of its names") && problem.contains("elsewhere"),
        "{problem}"
    );
}

/// As `tests/fixtures/architectures.py` makes weights and samples.
fn noise(stream: u64, count: usize) -> Vec<f64> {
    let hash = |index: u64| {
        let mut h = (index * 0x9E37_79B1 + stream * 0x85EB_CA77) & 0xFFFF_FFFF;
        for (shift, factor) in [(15, 0x2C1B_3C6D), (12, 0x297A_2D39)] {
            h = ((h ^ (h >> shift)) * factor) & 0xFFFF_FFFF;
        }
        (h ^ (h >> 15)) as f64 / 4_294_967_296.0 - 0.5
    };
    (0..count as u64).map(hash).collect()
}

fn filled(name: &str, stream: usize, shape: &[usize]) -> HostTensor {
    if name.ends_with("num_batches_tracked") {
        return HostTensor::new(safetensors::Dtype::I64, Vec::new(), 5i64.to_le_bytes().to_vec());
    }
    let per_output = shape.iter().skip(1).product::<usize>() as f64;
    let value = |noise: f64| match shape.len() {
        2.. => noise * 2.0 * (6.0 / per_output).sqrt(),
        _ if name.ends_with("running_var") || name.ends_with("weight") => {
            (1.0 + 0.4 * noise) * if name.ends_with("bn3.weight") { 0.1 } else { 1.0 }
        }
        _ => 0.4 * noise,
    };
    let noise = noise(stream as u64, shape.iter().product());
    let values: Vec<f32> = noise.into_iter().map(|noise| value(noise) as f32).collect();
    HostTensor::from_f32(shape.to_vec(), &values)
}

#[test]
fn timms_weights_compute_what_timm_computes() {
    let text = include_str!("../../../tests/fixtures/timm.json");
    let folder = tempfile::tempdir().unwrap();
    for case in serde_json::from_str::<Vec<Value>>(text).unwrap() {
        let name = case["timm"].as_str().unwrap();
        let tensors: Vec<(String, Vec<usize>)> = serde_json::from_value(case["tensors"].clone()).unwrap();
        let tensors: NamedTensors = tensors
            .into_iter()
            .enumerate()
            .map(|(index, (name, shape))| {
                let tensor = filled(&name, index, &shape);
                (format!("model.{name}"), tensor)
            })
            .collect();
        let path = folder.path().join(name);
        let entries = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        fs::write(&path, encode(entries, Default::default()).unwrap()).unwrap();

        let model: Model = serde_json::from_value(case["model"].clone()).unwrap();
        let shape: Vec<usize> = serde_json::from_value(case["shape"].clone()).unwrap();
        let input = InputShape::Image {
            channels: shape[1],
            height: shape[2],
            width: shape[3],
        };
        let network = Models::built_in()
            .build(&model, input, 10, 0, &Device::Cpu)
            .unwrap();
        let file = StateDict::open(&path).unwrap();
        let fitting = Fitting::find(&WantedTensors::of(model.name(), network.layout()), &file)
            .unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let own = fitting.read(&file).unwrap();
        network
            .load_state(&to_device(&own, &Device::Cpu).unwrap())
            .unwrap();
        let samples: Vec<f32> = noise(case["samples"].as_u64().unwrap(), shape.iter().product())
            .into_iter()
            .map(|value| (2.0 * value) as f32)
            .collect();
        let samples = candle_core::Tensor::from_vec(samples, shape, &Device::Cpu).unwrap();
        let logits = network
            .forward(&samples, &Pass::evaluate(Precision::F32))
            .unwrap();
        let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
        let wanted: Vec<f64> = serde_json::from_value(case["evaluated"].clone()).unwrap();
        let scale = wanted.iter().fold(0f64, |most, value| most.max(value.abs()));
        for (given, wanted) in logits.iter().zip(&wanted) {
            let apart = (f64::from(*given) - wanted).abs() / scale;
            assert!(apart < 3e-5, "{name}: {given} instead of {wanted}");
        }
        let told = fitting.told().join("\n");
        assert_eq!(
            told.contains("timm's names"),
            name != "resnet18",
            "{name}: {told}"
        );
        assert!(told.contains("under `model.`"), "{name}: {told}");
    }
}

#[test]
fn a_claim_alone_takes_neither_memory_nor_time() {
    // A text of 4 GB in a pickle of a few bytes.
    let claim = [&b"\x80\x02X\xff\xff\xff\xff"[..], b"abc"].concat();
    assert_eq!(Pickle::read(&claim).unwrap_err(), PickleError::Truncated);
    // A list within a list, deep enough for any stack.
    let deep = [vec![b']'; 2_000_000], vec![b'a'; 1_999_999], vec![b'.']].concat();
    assert!(Pickle::read(&deep).is_ok());
    // Each list holds the one before twice: 2^100,000 values, were they counted.
    let mut shared = b"]".to_vec();
    for _ in 0..100_000 {
        shared.extend_from_slice(b"q\x00]h\x00ah\x00a");
    }
    shared.push(b'.');
    assert!(Pickle::read(&shared).is_ok());
    let endless = vec![b'N'; 20_000_000];
    assert_eq!(Pickle::read(&endless).unwrap_err(), PickleError::TooLarge);
    // The same for dictionaries, which are looked into.
    let mut shared = b"}".to_vec();
    for _ in 0..1000 {
        shared.extend_from_slice(b"q\x00}(U\x01ah\x00U\x01bh\x00u");
    }
    shared.push(b'.');
    let pickle = Pickle::read(&shared).unwrap();
    assert!(pytorch::PickledTensors::of(&pickle).is_ok());
}

#[test]
fn damage_is_told_and_never_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let file = StateDict::open(&path)?;
        file.read(file.tensors().keys().map(String::as_str))
    };
    for name in [
        "kinds.pth",
        "kinds_old.pth",
        "checkpoint.pth",
        "kinds_big_endian.pth",
    ] {
        let whole = fs::read(self::folder().join(name)).unwrap();
        for cut in (0..whole.len()).step_by(101) {
            assert!(read(&whole[..cut]).is_err(), "{name} cut at {cut}");
        }
        for place in (0..whole.len()).step_by(7) {
            for flip in [0x01, 0xff] {
                let mut flipped = whole.clone();
                flipped[place] ^= flip;
                let _ = read(&flipped);
            }
        }
    }
}

/// Damage at random, for as long as one likes:
/// `ERLEN_SOAK_SECONDS=600 cargo test --release --lib state_dict -- --ignored`.
#[test]
#[ignore = "takes as long as ERLEN_SOAK_SECONDS says"]
fn damage_at_random_is_told_soon() {
    let seconds = std::env::var("ERLEN_SOAK_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let begun = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged");
    let whole: Vec<Vec<u8>> = fs::read_dir(self::folder())
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    for round in 0.. {
        if begun.elapsed() > Duration::from_secs(seconds.unwrap_or(10)) {
            break;
        }
        let mut stream = Stream::new(1, Purpose::Bootstrap, 0, round);
        let mut below = |count: usize| (stream.uniform() * count as f64) as usize;
        let mut bytes = whole[below(whole.len())].clone();
        for _ in 0..=below(6) {
            let place = below(bytes.len());
            match below(5) {
                0 => bytes[place] = below(256) as u8,
                1 => bytes[place] ^= 1 << below(8),
                2 => bytes.truncate(place + 1),
                3 => {
                    // What stands elsewhere, such as a length in the place of another.
                    let from = below(bytes.len());
                    let length = (1 + below(8)).min(bytes.len() - from).min(bytes.len() - place);
                    bytes.copy_within(from..from + length, place);
                }
                _ => {
                    let other = &whole[below(whole.len())];
                    let from = below(other.len());
                    let length = (1 + below(64)).min(other.len() - from);
                    bytes.splice(place..place, other[from..from + length].iter().copied());
                }
            }
        }
        fs::write(&path, &bytes).unwrap();
        let since = Instant::now();
        if let Ok(file) = StateDict::open(&path) {
            let _ = file.read(file.tensors().keys().map(String::as_str));
            let _ = Fitting::find(&network(), &file).map(|fitting| fitting.read(&file));
        }
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "round {round} takes too long"
        );
    }
}

#[test]
fn a_flipped_bit_of_a_weight_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flipped.pth");
    let whole = fs::read(self::folder().join("network.pth")).unwrap();
    let file = open("network.pth").unwrap();
    let weights = file.read(["0.weight"]).unwrap();
    let bytes = weights["0.weight"].bytes();
    let place = whole
        .windows(bytes.len())
        .position(|window| window == bytes)
        .unwrap();
    let mut flipped = whole;
    flipped[place + 5] ^= 2;
    fs::write(&path, flipped).unwrap();
    let problem = StateDict::open(&path).unwrap().read(["0.weight"]).unwrap_err();
    assert!(
        problem.contains("`0.weight`") && problem.contains("check sum"),
        "{problem}"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_a_pickle_or_none(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(pickle) = Pickle::read(&bytes) {
            prop_assert!(pickle.length <= bytes.len());
            let _ = pytorch::PickledTensors::of(&pickle);
        }
    }

    /// Of the instructions that pickles of PyTorch's are made of, in any order.
    #[test]
    fn any_instructions_are_a_pickle_or_none(
        codes in prop::collection::vec(
            prop::sample::select(b"()]}NMKJXUqhrjtRaeusbQc.0123\x81\x85\x86\x87\x88\x89\x8a\x93\x94".to_vec()), 0..200,
        )
    ) {
        if let Ok(pickle) = Pickle::read(&codes) {
            let _ = pytorch::PickledTensors::of(&pickle);
        }
    }
}
