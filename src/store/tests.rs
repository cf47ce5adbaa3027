//! What the store promises, with several processes where that matters.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "child processes speak to their test, and skipped tests say why"
)]

mod collections;

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::*;

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

fn fingerprint(name: &str) -> Fingerprint {
    Digest::of_bytes(name.as_bytes())
}

fn lease(store: &Store, name: &str) -> Lease {
    match store.lease(&fingerprint(name), &|| false, &|| {}).unwrap() {
        Leased::Lease(lease) => lease,
        other => panic!("{other:?}"),
    }
}

/// Makes a result with these files.
fn make(store: &Store, name: &str, files: &[(&str, &str)]) -> Action {
    let lease = lease(store, name);
    for (path, text) in files {
        let path = lease.output().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let metrics = [("size".to_owned(), 0.1)].into();
    lease
        .commit(Commit {
            key: json!({"name": name}),
            metrics,
            made: json!({"by": "test"}),
        })
        .unwrap()
}

fn object_of(store: &Store, text: &str) -> PathBuf {
    store.object_path(&Digest::of_bytes(text.as_bytes()))
}

/// Changes a file as somebody careless would, permissions notwithstanding.
fn spoil(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

fn quarantined(store: &Store) -> usize {
    fs::read_dir(store.root().join("quarantine")).map_or(0, Iterator::count)
}

#[test]
fn a_result_is_found_again_and_its_work_is_cleared() {
    let (_folder, store) = store();
    assert_eq!(store.look_up(&fingerprint("a")).unwrap(), Lookup::Miss);
    let action = make(&store, "a", &[("x", "one"), ("f/y", "two"), ("f/z", "one")]);
    assert_eq!((action.entries, action.bytes), (3, 9));
    assert_eq!(action.key.value(), json!({"name": "a"}));
    assert_eq!(
        store.look_up(&fingerprint("a")).unwrap(),
        Lookup::Hit(Box::new(action.clone()))
    );
    assert!(!store.work_path(&fingerprint("a")).exists());
    assert_eq!(store.read_file(&action.artifact, "f/y").unwrap(), b"two");
    let missing = store.read_file(&action.artifact, "g").unwrap_err().to_string();
    assert!(missing.contains("has no `g`; it has `f`, `x`"), "{missing}");

    // Another store on the same folder sees the same.
    let again = Store::open(store.root()).unwrap();
    assert_eq!(
        again.look_up(&fingerprint("a")).unwrap(),
        Lookup::Hit(Box::new(action.clone()))
    );
    assert!(
        matches!(again.lease(&fingerprint("a"), &|| false, &|| {}).unwrap(), Leased::Known(known) if known == action)
    );
    assert_eq!(again.actions().unwrap(), [action]);
    let report = again.verify().unwrap();
    assert_eq!((report.objects, report.actions, report.problems), (3, 1, vec![]));
}

#[test]
fn equal_trees_have_equal_artifacts() {
    let (_folder, store) = store();
    let files = [("x", "one"), ("f/y", "two")];
    let first = make(&store, "a", &files);
    assert_eq!(make(&store, "b", &files).artifact, first.artifact);
    assert_ne!(
        make(&store, "c", &[("x", "one"), ("f/z", "two")]).artifact,
        first.artifact
    );
    let input = store.root().parent().unwrap().join("input");
    store.materialise(&first.artifact, None, &input).unwrap();
    assert_eq!(store.input_digest(&input).unwrap(), first.artifact);
    let manifest = store.manifest(&first.artifact).unwrap();
    assert_eq!(
        store.input_digest(&input.join("f")).unwrap(),
        manifest.content_digest_at("f").unwrap()
    );
    assert_eq!(
        store.input_digest(&input.join("x")).unwrap(),
        Digest::of_bytes(b"one")
    );
}

#[test]
fn executables_and_empty_folders_are_kept() {
    let (folder, store) = store();
    let lease = lease(&store, "a");
    fs::create_dir_all(lease.output().join("e/mpty")).unwrap();
    for (name, mode) in [("run", 0o755), ("data", 0o644)] {
        fs::write(lease.output().join(name), "same").unwrap();
        fs::set_permissions(lease.output().join(name), Permissions::from_mode(mode)).unwrap();
    }
    let action = lease.commit(Commit::default()).unwrap();
    let target = folder.path().join("target");
    store.materialise(&action.artifact, None, &target).unwrap();
    assert!(target.join("e/mpty").is_dir());
    let mode = |name: &str| fs::metadata(target.join(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("run"), mode("data")), (0o555, 0o444));
    assert_eq!(store.input_digest(&target).unwrap(), action.artifact);
}

#[test]
fn parts_are_materialised() {
    let (folder, store) = store();
    let action = make(&store, "a", &[("x", "one"), ("f/g/y", "two")]);
    store
        .materialise(&action.artifact, Some("f/g"), &folder.path().join("g"))
        .unwrap();
    assert_eq!(fs::read(folder.path().join("g/y")).unwrap(), b"two");
    store
        .materialise(&action.artifact, Some("f/g/y"), &folder.path().join("y"))
        .unwrap();
    assert_eq!(fs::read(folder.path().join("y")).unwrap(), b"two");
    let error = store
        .materialise(&action.artifact, Some("h"), &folder.path().join("h"))
        .unwrap_err();
    assert!(error.to_string().contains("has no `h`"), "{error}");
}

#[test]
fn many_files_go_in_and_out() {
    let (folder, store) = store();
    let lease = lease(&store, "a");
    for number in 0..600 {
        let path = lease.output().join(format!("{}/{number}", number % 7));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{}", number / 2)).unwrap();
    }
    let action = lease.commit(Commit::default()).unwrap();
    assert_eq!(
        store.look_up(&fingerprint("a")).unwrap(),
        Lookup::Hit(Box::new(action.clone()))
    );
    let target = folder.path().join("target");
    let laid_out = store.materialise(&action.artifact, None, &target).unwrap();
    assert_eq!(store.input_digest(&target).unwrap(), action.artifact);
    assert_eq!(store.changed_inputs(&laid_out).unwrap(), []);
}

#[test]
fn links_in_an_output_become_files() {
    let (folder, store) = store();
    let lease = lease(&store, "a");
    let theirs = folder.path().join("theirs");
    fs::write(&theirs, "theirs").unwrap();
    fs::write(lease.output().join("x"), "one").unwrap();
    std::os::unix::fs::symlink("x", lease.output().join("y")).unwrap();
    fs::hard_link(&theirs, lease.output().join("z")).unwrap();
    let action = lease.commit(Commit::default()).unwrap();
    assert_eq!(store.read_file(&action.artifact, "y").unwrap(), b"one");
    assert_eq!(store.read_file(&action.artifact, "z").unwrap(), b"theirs");
    // The file outside did not become part of the store.
    assert_eq!(fs::metadata(&theirs).unwrap().nlink(), 1);
    fs::write(&theirs, "changed").unwrap();
    assert_eq!(store.verify().unwrap().problems, []);
}

#[test]
fn flipped_truncated_and_deleted_objects_are_found_and_made_again() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage, &str); 3] = [
        (
            "flip",
            |path| spoil(path, |bytes| bytes[1] ^= 1),
            "its content has the digest",
        ),
        (
            "truncate",
            |path| spoil(path, |bytes| bytes.truncate(1)),
            "it has 1 bytes instead of 3",
        ),
        ("delete", |path| fs::remove_file(path).unwrap(), ""),
    ];
    for (name, damage, why) in damages {
        let (_folder, store) = store();
        let action = make(&store, "a", &[("f/x", "one"), ("y", "two")]);
        let object = object_of(&store, "one");
        damage(&object);
        match store.look_up(&fingerprint("a")).unwrap() {
            Lookup::Corrupt { what } => {
                assert!(
                    name != "delete" && what.contains(why) && what.contains("`f/x`"),
                    "{what}"
                );
            }
            Lookup::Evicted { what } => assert!(name == "delete" && what.contains("`f/x`"), "{what}"),
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(quarantined(&store), usize::from(name != "delete"));
        assert!(store.read_file(&action.artifact, "f/x").is_err());
        // Made again, all is well.
        assert_eq!(make(&store, "a", &[("f/x", "one"), ("y", "two")]), action);
        assert_eq!(
            store.look_up(&fingerprint("a")).unwrap(),
            Lookup::Hit(Box::new(action))
        );
    }
}

#[test]
fn damaged_manifests_and_actions_are_found_and_made_again() {
    let (_folder, store) = store();
    let action = make(&store, "a", &[("x", "one")]);
    spoil(&store.object_path(&action.artifact), |bytes| bytes[20] ^= 1);
    assert!(
        matches!(store.look_up(&fingerprint("a")).unwrap(), Lookup::Corrupt { what } if what.contains("manifest"))
    );
    assert_eq!(make(&store, "a", &[("x", "one")]), action);

    for garbage in [&b""[..], b"garbage", b"{\"version\":1}", &[0; 4096]] {
        fs::write(store.action_path(&fingerprint("a")), garbage).unwrap();
        let Lookup::Corrupt { what } = store.look_up(&fingerprint("a")).unwrap() else {
            panic!()
        };
        assert!(what.contains("action file"), "{what}");
        assert_eq!(store.look_up(&fingerprint("a")).unwrap(), Lookup::Miss);
        assert_eq!(make(&store, "a", &[("x", "one")]), action);
    }
    // Another result's action does not pass either.
    make(&store, "b", &[("x", "two")]);
    fs::copy(
        store.action_path(&fingerprint("b")),
        store.action_path(&fingerprint("a")),
    )
    .unwrap();
    assert!(matches!(
        store.look_up(&fingerprint("a")).unwrap(),
        Lookup::Corrupt { .. }
    ));
}

#[test]
fn a_touched_object_is_hashed_and_trusted_again() {
    let (_folder, store) = store();
    let action = make(&store, "a", &[("x", "one")]);
    let object = object_of(&store, "one");
    spoil(&object, |_| {});
    assert!(!object::has_verified_time(
        &fs::metadata(&object).unwrap(),
        &Digest::of_bytes(b"one")
    ));
    assert_eq!(
        store.look_up(&fingerprint("a")).unwrap(),
        Lookup::Hit(Box::new(action))
    );
    assert!(object::has_verified_time(
        &fs::metadata(&object).unwrap(),
        &Digest::of_bytes(b"one")
    ));
    assert_eq!(quarantined(&store), 0);
}

#[test]
fn verify_finds_what_the_times_hide() {
    let (_folder, store) = store();
    make(&store, "a", &[("x", "one")]);
    let object = object_of(&store, "one");
    spoil(&object, |bytes| bytes[0] ^= 1);
    object::set_verified_time(&object, &Digest::of_bytes(b"one")).unwrap();
    assert!(matches!(
        store.look_up(&fingerprint("a")).unwrap(),
        Lookup::Hit(_)
    ));
    let report = store.verify().unwrap();
    assert_eq!(report.problems.len(), 2, "{report:?}");
    assert!(matches!(
        store.look_up(&fingerprint("a")).unwrap(),
        Lookup::Evicted { .. }
    ));
}

#[test]
fn after_a_reboot_unflushed_results_are_hashed_once() {
    let (_folder, store) = store();
    let path = store.action_path(&fingerprint("a"));
    let of_another_boot = |action: &Action| {
        let action = Action {
            boot: Some("another".to_owned()),
            ..action.clone()
        };
        fs::write(&path, action::encode(&action)).unwrap();
    };
    let action = make(&store, "a", &[("x", "one")]);
    assert_eq!(action.boot.as_deref(), boot());
    of_another_boot(&action);
    assert!(matches!(
        store.look_up(&fingerprint("a")).unwrap(),
        Lookup::Hit(_)
    ));
    let Lookup::Hit(settled) = store.look_up(&fingerprint("a")).unwrap() else {
        panic!()
    };
    assert_eq!(settled.boot, None);
    // A torn object is found although its size and time are right.
    of_another_boot(&action);
    let object = object_of(&store, "one");
    spoil(&object, |bytes| bytes.fill(0));
    object::set_verified_time(&object, &Digest::of_bytes(b"one")).unwrap();
    assert!(matches!(
        store.look_up(&fingerprint("a")).unwrap(),
        Lookup::Corrupt { .. }
    ));
}

#[test]
fn a_long_lease_is_flushed() {
    let (_folder, store) = store();
    for count in [1, 20] {
        let name = count.to_string();
        let lease = lease(&store, &name);
        for number in 0..count {
            fs::write(
                lease.output().join(number.to_string()),
                format!("{count} {number}"),
            )
            .unwrap();
        }
        std::thread::sleep(Duration::from_millis(1010));
        assert_eq!(lease.commit(Commit::default()).unwrap().boot, None);
        assert!(matches!(
            store.look_up(&fingerprint(&name)).unwrap(),
            Lookup::Hit(_)
        ));
    }
}

#[test]
fn changed_inputs_are_found_and_do_not_poison_the_store() {
    let (folder, store) = store();
    let action = make(&store, "a", &[("x", "one"), ("y", "two"), ("z", "three")]);
    let target = folder.path().join("target");
    let laid_out = store.materialise(&action.artifact, None, &target).unwrap();
    assert_eq!(store.changed_inputs(&laid_out).unwrap(), []);
    let shared = fs::metadata(target.join("x")).unwrap().ino()
        == fs::metadata(object_of(&store, "one")).unwrap().ino();
    spoil(&target.join("x"), |bytes| bytes[0] ^= 1);
    fs::remove_file(target.join("y")).unwrap();
    fs::write(target.join("y"), "new").unwrap();
    fs::remove_file(target.join("z")).unwrap();
    let changed = store.changed_inputs(&laid_out).unwrap();
    let expected = [("x", shared), ("y", false)];
    assert_eq!(
        changed
            .iter()
            .map(|change| (change.path.as_str(), change.reached_store))
            .collect::<Vec<_>>(),
        expected
    );
    assert_eq!(
        matches!(store.look_up(&fingerprint("a")).unwrap(), Lookup::Hit(_)),
        !shared
    );
}

#[test]
fn an_abandoned_lease_keeps_scratch_and_log_only() {
    let (_folder, store) = store();
    let first = lease(&store, "a");
    fs::write(first.scratch().join("checkpoint"), "c").unwrap();
    fs::write(first.output().join("half"), "h").unwrap();
    fs::write(first.inputs().join("in"), "i").unwrap();
    fs::write(first.log(), "l").unwrap();
    assert!(store.scratch_exists(&fingerprint("a")));
    drop(first);
    let second = lease(&store, "a");
    assert_eq!(fs::read(second.scratch().join("checkpoint")).unwrap(), b"c");
    assert_eq!(fs::read(second.log()).unwrap(), b"l");
    assert_eq!(fs::read_dir(second.output()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(second.inputs()).unwrap().count(), 0);
    let action = second.commit(Commit::default()).unwrap();
    assert_eq!(action.entries, 0);
    assert!(!store.scratch_exists(&fingerprint("a")));
}

#[test]
fn what_a_killed_process_left_of_a_known_result_is_cleared_away() {
    let (_folder, store) = store();
    let work = |name: &str| store.work_path(&fingerprint(name));
    for name in ["known", "unknown"] {
        fs::create_dir_all(work(name).join("scratch/run-1")).unwrap();
        fs::write(work(name).join("lock"), "").unwrap();
    }
    let held = fs::File::open(work("known").join("lock")).unwrap();
    held.lock().unwrap();
    let scratch = fs::metadata(work("known").join("scratch"))
        .unwrap()
        .modified()
        .unwrap();
    let action = store.action_path(&fingerprint("known"));
    fs::create_dir_all(action.parent().unwrap()).unwrap();
    let made = |time| {
        let file = fs::File::create(&action).unwrap();
        file.set_modified(time).unwrap();
    };
    made(scratch + Duration::from_secs(1));
    store.tidy();
    assert!(work("known").exists(), "it is held");
    drop(held);
    // A later try of the same, and one of what is not known, may be gone on with.
    made(scratch - Duration::from_secs(1));
    store.tidy();
    assert!(work("known").exists() && work("unknown").exists());
    made(scratch + Duration::from_secs(1));
    store.tidy();
    assert!(!work("known").exists() && work("unknown").exists());
}

#[test]
fn an_output_that_cannot_be_kept_is_no_result() {
    let (_folder, store) = store();
    let lease = lease(&store, "a");
    fs::write(lease.scratch().join("checkpoint"), "c").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", lease.output().join("x")).unwrap();
    assert!(matches!(
        lease.commit(Commit::default()).unwrap_err(),
        StoreError::Unkeepable { .. }
    ));
    assert_eq!(store.look_up(&fingerprint("a")).unwrap(), Lookup::Miss);
    assert!(store.scratch_exists(&fingerprint("a")));
}

#[test]
fn forced_leases_ignore_what_was_known_before() {
    let (_folder, store) = store();
    make(&store, "a", &[("x", "one")]);
    let forced = || store.lease_forced(&fingerprint("a"), &|| false, &|| {}).unwrap();
    let Leased::Lease(first) = forced() else { panic!() };
    let waiting = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let wait = || waiting.store(true, Ordering::SeqCst);
            store.lease_forced(&fingerprint("a"), &|| false, &wait).unwrap()
        });
        while !waiting.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        fs::write(first.output().join("x"), "two").unwrap();
        let made = first.commit(Commit::default()).unwrap();
        // The other one asked before it was made, so it counts.
        assert!(matches!(second.join().unwrap(), Leased::Known(known) if known == made));
    });
    assert!(matches!(forced(), Leased::Lease(_)));
}

#[test]
fn waiting_stops_when_asked() {
    let (_folder, store) = store();
    let _held = lease(&store, "a");
    let (waits, stops) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stop = || stops.fetch_add(1, Ordering::SeqCst) > 3;
    let wait = || {
        waits.fetch_add(1, Ordering::SeqCst);
    };
    assert!(matches!(
        store.lease(&fingerprint("a"), &stop, &wait).unwrap(),
        Leased::Stopped
    ));
    assert_eq!(waits.into_inner(), 1);
}

#[test]
fn threads_make_each_result_once() {
    let (_folder, store) = store();
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for number in 0..60 {
                    let name = number.to_string();
                    if let Leased::Lease(lease) = store.lease(&fingerprint(&name), &|| false, &|| {}).unwrap()
                    {
                        fs::write(lease.output().join("x"), &name).unwrap();
                        made.fetch_add(1, Ordering::SeqCst);
                        lease.commit(Commit::default()).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(made.into_inner(), 60);
    assert_eq!(store.verify().unwrap().problems, []);
    let work = store.root().join("work");
    drop(store);
    assert_eq!(fs::read_dir(work).unwrap().count(), 0);
}

#[test]
fn a_store_that_others_are_making_opens() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..60 {
        let root = folder.path().join(round.to_string());
        let barrier = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    let store = Store::open(&root).unwrap();
                    fs::create_dir_all(store.root().join("sweeps")).unwrap();
                });
            }
        });
    }
}

/// Not a test by itself: what the other processes of the tests below do.
#[test]
fn child() {
    let Ok(task) = std::env::var("ERLEN_STORE_TEST_TASK") else {
        return;
    };
    let root = PathBuf::from(std::env::var_os("ERLEN_STORE_TEST_ROOT").unwrap());
    let store = Store::open(&root).unwrap();
    match task.as_str() {
        "hold" => {
            let _lease = lease(&store, "a");
            println!("held");
            std::thread::sleep(Duration::from_secs(60));
        }
        "make" => {
            for number in 0..80 {
                let name = number.to_string();
                if let Leased::Lease(lease) = store.lease(&fingerprint(&name), &|| false, &|| {}).unwrap() {
                    fs::write(lease.output().join("own"), &name).unwrap();
                    fs::write(lease.output().join("shared"), (number / 8).to_string()).unwrap();
                    println!("made {name}");
                    lease.commit(Commit::default()).unwrap();
                }
            }
        }
        other => panic!("{other}"),
    }
}

fn spawn(store: &Store, task: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::child", "--nocapture"])
        .env("ERLEN_STORE_TEST_TASK", task)
        .env("ERLEN_STORE_TEST_ROOT", store.root())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn processes_make_each_result_once() {
    let (_folder, store) = store();
    let children: Vec<Child> = (0..8).map(|_| spawn(&store, "make")).collect();
    let mut made = 0;
    for mut child in children {
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().success(), "{text}");
        made += text.matches("made ").count();
    }
    assert_eq!(made, 80);
    let report = store.verify().unwrap();
    assert_eq!((report.actions, report.problems), (80, vec![]));
}

#[test]
fn a_killed_holder_frees_its_lease() {
    let (_folder, store) = store();
    let mut child = spawn(&store, "hold");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("held")));
    let killed = AtomicBool::new(false);
    let wait = || killed.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !killed.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            child.kill().unwrap();
            child.wait().unwrap();
        });
        let begin = Instant::now();
        assert!(matches!(
            store.lease(&fingerprint("a"), &|| false, &wait).unwrap(),
            Leased::Lease(_)
        ));
        assert!(begin.elapsed() < Duration::from_secs(20));
    });
}

#[test]
fn killed_anywhere_nothing_wrong_is_left() {
    let (_folder, store) = store();
    for round in 0..25u64 {
        let mut child = spawn(&store, "make");
        std::thread::sleep(Duration::from_micros(3_000 + round * 700));
        child.kill().unwrap();
        child.wait().unwrap();
        for action in store.actions().unwrap() {
            assert_eq!(
                store.look_up(&action.fingerprint).unwrap(),
                Lookup::Hit(Box::new(action))
            );
        }
    }
    assert_eq!(store.verify().unwrap().problems, []);
    let mut child = spawn(&store, "make");
    assert!(
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut String::new())
            .is_ok()
    );
    assert!(child.wait().unwrap().success());
    let report = store.verify().unwrap();
    assert_eq!((report.actions, report.problems), (80, vec![]));
    // What was half done was taken over; what was done but not cleared may stay until it is asked for.
    for number in 0..80 {
        let Lookup::Hit(action) = store.look_up(&fingerprint(&number.to_string())).unwrap() else {
            panic!()
        };
        assert_eq!(
            store.read_file(&action.artifact, "own").unwrap(),
            number.to_string().as_bytes()
        );
    }
}

#[test]
fn input_digests_are_remembered_until_a_file_changes() {
    let (folder, store) = store();
    let input = folder.path().join("input");
    fs::create_dir(&input).unwrap();
    let (a, b) = (input.join("a"), input.join("b"));
    fs::write(&a, "one").unwrap();
    fs::write(&b, "two").unwrap();
    std::thread::sleep(Duration::from_millis(60));
    let first = store.input_digest(&input).unwrap();
    let rows = |what: &str| -> i64 {
        let database = rusqlite::Connection::open(store.root().join("erlen.db")).unwrap();
        database
            .query_row(&format!("SELECT count(*) FROM input_digests {what}"), [], |row| {
                row.get(0)
            })
            .unwrap()
    };
    assert_eq!(rows(""), 2);
    // That the memory is used shows when it is wrong.
    let wrong = Digest::of_bytes(b"wrong");
    rusqlite::Connection::open(store.root().join("erlen.db"))
        .unwrap()
        .execute(
            "UPDATE input_digests SET digest = ?1 WHERE path LIKE '%a'",
            [wrong.to_string()],
        )
        .unwrap();
    assert_eq!(
        store.input_digests(&[&a, &b]).unwrap(),
        [wrong, Digest::of_bytes(b"two")]
    );
    // A change within the same size is seen, even when its time is set back.
    let modified = fs::metadata(&a).unwrap().modified().unwrap();
    fs::write(&a, "ONE").unwrap();
    fs::File::options()
        .write(true)
        .open(&a)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    assert_eq!(store.input_digest(&a).unwrap(), Digest::of_bytes(b"ONE"));
    assert_ne!(store.input_digest(&input).unwrap(), first);
    // A file that was changed a moment ago is hashed but not remembered.
    fs::write(&b, "new").unwrap();
    assert_eq!(store.input_digest(&b).unwrap(), Digest::of_bytes(b"new"));
    fs::write(&b, "NEW").unwrap();
    assert_eq!(store.input_digest(&b).unwrap(), Digest::of_bytes(b"NEW"));
}

#[test]
fn a_broken_cache_costs_only_time() {
    let (folder, store) = store();
    fs::write(
        store.root().join("erlen.db"),
        "this is no database, however long one looks at it",
    )
    .unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "one").unwrap();
    assert_eq!(store.input_digest(&file).unwrap(), Digest::of_bytes(b"one"));
    let error = store
        .input_digest(&folder.path().join("nothing"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("nothing"), "{error}");
}

#[test]
fn only_stores_of_this_version_open() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    Store::open(&root).unwrap();
    fs::write(root.join("format"), "erlen store 99\n").unwrap();
    let error = Store::open(&root).unwrap_err().to_string();
    assert!(
        error.contains("says `erlen store 99`") && error.contains("ERLEN_STORE"),
        "{error}"
    );

    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("thesis.tex"), "").unwrap();
    let error = Store::open(&home).unwrap_err().to_string();
    assert!(error.contains("thesis.tex"), "{error}");

    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(Store::open(&file.join("store")).is_err());
}

#[test]
fn a_store_that_cannot_be_written_still_answers() {
    let (_folder, store) = store();
    let action = make(&store, "a", &[("x", "one")]);
    let work = store.root().join("work");
    fs::set_permissions(&work, Permissions::from_mode(0o555)).unwrap();
    let probe = work.join("probe");
    if fs::create_dir(&probe).is_ok() {
        eprintln!("skipped: permissions do not bind this user");
        return;
    }
    assert_eq!(
        store.look_up(&fingerprint("a")).unwrap(),
        Lookup::Hit(Box::new(action))
    );
    let error = store.lease(&fingerprint("b"), &|| false, &|| {}).unwrap_err();
    assert!(
        matches!(error, StoreError::ReadOnly { .. }) && error.to_string().contains("ERLEN_STORE"),
        "{error}"
    );
    fs::set_permissions(&work, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_full_disk_is_named_and_leaves_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("small disk");
    fs::create_dir(&place).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(&place)
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this user cannot mount a small disk");
        return;
    }
    let unmount = Unmount(place.clone());
    let store = Store::open(&place.join("store")).unwrap();
    let first = make(&store, "a", &[("x", "one")]);
    let ballast = place.join("ballast");
    // From no room at all to room for all but the last file: whatever step it is that fails.
    let mut failures = 0;
    for room in 0..12 {
        let name = format!("b{room}");
        let attempt = || -> Result<Action, StoreError> {
            let Leased::Lease(lease) = store.lease(&fingerprint(&name), &|| false, &|| {})? else {
                panic!()
            };
            let lease_output = lease.output().join("y");
            fs::write(&lease_output, &name).map_err(writing("write", &lease_output))?;
            lease.commit(Commit::default())
        };
        let _ = fs::write(&ballast, vec![0; 1 << 20]);
        let full = fs::metadata(&ballast).unwrap().len();
        fs::File::options()
            .write(true)
            .open(&ballast)
            .unwrap()
            .set_len(full - full.min(room * 4096))
            .unwrap();
        match attempt() {
            Ok(_) => {}
            Err(error) => {
                failures += 1;
                assert!(matches!(error, StoreError::Full { .. }), "{error}");
                assert!(error.to_string().contains("the disk is full"), "{error}");
                assert_eq!(store.look_up(&fingerprint(&name)).unwrap(), Lookup::Miss);
            }
        }
        assert_eq!(
            store.look_up(&fingerprint("a")).unwrap(),
            Lookup::Hit(Box::new(first.clone()))
        );
        fs::remove_file(&ballast).unwrap();
        if store.look_up(&fingerprint(&name)).unwrap() == Lookup::Miss {
            attempt().unwrap();
        }
        assert_eq!(store.verify().unwrap().problems, []);
    }
    assert!(failures > 2, "{failures}");
    drop(unmount);
}

/// Takes a mounted disk away again.
struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
