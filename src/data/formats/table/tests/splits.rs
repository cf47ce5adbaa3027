//! Tests of tables that say how their rows are divided.

use super::*;

/// The numbers in the first feature of each split.
fn members(dataset: &crate::data::Dataset) -> [Vec<u32>; 3] {
    SplitName::ALL.map(|name| {
        let split = dataset.split(name);
        let mut found: Vec<u32> = split
            .iter()
            .flat_map(|split| rows(split).into_iter().map(|(row, _)| row[0] as u32))
            .collect();
        found.sort_unstable();
        found
    })
}

#[test]
fn a_column_says_the_split() {
    let mut bench = Bench::new();
    bench.split.column = Some(CsvColumn::Name("part".into()));
    bench.file(
        "t.csv",
        b"x,part,y\n1,train,5\n2,Validation,6\n3,test,7\n4, training ,8\n",
    );
    let options = format(r#"{"header": true, "task": "regression"}"#);
    let dataset = bench.dataset(&options);
    assert_eq!(members(&dataset), [vec![1, 4], vec![2], vec![3]]);
    assert_eq!(dataset.input().names, ["x"]);
    let mut bench = Bench::new();
    bench.split.column = Some(CsvColumn::Name("part".into()));
    bench.file("t.csv", b"x,part,y\n1,train,5\n2,elsewhere,6\n");
    let told = bench.error(&options);
    assert!(
        told.contains("line 3, column `part`: `elsewhere` is no split"),
        "{told}"
    );
    bench.split.column = Some(CsvColumn::Name("prat".into()));
    let told = bench.error(&options);
    assert!(
        told.contains("no column `prat` (`split.column`)") && told.contains("did you mean `part`?"),
        "{told}"
    );
}

#[test]
fn groups_and_times_decide() {
    let lines: String = (0..60)
        .map(|row| {
            format!(
                "{row},p{},2026-01-{:02},{}\n",
                row % 12,
                row * 7 % 28 + 1,
                row % 2
            )
        })
        .collect();
    let text = format!("x,who,when,label\n{lines}");
    let options = format(r#"{"header": true, "task": "regression", "ignore": ["when"]}"#);
    let mut bench = Bench::new();
    bench.split = shares(0.2, 0.2);
    bench.split.group = Some(CsvColumn::Name("who".into()));
    bench.file("t.csv", text.as_bytes());
    let dataset = bench.dataset(&options);
    assert_eq!(dataset.input().names, ["x"]);
    let sets = members(&dataset);
    let owners = sets.each_ref().map(|set| {
        set.iter()
            .map(|row| row % 12)
            .collect::<std::collections::BTreeSet<u32>>()
    });
    assert_eq!(
        owners.iter().map(std::collections::BTreeSet::len).sum::<usize>(),
        12,
        "{owners:?}"
    );
    assert!(sets.iter().all(|set| set.len() >= 10), "{sets:?}");

    let mut bench = Bench::new();
    bench.split = shares(0.2, 0.2);
    bench.split.order = Some(CsvColumn::Name("when".into()));
    bench.file("t.csv", text.as_bytes());
    let dataset = bench.dataset(&format(
        r#"{"header": true, "task": "regression", "ignore": ["who"]}"#,
    ));
    let days = members(&dataset).map(|set| set.iter().map(|row| row * 7 % 28 + 1).collect::<Vec<u32>>());
    let [train, val, test] = &days;
    assert!(
        train.iter().max() < val.iter().min() && val.iter().max() < test.iter().min(),
        "{days:?}"
    );
}

#[test]
fn files_are_splits_with_one_dictionary() {
    let mut bench = Bench::new();
    bench.split_folders = vec![SplitName::Train, SplitName::Test];
    bench.file("train/a.csv", b"x,colour,label\n1,red,10\n2,blue,9\n3,red,10\n");
    // Other categories, classes and places of the columns.
    bench.file("test/b.csv", b"label,x,colour\n9,4,green\n10,5,red\n");
    let options = format(r#"{"header": true, "label": "label", "categorical": ["colour"]}"#);
    let dataset = bench.dataset(&options);
    assert_eq!(
        dataset.input().names,
        ["x", "colour=blue", "colour=green", "colour=red"]
    );
    assert_eq!(dataset.target().names, ["9", "10"]);
    let test = dataset.split(SplitName::Test).unwrap();
    let mut row = Vec::new();
    test.read_sample(0, &mut row).unwrap();
    assert_eq!(
        (row, label(&test, 0), test.origin(0)),
        (vec![4.0, 0.0, 1.0, 0.0], 0, "b.csv:2".to_owned())
    );
    assert_eq!(dataset.split(SplitName::Train).unwrap().len(), 3);
    let told = bench.notices.lock().unwrap().join("\n");
    let expected =
        "no training sample has these categories of column `colour`, and so many others do: `green` (1);";
    assert!(told.contains(expected) && !told.contains("`blue`"), "{told}");

    let mut bench = Bench::new();
    bench.split_folders = vec![SplitName::Train, SplitName::Test];
    bench.file("train/a.csv", b"x,colour,label\n1,red,10\n2,blue,9\n");
    bench.file("test/b.csv", b"x,color,label\n9,4,green\n");
    let told = bench.error(&options);
    assert!(
        told.contains("b.csv`: its columns are not those of") && told.contains("lacks `colour`"),
        "{told}"
    );
}
