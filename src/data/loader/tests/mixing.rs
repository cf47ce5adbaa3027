//! Tests of mixing.

use super::*;

#[test]
fn each_sample_is_mixed_with_the_next_of_the_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let split = train(&images(folder.path(), 50));
    let mut options = config(&split);
    let plain = collect(&Loader::new(split.clone(), options.clone()).unwrap(), 3, 0);
    options.augment.extend(changes(r#"[{"mixup": {"alpha": 1.0}}]"#));
    let loader = Loader::new(split.clone(), options.clone()).unwrap();
    assert_eq!(loader.schema().target().unwrap().kind, FieldKind::Probabilities);
    let mixed = collect(&loader, 3, 0);
    let order: Vec<u32> = plain.iter().flat_map(|batch| batch.samples.clone()).collect();
    let whole: Vec<&[f32]> = plain.iter().flat_map(|batch| inputs(batch).chunks(192)).collect();
    let mut shares = Vec::new();
    let mut place = 0;
    for (plain, mixed) in plain.iter().zip(&mixed) {
        assert_eq!(plain.samples, mixed.samples);
        let ArrayValues::F32(probabilities) = targets(mixed) else {
            panic!("{mixed:?}");
        };
        assert_eq!(probabilities.len(), 2 * mixed.samples.len());
        for (found, row) in inputs(mixed).chunks(192).zip(probabilities.chunks(2)) {
            let next = (place + 1) % 50;
            let [own, other] = [place, next].map(|place| label(&split, order[place] as usize));
            if own != other {
                // The share of a sample itself shows where its partner has another class.
                let share = row[own as usize];
                assert!((row[other as usize] + share - 1.0).abs() < 1e-6);
                for at in 0..192 {
                    let expected = share * whole[place][at] + (1.0 - share) * whole[next][at];
                    assert!((found[at] - expected).abs() < 1e-4);
                }
                shares.push(share);
            } else {
                assert!((row[own as usize] - 1.0).abs() < 1e-6);
            }
            place += 1;
        }
    }
    assert!(shares.len() > 10);
    assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
    shares.dedup();
    assert!(shares.len() > 10, "samples share draws: {shares:?}");
    // Neither the threads nor where an epoch is taken up matter; another epoch draws anew.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let threads = pool.install(|| Loader::new(split.clone(), options).unwrap());
    assert_eq!(collect(&threads, 3, 0), mixed);
    assert_eq!(collect(&loader, 3, 4), mixed[4..]);
    assert_ne!(collect(&loader, 4, 0), mixed);
}

#[test]
fn mixed_samples_do_not_depend_on_the_batches_that_they_fall_into() {
    let folder = tempfile::tempdir().unwrap();
    let split = train(&images(folder.path(), 50));
    for mixing in [
        r#"[{"mixup": {"alpha": 0.4}}, {"cutmix": {"alpha": 1.0}}]"#,
        r#"[{"cutmix": {"alpha": 1.0}}]"#,
    ] {
        let all = |batch_size: usize| {
            let mut options = config(&split);
            options.augment.extend(changes(mixing));
            options.batch_size = batch_size;
            let batches = collect(&Loader::new(split.clone(), options).unwrap(), 1, 0);
            let shown: Vec<f32> = batches.iter().flat_map(inputs).copied().collect();
            let judged = batches.iter().flat_map(|batch| match targets(batch) {
                ArrayValues::F32(probabilities) => probabilities.clone(),
                other => panic!("{other:?}"),
            });
            (shown, judged.collect::<Vec<f32>>())
        };
        let whole = all(32);
        assert_eq!(whole.0.len(), 50 * 192);
        for batch_size in [1, 7, 16, 50, 64] {
            assert_eq!(all(batch_size), whole, "{batch_size}");
        }
    }
}
