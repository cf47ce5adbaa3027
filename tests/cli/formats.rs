//! The committed pipelines of images and tables: on small data in the same layouts, or on the
//! committed data.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::project::Project;

/// A tar.gz of `files`.
fn tar_gz(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

/// A colour that tells the class, with some variation.
fn pixel(class: usize, sample: usize, at: usize) -> u8 {
    ((class * 25 + sample * 7 + at * 3) % 251) as u8
}

fn png(class: usize, sample: usize) -> Vec<u8> {
    let image = image::RgbImage::from_fn(32, 32, |x, y| {
        image::Rgb([
            pixel(class, sample, x as usize),
            pixel(class, sample, y as usize),
            (class * 25) as u8,
        ])
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn image_folder(mut extra: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let mut files = Vec::new();
    for (split, samples) in [("train", 6), ("test", 2)] {
        for class in 0..3 {
            for sample in 0..samples {
                files.push((
                    format!("{split}/class{class}/{sample:04}.png"),
                    png(class, sample),
                ));
            }
        }
    }
    files.append(&mut extra);
    tar_gz(&files)
}

const SMALL: [&str; 6] = [
    "pipelines/image-folder.yaml",
    "--set=archive=images.tar.gz",
    "--set=epochs=1",
    "--set=batch_size=6",
    "--set=lr=0.01",
    "-k",
];

#[test]
fn image_folder_pipeline() {
    let project = Project::new()
        .with_copy("pipelines/image-folder.yaml")
        .with("images.tar.gz", image_folder(Vec::new()));
    project
        .erlen(["run", "--tables=results"].iter().chain(&SMALL))
        .assert_code(0)
        .assert_stderr("5 ran");
    assert!(
        project
            .read("results/image-folder.csv")
            .starts_with("lr,precision,epochs,accuracy")
    );
}

#[test]
fn a_corrupt_image_is_named_and_may_be_skipped() {
    let corrupt = vec![("train/class1/broken.png".to_owned(), png(1, 9)[..200].to_vec())];
    let project = Project::new()
        .with_copy("pipelines/image-folder.yaml")
        .with("images.tar.gz", image_folder(corrupt));
    let arguments: Vec<&str> = SMALL.iter().copied().chain(["data"]).collect();
    project
        .erlen(["run"].iter().chain(&arguments))
        .assert_code(1)
        .assert_stderr("broken.png");
    let text = project.read("pipelines/image-folder.yaml").replace(
        "format: image_folder",
        "format: image_folder\n      on_error: skip",
    );
    project.write("pipelines/image-folder.yaml", text);
    let finished = project.erlen(["run"].iter().chain(&arguments));
    finished.assert_code(0).assert_stderr("broken.png");
}

/// An archive in the layout of CIFAR-10's binary version, with few records.
fn cifar10() -> Vec<u8> {
    let classes = [
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ];
    let records = |first: usize| -> Vec<u8> {
        (first..first + 20)
            .flat_map(|sample| {
                let class = sample % 10;
                std::iter::once(class as u8).chain((0..3072).map(move |at| pixel(class, sample, at)))
            })
            .collect()
    };
    let mut files: Vec<(String, Vec<u8>)> = (1..=5)
        .map(|batch| {
            (
                format!("cifar-10-batches-bin/data_batch_{batch}.bin"),
                records(batch * 100),
            )
        })
        .collect();
    files.push(("cifar-10-batches-bin/test_batch.bin".to_owned(), records(900)));
    let mut names = Vec::new();
    for class in classes {
        writeln!(names, "{class}").unwrap();
    }
    files.push(("cifar-10-batches-bin/batches.meta.txt".to_owned(), names));
    tar_gz(&files)
}

#[test]
fn cifar10_pipeline() {
    let project = Project::new()
        .with_copy("pipelines/cifar10-resnet18.yaml")
        .with("mirror/cifar-10-binary.tar.gz", cifar10());
    // The official archive cannot be had in a test: a mirror stands in for its host, and the
    // checksum is that of the stand-in.
    project.write(
        "erlen.yaml",
        "mirrors: {'https://www.cs.toronto.edu/~kriz/': mirror}\n",
    );
    let text = project.read("pipelines/cifar10-resnet18.yaml");
    let line = text.lines().find(|line| line.contains("sha256:")).unwrap();
    let run = |text: &str, more: &[&str]| {
        project.write("pipelines/cifar10-resnet18.yaml", text);
        let common = [
            "run",
            "pipelines/cifar10-resnet18.yaml",
            "--set=epochs=1",
            "--set=lr=0.01",
            "--tables=results",
        ];
        project.erlen(common.iter().chain(more))
    };
    run(&text, &["raw"])
        .assert_code(1)
        .assert_stderr("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd");
    let unchecked = text
        .replace(&format!("{line}\n"), "")
        .replace("batch_size: 256", "batch_size: 30");
    run(&unchecked, &[]).assert_code(0).assert_stderr("5 ran");
    assert!(project.read("results/cifar10.csv").lines().count() == 2);
}

/// The only stage's file in the store that says how it was made.
#[cfg(target_os = "linux")]
fn action(project: &Project) -> serde_json::Value {
    let shards = std::fs::read_dir(project.path(".erlen/actions")).unwrap();
    let files: Vec<_> = shards
        .flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    serde_json::from_slice(&std::fs::read(&files[0]).unwrap()).unwrap()
}

/// What `key` is, wherever it stands in `value`.
#[cfg(target_os = "linux")]
fn find(value: &serde_json::Value, key: &str) -> Option<serde_json::Value> {
    match value {
        serde_json::Value::Object(fields) => match fields.get(key) {
            Some(found) => Some(found.clone()),
            None => fields.values().find_map(|value| find(value, key)),
        },
        serde_json::Value::Array(items) => items.iter().find_map(|item| find(item, key)),
        _ => None,
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_large_dataset_needs_little_memory() {
    const SIDE: u32 = 2000;
    const COUNT: u32 = 50;
    let gz = |header: &[u32], values: &dyn Fn(&mut dyn Write)| {
        let mut bytes = GzEncoder::new(Vec::new(), Compression::fast());
        bytes.write_all(&[0, 0, 8, header.len() as u8]).unwrap();
        for number in header {
            bytes.write_all(&number.to_be_bytes()).unwrap();
        }
        values(&mut bytes);
        bytes.finish().unwrap()
    };
    let images = gz(&[COUNT, SIDE, SIDE], &|out| {
        for image in 0..COUNT {
            out.write_all(&vec![image as u8; (SIDE * SIDE) as usize]).unwrap();
        }
    });
    let labels = gz(&[COUNT], &|out| {
        for image in 0..COUNT {
            out.write_all(&[(image % 2) as u8]).unwrap();
        }
    });
    let project = Project::new()
        .with("mnist/train-images-idx3-ubyte.gz", images)
        .with("mnist/train-labels-idx1-ubyte.gz", labels)
        .with(
            "p.yaml",
            "stages: {data: {preprocess: {input: ./mnist, format: idx, split: {val: 0.2}}}}\n",
        );
    project.erlen(["run", "p.yaml"]).assert_code(0);
    let peak = find(&action(&project), "peak_memory").unwrap().as_u64().unwrap();
    // The dataset has 200 MB of pixels.
    assert!(peak < 100_000_000, "{peak} bytes");
}

#[test]
fn tabular_pipelines() {
    for (name, data) in [
        ("wine", "datasets/wine.csv"),
        ("diabetes", "datasets/diabetes.csv"),
    ] {
        let file = format!("pipelines/{name}.yaml");
        let project = Project::new().with_copy(&file).with_copy(data);
        project.erlen(["check", &file]).assert_code(0);
        project.erlen(["run", &file, "data"]).assert_code(0);
    }
}
