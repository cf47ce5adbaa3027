//! Tests of rows, targets and batches.

use std::collections::BTreeMap;

use super::testing::{TinyTarget, TinyText, write_texts};
use super::*;
use crate::data::{ArrayValues, Dataset, SampleOrder, Split};
use crate::random::{Purpose, Stream};
use crate::schema::NO_CLASS;
use crate::spec::PackedDocuments::{Joined, Separate};
use crate::spec::SplitName;

/// Texts of so many tokens, each token being its place among all of them.
fn texts(lengths: &[u32]) -> Split {
    let mut next = 0;
    let texts = lengths.iter().map(|length| {
        let tokens: Vec<u32> = (next..next + length).collect();
        next += length;
        (SplitName::Train, TinyText::document(&tokens))
    });
    let texts: Vec<_> = texts.collect();
    split_of(&texts)
}

fn split_of(texts: &[(SplitName, TinyText)]) -> Split {
    let folder = tempfile::tempdir().unwrap();
    write_texts(folder.path(), 5000, texts);
    Dataset::open(folder.path())
        .unwrap()
        .split(SplitName::Train)
        .unwrap()
}

fn config(rows: RowRule) -> TextLoaderConfig {
    TextLoaderConfig {
        rows,
        goal: TextGoal::NextToken,
        batch_size: 4,
        batch_tokens: None,
        order: SampleOrder::Shuffled,
        seed: 3,
        target_scale: None,
    }
}

fn collect(loader: &TextLoader, pass: u32) -> Vec<TextBatch> {
    loader.pass(pass, 0).map(Result::unwrap).collect()
}

fn classes(batch: &TextBatch) -> &[u32] {
    match &batch.targets.values {
        ArrayValues::U32(classes) => classes,
        other => panic!("{other:?}"),
    }
}

/// Each predicted token with how many tokens of its own sequence stand before it.
fn predicted(batches: &[TextBatch]) -> BTreeMap<u32, usize> {
    let mut found = BTreeMap::new();
    for batch in batches {
        assert_eq!(batch.ids.len(), classes(batch).len());
        assert_eq!(batch.offsets.len(), batch.keys.len() + 1);
        assert_eq!(batch.ends.last(), batch.offsets.last());
        for pair in batch.offsets.windows(2) {
            for at in pair[0]..pair[1] {
                let (id, class) = (batch.ids[at], classes(batch)[at]);
                if class != NO_CLASS {
                    assert_eq!(class, id + 1, "the next one");
                    assert_eq!(found.insert(class, at - pair[0] + 1), None, "{class} twice");
                }
            }
        }
    }
    found
}

#[test]
fn packed_rows_predict_each_token_once_from_its_own_text() {
    let lengths = [7, 1, 4, 23, 5, 2, 17, 9];
    let split = texts(&lengths);
    let length = 8;
    let loader = TextLoader::new(
        &split,
        config(RowRule::Packed {
            length,
            documents: Separate,
        }),
    )
    .unwrap();
    let batches = collect(&loader, 0);
    let found = predicted(&batches);
    let mut start = 0;
    for length in lengths {
        assert_eq!(found.get(&start), None, "the first token of a text");
        for token in start + 1..start + length {
            // Pieces of a text begin anew.
            assert_eq!(found[&token] as u32, (token - start - 1) % 8 + 1);
        }
        start += length;
    }
    assert_eq!(
        found.len() as u32,
        lengths.iter().map(|length| length - 1).sum::<u32>()
    );
    for batch in &batches {
        let mut start = 0;
        for end in &batch.ends {
            assert!(end - start <= 8, "a row of {}", end - start);
            start = *end;
        }
    }
    // Those of 22 + 16 + 8 + ... fill 8 rows of 8.
    assert_eq!(
        loader.rows(),
        lengths.iter().map(|length| length - 1).sum::<u32>().div_ceil(8) as usize
    );
}

#[test]
fn joined_rows_are_windows_of_the_whole() {
    let split = texts(&[7, 1, 4, 23, 5]);
    let rule = RowRule::Packed {
        length: 8,
        documents: Joined,
    };
    let loader = TextLoader::new(&split, config(rule)).unwrap();
    let found = predicted(&collect(&loader, 1));
    assert_eq!(found.len(), 39);
    assert!((1..40).all(|token: u32| found[&token] as u32 == (token - 1) % 8 + 1));
    assert_eq!((loader.rows(), loader.longest()), (5, 8));
}

#[test]
fn drawn_rows_begin_anywhere() {
    let split = texts(&[7, 1, 4, 23, 5]);
    let rule = |rows| RowRule::Drawn { length: 8, rows };
    let all = |rows: u32, pass: u32| collect(&TextLoader::new(&split, config(rule(rows))).unwrap(), pass);
    let batches = all(400, 0);
    let mut starts = [0; 40];
    for batch in &batches {
        for row in batch.ids.chunks(8) {
            starts[row[0] as usize] += 1;
            assert!(row.windows(2).all(|pair| pair[1] == pair[0] + 1));
        }
        assert!(
            batch
                .ids
                .iter()
                .zip(classes(batch))
                .all(|(id, class)| *class == id + 1)
        );
    }
    // The last token is predicted by the last start.
    assert!(starts[..32].iter().all(|count| *count > 0) && starts[32..].iter().all(|count| *count == 0));
    // More of them begin as fewer do.
    assert_eq!(all(8, 0)[..], batches[..2]);
    let short = TextLoader::new(&texts(&[3, 5]), config(rule(4))).err().unwrap();
    assert!(short.to_string().contains("`pack.length` smaller"), "{short}");
}

#[test]
fn windows_with_a_stride_predict_each_token_once_with_more_before_it() {
    for (lengths, documents) in [
        (vec![50u32], Joined),
        (vec![20, 30], Joined),
        (vec![20, 1, 30, 2], Separate),
    ] {
        let split = texts(&lengths);
        for (window, stride) in [
            (8, 8),
            (8, 3),
            (8, 1),
            (2, 2),
            (2, 1),
            (64, 5),
            (7, 7),
            (10, 10),
            (25, 24),
        ] {
            let rule = RowRule::Strided {
                window,
                stride,
                documents,
            };
            let found = predicted(&collect(&TextLoader::new(&split, config(rule)).unwrap(), 0));
            // The same, told naively.
            let whole: u32 = lengths.iter().sum();
            let parts = if documents == Joined {
                vec![whole]
            } else {
                lengths.clone()
            };
            let mut expected = BTreeMap::new();
            let mut first = 0;
            for length in parts {
                let (mut start, mut done) = (0, 0);
                while done < length {
                    let end = (start + window as u32).min(length);
                    for token in done.max(start + 1)..end {
                        expected.insert(first + token, (token - start) as usize);
                    }
                    done = end;
                    start += stride as u32;
                }
                first += length;
            }
            assert_eq!(found, expected, "{window} {stride} {lengths:?}");
        }
    }
}

#[test]
fn batches_keep_to_their_tokens_and_follow_from_seed_and_pass() {
    let lengths: Vec<u32> = (0..60)
        .map(|index| 3 + Stream::new(1, Purpose::Bootstrap, 0, index).below(30))
        .collect();
    let split = texts(&lengths);
    let of = |most, order| TextLoaderConfig {
        batch_size: 7,
        batch_tokens: Some(most),
        order,
        goal: TextGoal::NextToken,
        ..config(RowRule::Strided {
            window: 100,
            stride: 100,
            documents: Separate,
        })
    };
    let loader = TextLoader::new(&split, of(64, SampleOrder::Shuffled)).unwrap();
    let passes = [0, 1].map(|pass| collect(&loader, pass));
    for batches in &passes {
        assert_eq!(batches.len(), loader.batches());
        assert!(
            batches
                .iter()
                .all(|batch| batch.ids.len() <= 64 && batch.rows.len() <= 7)
        );
        let mut rows: Vec<u32> = batches.iter().flat_map(|batch| batch.rows.clone()).collect();
        rows.sort_unstable();
        assert_eq!(rows, (0..60).collect::<Vec<u32>>());
        // Rows of like lengths stand together.
        for batch in batches {
            let lengths = batch.rows.iter().map(|row| lengths[*row as usize]);
            let (short, long) = (lengths.clone().min().unwrap(), lengths.max().unwrap());
            assert!(long <= short + 9, "{short} with {long}");
        }
    }
    assert_ne!(passes[0], passes[1]);
    assert_eq!(collect(&loader, 0), passes[0]);
    let later: Vec<TextBatch> = loader.pass(0, 3).map(Result::unwrap).collect();
    assert_eq!(later, passes[0][3..]);
    let ordered = TextLoader::new(&split, of(64, SampleOrder::Given)).unwrap();
    let rows: Vec<u32> = collect(&ordered, 0)
        .iter()
        .flat_map(|batch| batch.rows.clone())
        .collect();
    assert_eq!(rows, (0..60).collect::<Vec<u32>>());
    assert!(collect(&ordered, 0).iter().all(|batch| batch.ids.len() <= 64));
    for (most, expected) in [(64, vec![0, 12, 24, 36, 48]), (10_000, vec![0, 12, 24, 36, 48])] {
        let spread = TextLoader::new(&split, of(most, SampleOrder::Spread(5))).unwrap();
        let rows: Vec<Vec<u32>> = collect(&spread, 0).into_iter().map(|batch| batch.rows).collect();
        assert_eq!(
            (rows.concat(), spread.rows(), spread.batches()),
            (expected, 5, rows.len())
        );
    }
    let plain = TextLoaderConfig {
        batch_tokens: None,
        batch_size: 2,
        ..of(64, SampleOrder::Spread(5))
    };
    let spread = TextLoader::new(&split, plain).unwrap();
    let rows: Vec<Vec<u32>> = collect(&spread, 0).into_iter().map(|batch| batch.rows).collect();
    assert_eq!(rows, [vec![0, 12], vec![24, 36], vec![48]]);
    let error = TextLoader::new(&split, of(20, SampleOrder::Shuffled))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("does not fit `batch_tokens: 20`"), "{error}");
    assert_eq!(passes[1].len(), loader.batches());
    for (place, batch) in passes[1].iter().enumerate() {
        assert_eq!(loader.targets(1, place).unwrap(), batch.targets);
    }
}

#[test]
fn a_mask_says_what_is_predicted() {
    let masked = |tokens: &[u32], mask: &[u8]| {
        let text = TinyText {
            tokens: tokens.to_vec(),
            target: TinyTarget::Masked(mask.to_vec()),
        };
        (SplitName::Train, text)
    };
    let split = split_of(&[
        masked(&[0, 1, 2, 3, 4, 5], &[0, 0, 1, 0, 1, 1]),
        masked(&[6, 7, 8], &[1, 0, 0]),
        masked(&[9, 10], &[0, 1]),
    ]);
    let rule = RowRule::Packed {
        length: 4,
        documents: Separate,
    };
    let loader = TextLoader::new(&split, config(rule)).unwrap();
    let found = predicted(&collect(&loader, 0));
    // Of the second text only the first token is learnt, which nothing stands before: the piece is left out.
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [2, 4, 5, 10]);
    let ids: usize = collect(&loader, 0).iter().map(|batch| batch.ids.len()).sum();
    assert_eq!(ids, 4 + 1 + 1);
    let nothing = split_of(&[masked(&[0, 1], &[1, 0])]);
    let error = TextLoader::new(&nothing, config(rule)).err().unwrap().to_string();
    assert!(error.contains("have nothing to predict"), "{error}");
}

#[test]
fn pairs_are_two_sequences_of_a_row() {
    let pair = |tokens: &[u32], first: usize, number: Option<f32>| {
        let target = TinyTarget::Pair(first, number);
        (
            SplitName::Train,
            TinyText {
                tokens: tokens.to_vec(),
                target,
            },
        )
    };
    let pairs = |number: fn(f32) -> Option<f32>| {
        split_of(&[
            pair(&[1, 2, 3, 4], 3, number(0.5)),
            pair(&[5, 6], 1, number(2.0)),
            pair(&[7, 8, 9, 10, 11], 1, number(-1.0)),
        ])
    };
    let loader = |split: &Split| {
        let config = TextLoaderConfig {
            goal: TextGoal::Pairs,
            batch_size: 2,
            order: SampleOrder::Given,
            ..config(RowRule::Texts)
        };
        TextLoader::new(split, config).unwrap()
    };
    let (numbered, matches) = (pairs(Some), pairs(|_| None));
    let own = loader(&numbered);
    assert_eq!((own.rows(), own.batches(), own.longest()), (3, 2, 4));
    let batches = collect(&own, 0);
    assert_eq!(batches[0].ids, [1, 2, 3, 4, 5, 6]);
    assert_eq!(batches[0].offsets, [0, 3, 4, 5, 6]);
    assert_eq!(
        (&batches[0].keys, &batches[1].keys),
        (&vec![0, 1, 2, 3], &vec![4, 5])
    );
    assert_eq!(batches[1].offsets, [0, 1, 5]);
    assert!(batches.iter().all(|batch| batch.segments.is_none()));
    assert_eq!(batches[0].targets.f32(), Some(&[0.5, 2.0][..]));
    let batches = collect(&loader(&matches), 0);
    assert_eq!(batches[0].targets.u32(), Some(&[1, 1][..]));
    // Texts that are read as one are none.
    let joint = split_of(&[(
        SplitName::Train,
        TinyText {
            tokens: vec![1, 2],
            target: TinyTarget::Numbers(vec![1.0]),
        },
    )]);
    let config = TextLoaderConfig {
        goal: TextGoal::Pairs,
        ..config(RowRule::Texts)
    };
    assert!(TextLoader::new(&joint, config).is_err());
}

#[test]
fn whole_samples_keep_their_targets() {
    let tagged = |tokens: &[u32], classes: &[u32]| {
        let text = TinyText {
            tokens: tokens.to_vec(),
            target: TinyTarget::Classes(classes.to_vec()),
        };
        (SplitName::Train, text)
    };
    let split = split_of(&[
        tagged(&[4, 5, 6], &[NO_CLASS, 1, 3]),
        tagged(&[7], &[0]),
        tagged(&[8, 9], &[2, NO_CLASS]),
    ]);
    let options = TextLoaderConfig {
        goal: TextGoal::Tokens,
        order: SampleOrder::Given,
        ..config(RowRule::Texts)
    };
    let loader = TextLoader::new(&split, options.clone()).unwrap();
    let batch = &collect(&loader, 0)[0];
    assert_eq!(batch.ids, [4, 5, 6, 7, 8, 9]);
    assert_eq!(classes(batch), [NO_CLASS, 1, 3, 0, 2, NO_CLASS]);
    assert_eq!(
        (&batch.offsets[..], &batch.keys[..]),
        (&[0, 3, 4, 6][..], &[0, 1, 2][..])
    );
    let wrong = TextLoaderConfig {
        goal: TextGoal::Samples,
        ..options
    };
    assert!(TextLoader::new(&split, wrong).is_err());
}
