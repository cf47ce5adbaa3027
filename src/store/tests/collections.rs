//! What collections remove, and what they leave.

use super::*;

#[test]
fn a_collection_removes_what_nobody_needs() {
    let (_folder, store) = store();
    let needed = make(&store, "needed", &[("x", "shared"), ("y", "own")]);
    make(&store, "old", &[("x", "shared"), ("z", "gone")]);
    fs::create_dir_all(store.root().join("quarantine")).unwrap();
    fs::write(store.root().join("quarantine/damaged"), "??").unwrap();
    let retention = Retention {
        needed: [needed.fingerprint].into(),
        ..Retention::default()
    };
    let dry = store.collect(&retention, false).unwrap();
    assert_eq!(dry.results.len(), 1);
    assert_eq!(dry.results[0].fingerprint, fingerprint("old"));
    // Its own file and its manifest.
    assert_eq!(
        (dry.objects.count, dry.kept.count, dry.quarantine.count),
        (2, 1, 1)
    );
    assert!(matches!(
        store.look_up(&fingerprint("old")).unwrap(),
        Lookup::Hit(_)
    ));
    assert_eq!(store.collect(&retention, true).unwrap(), dry);
    assert!(matches!(
        store.look_up(&fingerprint("old")).unwrap(),
        Lookup::Miss
    ));
    assert!(matches!(
        store.look_up(&fingerprint("needed")).unwrap(),
        Lookup::Hit(_)
    ));
    assert!(!object_of(&store, "gone").exists() && object_of(&store, "shared").exists());
    assert_eq!(quarantined(&store), 0);
    assert_eq!(store.verify().unwrap().problems, []);
    // What is gone is made again.
    make(&store, "old", &[("x", "shared"), ("z", "gone")]);
    assert!(object_of(&store, "gone").exists());
}

#[test]
fn a_quota_takes_the_least_recently_used_and_no_more() {
    let (_folder, store) = store();
    let text = "0123456789".repeat(1000);
    let names = ["a", "b", "c", "d"];
    for name in names {
        make(&store, name, &[("x", &format!("{name}{text}"))]);
    }
    let far = i64::MAX / 2;
    let retention = Retention {
        // `b` was used last.
        last_used: names
            .iter()
            .zip([1, 9, 2, 3])
            .map(|(name, at)| (fingerprint(name), far + at))
            .collect(),
        quota: Some(25_000),
        ..Retention::default()
    };
    let collection = store.collect(&retention, true).unwrap();
    let gone: Vec<Fingerprint> = collection
        .results
        .iter()
        .map(|removed| removed.fingerprint)
        .collect();
    assert_eq!(gone, [fingerprint("a"), fingerprint("c")]);
    assert!(
        (20_000..25_000).contains(&collection.kept.bytes),
        "{collection:?}"
    );
    assert!(store.collect(&retention, true).unwrap().results.is_empty());
    let retention = Retention {
        since: Some(far + 5),
        last_used: retention.last_used,
        ..Retention::default()
    };
    let gone = store.collect(&retention, true).unwrap().results;
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].fingerprint, fingerprint("d"));
}

#[test]
fn a_collection_leaves_what_others_rely_on() {
    let (_folder, collector) = store();
    for name in ["found", "unseen"] {
        make(&collector, name, &[("x", name)]);
    }
    let user = Store::open(collector.root()).unwrap();
    user.rely_on_results();
    assert!(matches!(
        user.look_up(&fingerprint("found")).unwrap(),
        Lookup::Hit(_)
    ));
    make(&user, "made", &[("x", "made")]);
    let collection = collector.collect(&Retention::default(), true).unwrap();
    assert_eq!(collection.processes, 1);
    let gone: Vec<Fingerprint> = collection
        .results
        .iter()
        .map(|removed| removed.fingerprint)
        .collect();
    assert_eq!(gone, [fingerprint("unseen")]);
    drop(user);
    let collection = collector.collect(&Retention::default(), true).unwrap();
    assert_eq!((collection.processes, collection.results.len()), (0, 2));
    assert_eq!(fs::read_dir(collector.root().join("in-use")).unwrap().count(), 0);
}
