use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::event::Metrics;

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

fn fingerprint(name: &str) -> Fingerprint {
    Digest::of_bytes(name.as_bytes())
}

fn granted(store: &Store, name: &str) -> Lease {
    match store
        .lease(&fingerprint(name), &|| false, &|| panic!("waited"))
        .unwrap()
    {
        Leased::Lease(lease) => lease,
        _ => panic!("not granted"),
    }
}

fn commit(store: &Store, name: &str, files: &[(&str, &[u8])]) -> Action {
    let lease = granted(store, name);
    for (path, content) in files {
        let path = lease.output().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let metrics = Metrics::from([("size".to_owned(), files.len() as f64)]);
    lease
        .commit(Commit {
            key: json!({"name": name}),
            metrics,
            made: json!({}),
        })
        .unwrap()
}

fn hit(store: &Store, name: &str) -> Action {
    match store.look_up(&fingerprint(name)).unwrap() {
        Lookup::Hit(action) => action,
        other => panic!("{other:?}"),
    }
}

const FILES: [(&str, &[u8]); 3] = [
    ("a.txt", b"one"),
    ("deep/b.bin", b"two\0"),
    ("deep/same.txt", b"one"),
];

fn object_of(store: &Store, content: &[u8]) -> PathBuf {
    store.shared.objects.path(&Digest::of_bytes(content))
}

#[test]
fn what_is_committed_comes_back() {
    let (folder, store) = store();
    assert_eq!(store.look_up(&fingerprint("x")).unwrap(), Lookup::Miss);
    let action = commit(&store, "x", &FILES);
    assert_eq!((action.entries, action.bytes), (3, 10));
    let reopened = Store::open(store.root()).unwrap();
    assert_eq!(hit(&reopened, "x"), action);
    assert_eq!(hit(&reopened, "x").metrics["size"], 3.0);

    let target = folder.path().join("out");
    store.materialise(&action.artifact, None, &target).unwrap();
    for (path, content) in FILES {
        assert_eq!(fs::read(target.join(path)).unwrap(), content);
    }
    store
        .materialise(&action.artifact, Some("deep"), &folder.path().join("part"))
        .unwrap();
    assert_eq!(fs::read(folder.path().join("part/b.bin")).unwrap(), b"two\0");
    store
        .materialise(
            &action.artifact,
            Some("a.txt"),
            &folder.path().join("single/a.txt"),
        )
        .unwrap();
    assert_eq!(fs::read(folder.path().join("single/a.txt")).unwrap(), b"one");
    assert!(
        store
            .materialise(&action.artifact, Some("dee"), &folder.path().join("no"))
            .is_err()
    );
    assert_eq!(store.read_file(&action.artifact, "deep/b.bin").unwrap(), b"two\0");
    assert!(
        !store
            .root()
            .join("work")
            .join(fingerprint("x").to_string())
            .exists()
    );
    assert_eq!(store.verify().unwrap(), Vec::<String>::new());
}

#[test]
fn equal_trees_are_one_artifact_and_folders_hash_like_artifacts() {
    let (folder, store) = store();
    let first = commit(&store, "x", &FILES);
    let second = commit(&store, "y", &FILES);
    assert_eq!(first.artifact, second.artifact);
    let source = folder.path().join("source");
    for (path, content) in FILES {
        fs::create_dir_all(source.join(path).parent().unwrap()).unwrap();
        fs::write(source.join(path), content).unwrap();
    }
    assert_eq!(store.input_digest(&source).unwrap(), first.artifact);
    let manifest = store.manifest(&first.artifact).unwrap();
    assert_eq!(
        store.input_digest(&source.join("deep")).unwrap(),
        manifest.content_digest_at("deep").unwrap()
    );
    assert_eq!(
        store.input_digest(&source.join("a.txt")).unwrap(),
        manifest.content_digest_at("a.txt").unwrap()
    );
    assert_eq!(manifest.content_digest_at("nowhere"), None);
}

#[test]
fn programs_stay_programs_and_objects_are_read_only() {
    let (folder, store) = store();
    let lease = granted(&store, "x");
    fs::write(lease.output().join("tool"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(lease.output().join("tool"), Permissions::from_mode(0o755)).unwrap();
    let commit = Commit {
        key: json!(null),
        metrics: Metrics::new(),
        made: json!(null),
    };
    let action = lease.commit(commit).unwrap();
    store
        .materialise(&action.artifact, None, &folder.path().join("out"))
        .unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.path().join("out/tool")), 0o555);
    assert_eq!(mode(&object_of(&store, b"#!/bin/sh\n")), 0o444);
}

#[test]
fn damage_is_found_named_quarantined_and_made_anew() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 3] = [
        ("flipped", |path| {
            fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
            let mut bytes = fs::read(path).unwrap();
            bytes[0] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("truncated", |path| {
            let bytes = fs::read(path).unwrap();
            fs::remove_file(path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("deleted", |path| fs::remove_file(path).unwrap()),
    ];
    for (what, harm) in harms {
        let (_folder, store) = store();
        let action = commit(&store, "x", &FILES);
        let manifest_file = store.shared.objects.path(&action.artifact);
        for file in [object_of(&store, b"two\0"), manifest_file] {
            harm(&file);
            match store.look_up(&fingerprint("x")).unwrap() {
                Lookup::Evicted { what: told } => assert_eq!(what, "deleted", "{told}"),
                Lookup::Corrupt { what: told } => {
                    assert_ne!(what, "deleted");
                    assert!(told.contains(&file.display().to_string()), "{told}");
                    assert!(!file.exists());
                }
                other => panic!("{what}: {other:?}"),
            }
            assert_eq!(commit(&store, "x", &FILES).artifact, action.artifact);
            assert_eq!(hit(&store, "x").artifact, action.artifact);
        }
    }
}

#[test]
fn damage_that_leaves_size_and_time_alone_is_found_by_verify_and_never_served() {
    let (folder, store) = store();
    let action = commit(&store, "x", &FILES);
    let object = object_of(&store, b"two\0");
    let time = fs::metadata(&object).unwrap().modified().unwrap();
    fs::set_permissions(&object, Permissions::from_mode(0o644)).unwrap();
    fs::write(&object, b"twx\0").unwrap();
    fs::File::open(&object).unwrap().set_modified(time).unwrap();
    let problems = store.verify().unwrap();
    assert!(problems[0].contains("was damaged"), "{problems:?}");
    assert!(
        store
            .materialise(&action.artifact, None, &folder.path().join("out"))
            .is_err()
    );
}

#[test]
fn a_touched_object_is_hashed_and_trusted_again() {
    let (_folder, store) = store();
    commit(&store, "x", &FILES);
    let object = object_of(&store, b"one");
    fs::File::open(&object)
        .unwrap()
        .set_modified(std::time::SystemTime::now())
        .unwrap();
    hit(&store, "x");
    assert_eq!(
        fs::metadata(&object).unwrap().modified().unwrap(),
        object::mark(&Digest::of_bytes(b"one"))
    );
}

#[test]
fn garbage_in_place_of_an_action_is_quarantined() {
    let (_folder, store) = store();
    let action = commit(&store, "x", &FILES);
    commit(&store, "y", &FILES);
    let path = store.action_path(&fingerprint("x"));
    let good = fs::read_to_string(&path).unwrap();
    let other = fs::read(store.action_path(&fingerprint("y"))).unwrap();
    let tampered = good.replace("\"size\": 3.0", "\"size\": 4.0");
    assert_ne!(good, tampered);
    for garbage in [b"".to_vec(), b"{}".to_vec(), tampered.into_bytes(), other] {
        fs::write(&path, garbage).unwrap();
        let found = store.look_up(&fingerprint("x")).unwrap();
        assert!(
            matches!(&found, Lookup::Corrupt { what } if what.contains("the record")),
            "{found:?}"
        );
        assert_eq!(store.look_up(&fingerprint("x")).unwrap(), Lookup::Miss);
        assert_eq!(commit(&store, "x", &FILES).artifact, action.artifact);
    }
}

#[test]
fn a_lease_excludes_and_its_end_lets_the_next_one_in() {
    let (_folder, store) = store();
    let produced = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(
                || match store.lease(&fingerprint("x"), &|| false, &|| {}).unwrap() {
                    Leased::Lease(lease) => {
                        produced.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(50));
                        fs::write(lease.output().join("f"), "1").unwrap();
                        let made = json!(null);
                        lease
                            .commit(Commit {
                                key: json!(null),
                                metrics: Metrics::new(),
                                made,
                            })
                            .unwrap();
                    }
                    Leased::Known(action) => assert_eq!(action.entries, 1),
                    Leased::Stopped => panic!("stopped"),
                },
            );
        }
    });
    assert_eq!(produced.load(Ordering::SeqCst), 1);
    assert!(
        !store
            .root()
            .join("work")
            .join(fingerprint("x").to_string())
            .exists()
    );

    // Given up without a commit: the next one gets it, with the scratch folder as it was.
    let lease = granted(&store, "y");
    fs::write(lease.scratch().join("checkpoint"), "half").unwrap();
    fs::write(lease.output().join("f"), "half").unwrap();
    drop(lease);
    let lease = granted(&store, "y");
    assert_eq!(fs::read(lease.scratch().join("checkpoint")).unwrap(), b"half");
    assert_eq!(fs::read_dir(lease.output()).unwrap().count(), 0);
    assert_eq!(store.look_up(&fingerprint("y")).unwrap(), Lookup::Miss);

    // Waiting can be called off.
    let begun = Instant::now();
    let stop = || begun.elapsed() > Duration::from_millis(100);
    let told = AtomicUsize::new(0);
    let waiting = || {
        told.fetch_add(1, Ordering::SeqCst);
    };
    assert!(matches!(
        store.lease(&fingerprint("y"), &stop, &waiting).unwrap(),
        Leased::Stopped
    ));
    assert_eq!(told.load(Ordering::SeqCst), 1);
}

#[test]
fn a_lease_lives_as_long_as_a_child_that_inherited_it() {
    let (_folder, store) = store();
    let lease = granted(&store, "x");
    let mut child = std::process::Command::new("sleep")
        .arg("0.4")
        .stdin(lease.lock_file().try_clone().unwrap())
        .spawn()
        .unwrap();
    drop(lease);
    let begun = Instant::now();
    let told = AtomicUsize::new(0);
    let waiting = || {
        told.fetch_add(1, Ordering::SeqCst);
    };
    assert!(matches!(
        store.lease(&fingerprint("x"), &|| false, &waiting).unwrap(),
        Leased::Lease(_)
    ));
    assert!(begun.elapsed() > Duration::from_millis(200));
    assert_eq!(told.load(Ordering::SeqCst), 1);
    child.wait().unwrap();
}

#[test]
fn forced_leases_pass_over_what_was_known() {
    let (_folder, store) = store();
    commit(&store, "x", &FILES);
    assert!(matches!(
        store.lease(&fingerprint("x"), &|| false, &|| {}).unwrap(),
        Leased::Known(_)
    ));
    assert!(matches!(
        store.lease_forced(&fingerprint("x"), &|| false, &|| {}).unwrap(),
        Leased::Lease(_)
    ));
}

#[test]
fn changed_inputs_are_told_and_their_objects_quarantined() {
    let (_folder, store) = store();
    let action = commit(&store, "x", &FILES);
    let lease = granted(&store, "y");
    let inputs = lease.inputs().to_owned();
    store
        .materialise(&action.artifact, None, &inputs.join("IN"))
        .unwrap();
    store
        .materialise(&action.artifact, Some("a.txt"), &inputs.join("FILE/a.txt"))
        .unwrap();
    assert_eq!(store.changed_inputs(&inputs).unwrap(), Vec::<PathBuf>::new());
    let file = inputs.join("IN/deep/b.bin");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    fs::write(&file, b"changed").unwrap();
    assert_eq!(store.changed_inputs(&inputs).unwrap(), [file]);
    assert!(
        !matches!(store.look_up(&fingerprint("x")).unwrap(), Lookup::Hit(_)) || {
            // Where the file system shares blocks and not files, the object is untouched.
            fs::read(object_of(&store, b"two\0")).unwrap() == b"two\0"
        }
    );
}

#[test]
fn links_are_followed_inside_and_refused_outside() {
    let (folder, store) = store();
    let lease = granted(&store, "x");
    fs::write(lease.output().join("real"), "content").unwrap();
    std::os::unix::fs::symlink("real", lease.output().join("link")).unwrap();
    let empty = || Commit {
        key: json!(null),
        metrics: Metrics::new(),
        made: json!(null),
    };
    let action = lease.commit(empty()).unwrap();
    assert_eq!(store.read_file(&action.artifact, "link").unwrap(), b"content");
    assert_eq!(store.read_file(&action.artifact, "real").unwrap(), b"content");

    fs::write(folder.path().join("outside"), "secret").unwrap();
    let lease = granted(&store, "y");
    std::os::unix::fs::symlink(folder.path().join("outside"), lease.output().join("link")).unwrap();
    assert!(
        lease
            .commit(empty())
            .unwrap_err()
            .to_string()
            .contains("leads outside")
    );
    assert_eq!(store.look_up(&fingerprint("y")).unwrap(), Lookup::Miss);
}

#[test]
fn large_inputs_are_hashed_once_until_they_change() {
    let (folder, store) = store();
    let file = folder.path().join("large");
    fs::write(&file, vec![7u8; 1 << 20]).unwrap();
    std::thread::sleep(Duration::from_millis(120));
    let digest = store.input_digest(&file).unwrap();
    assert_eq!(digest, Digest::of_bytes(&vec![7u8; 1 << 20]));
    assert_eq!(store.input_digest(&file).unwrap(), digest);
    fs::write(&file, vec![8u8; 1 << 20]).unwrap();
    assert_eq!(
        store.input_digest(&file).unwrap(),
        Digest::of_bytes(&vec![8u8; 1 << 20])
    );
    // A broken database costs speed and nothing else.
    fs::write(store.root().join("erlen.db"), "garbage").unwrap();
    let reopened = Store::open(store.root()).unwrap();
    assert_eq!(
        reopened.input_digest(&file).unwrap(),
        Digest::of_bytes(&vec![8u8; 1 << 20])
    );
}

#[test]
fn another_layout_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("format"), "erlen store 99\n").unwrap();
    let error = Store::open(folder.path()).err().unwrap().to_string();
    assert!(
        error.contains("erlen store 99") && error.contains("ERLEN_STORE"),
        "{error}"
    );
    fs::write(folder.path().join("file"), "").unwrap();
    assert!(Store::open(&folder.path().join("file/store")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Any tree comes back as it was.
    #[test]
    fn trees_come_back(files in proptest::collection::btree_map("[a-c]{1,2}(/[a-é ]{1,3}){0,2}x", proptest::collection::vec(any::<u8>(), 0..200), 1..12)) {
        let (folder, store) = store();
        let files: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
        let clash = files.iter().any(|(path, _)| files.iter().any(|(other, _)| other.starts_with(&format!("{path}/"))));
        prop_assume!(!clash);
        let action = commit(&store, "x", &files);
        let target = folder.path().join("out");
        store.materialise(&action.artifact, None, &target).unwrap();
        for (path, content) in &files {
            prop_assert_eq!(&fs::read(target.join(path)).unwrap(), content);
        }
        prop_assert_eq!(store.input_digest(&target).unwrap(), action.artifact);
    }
}
