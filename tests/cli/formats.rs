//! The committed image pipelines, on small data in the same layouts.

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
        .erlen(["run"].iter().chain(&SMALL))
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
