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

/// A table whose group `who` is written by `spelling` in row after row.
fn grouped(spelling: impl Fn(usize) -> String) -> String {
    let lines: String = (0..120)
        .map(|row| format!("{row},{},{}\n", spelling(row), row % 2))
        .collect();
    format!("x,who,label\n{lines}")
}

#[test]
fn a_group_that_is_written_in_several_ways_is_in_one_split() {
    let options = format(r#"{"header": true, "task": "regression"}"#);
    // Each of 12 groups is written in three ways.
    let numbers = |row: usize| {
        [
            format!("{}", row % 12),
            format!("{}.0", row % 12),
            format!("0{}", row % 12),
        ][row / 12 % 3]
            .clone()
    };
    let names = |row: usize| {
        let name = format!("person {}", row % 12);
        [
            name.clone(),
            name.to_uppercase(),
            format!("\u{a0}{} ", name.replace(' ', "\u{a0}")),
        ][row / 12 % 3]
            .clone()
    };
    let places = |text: String| {
        let mut bench = Bench::new();
        bench.split = shares(0.2, 0.2);
        bench.split.group = Some(CsvColumn::Name("who".into()));
        bench.file("t.csv", text.as_bytes());
        let sets = members(&bench.dataset(&options));
        let told = bench.notices.lock().unwrap().join("\n");
        (sets, told)
    };
    for spelling in [&numbers as &dyn Fn(usize) -> String, &names] {
        let (sets, told) = places(grouped(spelling));
        let owners = sets.each_ref().map(|set| {
            set.iter()
                .map(|row| row % 12)
                .collect::<std::collections::BTreeSet<u32>>()
        });
        let count: usize = owners.iter().map(std::collections::BTreeSet::len).sum();
        assert_eq!(count, 12, "{owners:?}");
        assert!(
            told.contains("`split.group`: 12 groups are written in several ways"),
            "{told}"
        );
    }
    // The same groups written alike are in the same splits, and nothing is told.
    let (sets, told) = places(grouped(|row| format!("{}", row % 12)));
    assert_eq!(sets, places(grouped(numbers)).0);
    assert!(!told.contains("split.group"), "{told}");
}

#[test]
fn an_order_of_two_forms_is_refused() {
    let options = format(r#"{"header": true, "task": "regression", "label": "y"}"#);
    let told = |cells: [&str; 4], json: &str| {
        let lines: String = (0..12)
            .map(|row| format!("{row},{},{}\n", cells[row % 4], row % 5))
            .collect();
        let mut bench = Bench::new();
        bench.split = shares(0.2, 0.2);
        bench.split.order = Some(CsvColumn::Name("when".into()));
        bench.on_error = OnError::Skip;
        bench.file("t.csv", format!("x,when,y\n{lines}").as_bytes());
        let options = if json.is_empty() {
            options.clone()
        } else {
            format(json)
        };
        bench
            .prepare(&options)
            .map(|prepared| prepared.skipped)
            .map_err(|error| error.to_string())
    };
    let dates = ["2026-01-01", "2026-01-02", "2026-01-03T10:00:00", "2026-01-04"];
    assert_eq!(told(dates, ""), Ok(0));
    assert_eq!(told(["1", "2", "3.5", "1e3"], ""), Ok(0));
    for (cells, expected) in [
        (
            ["2026-01-01", "2026-01-02", "20260103", "2026-01-04"],
            "t.csv`, line 2 holds a date without a time zone (`2026-01-01`) and ",
        ),
        (
            ["7", "8", "2026-01-03", "9"],
            "write all of them as numbers, or all as dates such as 2026-01-31",
        ),
        (
            ["2026-01-01T00:00Z", "2026-01-02", "2026-01-03", "2026-01-04"],
            "line 3 a date without a time zone (`2026-01-02`)",
        ),
    ] {
        let error = told(cells, "").unwrap_err();
        assert!(
            error.starts_with("`split.order`: ") && error.contains(expected),
            "{error}"
        );
    }
    // Dates of a form of their own are read by it, though some of them are numbers.
    let dated = r#"{"header": true, "task": "regression", "label": "y", "dates": {"when": {"parts": ["year"], "format": "%Y%m%d"}}}"#;
    assert_eq!(
        told(["20260101", "20260102", "20260103", "20260104"], dated),
        Ok(0)
    );
    assert_eq!(
        told(["text", "2026-01-02", "2026-01-03", "2026-01-04"], ""),
        Ok(3)
    );
}

#[test]
fn no_group_is_in_two_splits_of_the_input() {
    let table = |first: u32, own: &dyn Fn(u32) -> String| {
        let rows = (0..24).map(|row| {
            format!(
                "{}.5,{},p{}{}\n",
                row + first,
                row % 5,
                (row + first) / 4,
                own(row)
            )
        });
        rows.collect::<String>()
    };
    let options = format(r#"{"header": true, "task": "regression", "label": "y"}"#);
    let group = Some(CsvColumn::Name("who".into()));
    // By files: the patients 5 and 6 are in both.
    let by_files = |first: u32, val: Option<f64>| {
        let mut bench = Bench::new();
        bench.split_folders = vec![SplitName::Train, SplitName::Test];
        bench.split.val = val.and_then(crate::spec::Share::new);
        bench.split.group.clone_from(&group);
        let none = |_: u32| String::new();
        bench.file("train/a.csv", format!("x,y,who\n{}", table(0, &none)).as_bytes());
        bench.file(
            "test/b.csv",
            format!("x,y,who\n{}", table(first, &none)).as_bytes(),
        );
        bench
    };
    let told = by_files(20, Some(0.2)).error(&options);
    assert!(
        told.contains("`split.group`: 1 group stands in more than one split (`p5` in ")
            && told.contains("the input's own files"),
        "{told}"
    );
    let told = by_files(0, None).error(&options);
    assert!(
        told.contains(
            "6 groups stand in more than one split (`p0` in train and test, `p1` in train and test, `p2` in train and \
             test, ...)"
        ),
        "{told}"
    );
    let bench = by_files(24, Some(0.2));
    assert_eq!(bench.prepare(&options).unwrap().splits[&SplitName::Test], 24);
    assert!(
        !bench
            .notices
            .lock()
            .unwrap()
            .join("\n")
            .contains("divides nothing")
    );
    let bench = by_files(24, None);
    bench.prepare(&options).unwrap();
    let notices = bench.notices.lock().unwrap().join("\n");
    assert!(
        notices.contains("`split.group` divides nothing here"),
        "{notices}"
    );

    // By a column.
    let by_column = |part: &dyn Fn(u32) -> &'static str| {
        let mut bench = Bench::new();
        bench.split.group.clone_from(&group);
        bench.split.column = Some(CsvColumn::Name("part".into()));
        let rows = table(0, &|row| format!(",{}", part(row)));
        bench.file("t.csv", format!("x,y,who,part\n{rows}").as_bytes());
        bench
    };
    let told = by_column(&|row| if row % 2 == 0 { "train" } else { "test" }).error(&options);
    assert!(
        told.contains("6 groups stand in more than one split")
            && told.contains("where `split.column` put them"),
        "{told}"
    );
    by_column(&|row| if row < 12 { "train" } else { "test" })
        .prepare(&options)
        .unwrap();
}

#[test]
fn the_order_is_read_as_the_table_is() {
    let tested = |json: &str, rows: &[String], delimiter: char| {
        let mut bench = Bench::new();
        bench.split = crate::spec::SplitOptions {
            order: Some(CsvColumn::Name("t".into())),
            test: crate::spec::Share::new(0.25),
            ..crate::spec::SplitOptions::default()
        };
        let header = format!("x{delimiter}t{delimiter}y\n");
        bench.file("t.csv", (header + &rows.concat()).as_bytes());
        bench.prepare(&format(json)).map_err(|error| error.to_string())?;
        let dataset = crate::data::Dataset::open(&bench.output()).unwrap();
        let [_, _, test] = members(&dataset);
        Ok::<_, String>((test, dataset.input().names.clone()))
    };
    // The later in the year by the form, the earlier by ISO 8601.
    let swapped: Vec<String> = (1..=12)
        .map(|row| format!("{row},2024-{row:02}-{:02},{}\n", 13 - row, row % 3))
        .collect();
    let regression = r#""header": true, "task": "regression", "label": "y""#;
    let json = |more: &str| format!("{{{regression}{more}}}");
    let (test, names) = tested(
        &json(r#", "dates": {"t": {"format": "%Y-%d-%m"}}"#),
        &swapped,
        ',',
    )
    .unwrap();
    assert_eq!((test, names), (vec![1, 2, 3], vec!["x".to_owned()]));
    let dated = r#", "dates": {"t": {"parts": ["month"], "format": "%Y-%d-%m"}}"#;
    let (test, names) = tested(&json(dated), &swapped, ',').unwrap();
    assert_eq!(
        (test, names),
        (vec![1, 2, 3], vec!["x".to_owned(), "t.month".to_owned()])
    );
    assert_eq!(tested(&json(""), &swapped, ',').unwrap().0, [10, 11, 12]);

    // 900, 950, then thousands: 4.103 is more than 950.
    let counts = |spelt: &dyn Fn(u32) -> String| -> Vec<String> {
        (1..=12)
            .map(|row| format!("{row};{};{}\n", spelt(row), row % 3))
            .collect()
    };
    let thousands = counts(&|row| {
        if row < 3 {
            format!("{}", 850 + 50 * row)
        } else {
            format!("{row}.{}", 100 + row)
        }
    });
    let spelt = r#", "delimiter": ";", "decimal": ",", "thousands": ".""#;
    assert_eq!(tested(&json(spelt), &thousands, ';').unwrap().0, [10, 11, 12]);
    let decimals = counts(&|row| format!("{row},5"));
    let spelt = r#", "delimiter": ";", "decimal": ",""#;
    assert_eq!(tested(&json(spelt), &decimals, ';').unwrap().0, [10, 11, 12]);

    // What is missing is said.
    let semicolons = json(r#", "delimiter": ";""#);
    let single = |text: &str| counts(&|_| text.to_owned());
    for (cell, advice) in [
        ("1,5", "add `decimal: \",\"` where"),
        ("1.234,5", "add `decimal: \",\"` and `thousands: \".\"`"),
        ("1'234", "add `thousands: \"'\"`"),
        (
            "31.12.2024",
            "add `dates: {t: {format: \"%d.%m.%Y\"}}` to the format",
        ),
        (
            "31.12.24",
            "add `dates: {t: {format: \"%d.%m.%y\"}}` to the format",
        ),
        (
            "12/31/2024",
            "add `dates: {t: {format: \"%m/%d/%Y\"}}` to the format",
        ),
        (
            "soon",
            "write it so in all rows, or, of dates, add `dates: {t: {format:",
        ),
        ("NA", "fill it in, or leave the row out"),
    ] {
        let told = tested(&semicolons, &single(cell), ';').unwrap_err();
        assert!(
            told.contains("column `t`: ")
                && told.contains("is neither a number nor a date")
                && told.contains(advice),
            "{told}"
        );
    }
    // A form alone makes no feature.
    let told = tested(&json(r#", "dates": {"x": {"format": "%Y"}}"#), &swapped, ',').unwrap_err();
    assert!(told.contains("`dates` makes no number of column `x`"), "{told}");
}
