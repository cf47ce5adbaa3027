//! Tests of tables as people have them.

use super::*;

/// A table of `rows` lines, of which line 22 has the field `odd` in its second column.
fn with_an_odd_field(rows: u32, odd: &str) -> String {
    let line = |row: u32| match row {
        20 => format!("{},{odd},{}\n", row * 7 % 31, row % 2),
        _ => format!("{},name{},{}\n", row * 7 % 31, row * 3 % 17, row % 2),
    };
    format!("x,name,label\n{}", (0..rows).map(line).collect::<String>())
}

#[test]
fn a_quote_that_is_never_closed_is_located_where_it_opens() {
    let options = r#"{"header": true, "ignore": ["name"]}"#;
    let text = with_an_odd_field(200, "\"name");
    for text in [text.as_str(), text.trim_end()] {
        for on_error in [OnError::Fail, OnError::Skip] {
            let mut bench = Bench::new();
            bench.on_error = on_error;
            let told = bench.file("t.csv", text.as_bytes()).error(&format(options));
            let expected =
                "a quote that opens in line 22, field 1 (from 0), is never closed, so that the 179 lines up";
            assert!(told.contains(expected), "{told}");
        }
    }
    let header = error("x,\"name,label\n1,a,b\n2,c,d\n", parsed(r#"{"header": true}"#));
    assert!(
        header.contains("opens in line 1 in the header, field 1"),
        "{header}"
    );
    // With quotes that mean nothing, and with quotes that are closed, the same rows are read.
    let read = |text: &str, options: &str| {
        let bench = Bench::new();
        bench.file("t.csv", text.as_bytes());
        bench
            .dataset(&format(options))
            .split(SplitName::Train)
            .unwrap()
            .len()
    };
    let text = with_an_odd_field(200, "\"name");
    assert_eq!(
        read(&text, r#"{"header": true, "ignore": ["name"], "quote": "none"}"#),
        200
    );
    for closed in ["3\" pipe", "\"a \"\"b\"\" c\"", "\"two\nlines, of text\"", "'x"] {
        assert_eq!(read(&with_an_odd_field(200, closed), options), 200, "{closed}");
    }
    let escaped = with_an_odd_field(200, r#""say \"yes, or no\" twice""#);
    assert_eq!(
        read(
            &escaped,
            r#"{"header": true, "ignore": ["name"], "escape": "\\"}"#
        ),
        200
    );
    let single = with_an_odd_field(200, "'a,b'");
    assert_eq!(
        read(
            &single,
            r#"{"header": true, "ignore": ["name"], "quote": "single"}"#
        ),
        200
    );
}

#[test]
fn rows_that_a_quote_swallowed_are_told_and_counted() {
    // The quotes of lines 22 and 62 make one field of what stands between them.
    let rows = |quoted: [u32; 2]| -> String {
        let quote = |row: u32| if quoted.contains(&(row + 2)) { "\"" } else { "" };
        let line = |row: u32| format!("{},{}name,{}\n", row * 7 % 31, quote(row), row % 2);
        format!("x,name,label\n{}", (0..200).map(line).collect::<String>())
    };
    let text = rows([22, 62]);
    let options = format(r#"{"header": true, "ignore": ["name"]}"#);
    let mut bench = Bench::new();
    let told = bench.file("t.csv", text.as_bytes()).error(&options);
    assert!(
        told.contains("line 22")
            && told.contains("a quoted field goes from line 22 to line 62, and holds what looks like rows"),
        "{told}"
    );
    bench.on_error = OnError::Skip;
    let prepared = bench.prepare(&options).unwrap();
    assert_eq!((prepared.skipped, prepared.splits[&SplitName::Train]), (41, 159));
    let notices = bench.notices.lock().unwrap();
    assert!(notices[0].starts_with("left out (41 lines): "), "{notices:?}");
    assert!(
        notices
            .last()
            .unwrap()
            .starts_with("41 of 200 samples (20.5 %) are left out"),
        "{notices:?}"
    );

    // A label never goes over lines.
    let label = error("1,\"a\nb\"\n2,c\n", parsed("{}"));
    assert!(
        label.contains("line 1, column 1 (from 0): a quoted field goes from line 1 to line 2"),
        "{label}"
    );
}

#[test]
fn lines_are_counted_behind_texts_of_several_lines() {
    let bench = Bench::new();
    bench.file(
        "t.csv",
        b"x,text,label\n1,\"a\nb\r\nc\",p\n\n2,d,q\n\"3\",\"e\n\n\",p\n",
    );
    let dataset = bench.dataset(&format(r#"{"header": true, "ignore": ["text"]}"#));
    let train = dataset.split(SplitName::Train).unwrap();
    let origins: Vec<String> = (0..3).map(|index| train.origin(index)).collect();
    assert_eq!(origins, ["t.csv:2", "t.csv:6", "t.csv:7"]);
    let told = error(
        "x,text,label\n1,\"a\nb\",p\n2,\"c\nd\",q,\n",
        parsed(r#"{"header": true, "ignore": ["text"]}"#),
    );
    assert!(
        told.contains("line 4: it has 4 fields") && told.contains("from line 4 to line 5"),
        "{told}"
    );
}

#[test]
fn old_and_wide_texts_are_read() {
    let rows: Vec<String> = (0..40)
        .map(|row| format!("{},{}", row * 7 % 31, ["a", "b"][row % 2]))
        .collect();
    let text = format!("x,kind\n{}\n", rows.join("\n"));
    let utf16 = |big: bool| -> Vec<u8> {
        let units = format!("\u{feff}{text}").encode_utf16().collect::<Vec<u16>>();
        units
            .iter()
            .flat_map(|unit| {
                if big {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                }
            })
            .collect()
    };
    let zst = zstd::encode_all(text.as_bytes(), 1).unwrap();
    for bytes in [
        text.replace('\n', "\r").into_bytes(),
        utf16(false),
        utf16(true),
        zst,
        format!("sep=,\n{text}").into_bytes(),
    ] {
        let bench = Bench::new();
        bench.file("t.csv", &bytes);
        let dataset = bench.dataset(&format(r#"{"header": true}"#));
        assert_eq!(dataset.split(SplitName::Train).unwrap().len(), 40);
        assert_eq!(dataset.input().names, ["x"]);
    }
    let told = error(&format!("sep=;\n{text}"), parsed(r#"{"header": true}"#));
    assert!(told.contains("set `delimiter: ';'`"), "{told}");
}

#[test]
fn heads_of_tables_that_are_not_right_are_told() {
    let header = r#"{"header": true, "label": "lable"}"#;
    let wide: Vec<String> = (0..5000).map(|column| format!("f{column}")).collect();
    let told = error(&format!("{},label\n", wide.join(",")), parsed(header));
    assert!(
        told.len() < 500 && told.ends_with("(4981 more): did you mean `label`?"),
        "{told}"
    );
    let told = error("  x  y  label\n", parsed(r#"{"header": true, "delimiter": " "}"#));
    assert!(told.contains("columns 0 and 1 (from 0) have no name"), "{told}");
    let told = error("x,label\n1,a,\n", parsed(r#"{"header": true}"#));
    assert!(
        told.contains("it has 3 fields, and the first line has 2; the last one is empty"),
        "{told}"
    );
    for (text, expected) in [
        ("# made\nx,label\n1,a\n", "line 1 begins with `#`"),
        (
            "<!DOCTYPE html>\n<html></html>\n",
            "it is no table of text but a web page",
        ),
        ("<table>\n</table>\n", "it begins as a web page does"),
        ("x\n1\n", "its first line has one field"),
    ] {
        let told = error(text, parsed(r#"{"header": true}"#));
        assert!(told.contains(expected), "{told}");
    }
    let told = error("x,label\n\x001,a\n", parsed(r#"{"header": true}"#));
    assert!(
        told.contains("line 2, column `x`: it holds a zero byte"),
        "{told}"
    );
    let told = error(
        "x,t,label\n1,\"say \\\"yes, or no\\\"\",a\n",
        parsed(r#"{"header": true}"#),
    );
    assert!(told.contains(r#"add `escape: "\\"`"#), "{told}");
    let told = error(
        "# made by hand, in May\nx,y,label\n1,2,a\n",
        parsed(r#"{"header": true}"#),
    );
    assert!(told.contains("the first line begins with `#`"), "{told}");
    let bench = Bench::new();
    bench.file("t.csv", b",x,label\n5,1,a\n3,2,b\n");
    assert_eq!(
        bench.dataset(&format(r#"{"header": true}"#)).input().names,
        ["column_0", "x"]
    );
}

#[test]
fn columns_that_tell_too_much_are_told() {
    let told = |text: String, options: &str| {
        let bench = Bench::new();
        bench.file("t.csv", text.as_bytes());
        bench.prepare(&format(options)).unwrap();
        let notices = bench.notices.lock().unwrap();
        notices.clone()
    };
    let rows: String = (0..60)
        .map(|row| {
            format!(
                "{row},{},{},3,{},{}\n",
                row * row % 17,
                row % 2 + 5,
                ["up", "down"][row % 2],
                ["a", "b"][row % 2]
            )
        })
        .collect();
    let notices = told(
        format!(",x,code,same,way,label\n{rows}"),
        r#"{"header": true, "categorical": ["way"]}"#,
    );
    assert_eq!(notices.len(), 4, "{notices:?}");
    assert!(
        notices[0].starts_with("the nameless column 0 (from 0) counts the rows"),
        "{notices:?}"
    );
    assert!(
        notices[1].starts_with("column `code` is the label in other words"),
        "{notices:?}"
    );
    assert!(
        notices[2].starts_with("column `way` is the label in other words"),
        "{notices:?}"
    );
    assert!(
        notices[3].starts_with("the same value in all rows: column `same`"),
        "{notices:?}"
    );
    let rows: String = (0..60)
        .map(|row| format!("{},{},{}\n", row * 7 % 61, row * 5 % 13, row * 5 % 13 * 3 + 1))
        .collect();
    let notices = told(
        format!("x,euro,cent\n{rows}"),
        r#"{"header": true, "task": "regression", "ignore": ["x"]}"#,
    );
    assert!(
        notices[0].starts_with("column `euro` gives column `cent` away"),
        "{notices:?}"
    );
}

#[test]
fn classes_that_are_hardly_told_apart_are_told() {
    let bench = Bench::new();
    let labels = ["yes", "Yes", "no", "n/a"];
    let rows: String = (0..80)
        .map(|row| format!("{},{}\n", row * 7 % 31, labels[row % 4]))
        .collect();
    bench.file("t.csv", rows.as_bytes());
    let prepared = bench.prepare(&format("{}")).unwrap();
    assert_eq!(prepared.classes, 4);
    let notices = bench.notices.lock().unwrap();
    assert!(
        notices[0].starts_with("the classes `Yes` and `yes` are the same but for upper and lower case"),
        "{notices:?}"
    );
    assert!(
        notices[1].starts_with("`n/a` is taken for a class, and often stands for a label that is missing"),
        "{notices:?}"
    );
    // Two tables pasted together: the same numbers, written in two ways.
    let bench = Bench::new();
    let labels = ["1", "2", "10", "1.0", "2.0", "10.0"];
    let rows: String = (0..90)
        .map(|row| format!("{},{}\n", row * 7 % 31, labels[row % 6]))
        .collect();
    bench.file("t.csv", rows.as_bytes());
    let dataset = bench.dataset(&format("{}"));
    assert_eq!(dataset.target().names, ["1", "2", "10"]);
    let train = dataset.split(SplitName::Train).unwrap();
    let classes: Vec<u32> = (0..6).map(|index| label(&train, index)).collect();
    assert_eq!(classes, [0, 1, 2, 0, 1, 2]);
}

/// What is told of a table of `lines`.
fn told_of(text: &str, options: &str) -> String {
    let bench = Bench::new();
    bench.file("t.csv", text.as_bytes());
    bench.prepare(&format(options)).unwrap();
    let notices = bench.notices.lock().unwrap();
    notices.join("\n")
}

#[test]
fn a_header_that_is_a_row_is_told() {
    let rows: String = (0..30)
        .map(|row| format!("{}.5,{}.25,{}\n", row * 7 % 31, row * 5 % 13, ["a", "b"][row % 2]))
        .collect();
    let told = told_of(&rows, r#"{"header": true}"#);
    assert!(
        told.contains("the first line looks like a row of data (`0.5`, `0.25`), and `header: true` takes it for the names"),
        "{told}"
    );
    for names in [
        "width,height,label",
        "0,1,label",
        "2019,2020,label",
        "1.5,2.5x,label",
    ] {
        let told = told_of(
            &format!("{names}\n{rows}"),
            r#"{"header": true, "label": "label"}"#,
        );
        assert_eq!(told, "", "{names}");
    }
    let told = error("5,5,a\n1,2,b\n", parsed(r#"{"header": true}"#));
    assert!(
        told.contains("are both named `5`: rename one; or is the first line a row of data"),
        "{told}"
    );
}

#[test]
fn a_row_that_is_a_header_is_told() {
    let rows: String = (0..40)
        .map(|row| {
            format!(
                "{},{},{}\n",
                ["red", "blue"][row * 7 % 5 % 2],
                ["round", "flat"][row * 5 % 3 % 2],
                row % 3 % 2
            )
        })
        .collect();
    // Texts alone are read, but the label is a number everywhere else.
    let told = told_of(
        &format!("colour,shape,kind\n{rows}"),
        r#"{"categorical": [0, 1]}"#,
    );
    assert!(
        told.contains(
            "the first line of `t.csv` is read as a row, and seems to name the columns (`kind` in column 2 (from 0); numbers \
             stand below it): if it does, add `header: true`"
        ),
        "{told}"
    );
    let texts = rows.replace(",0\n", ",no\n").replace(",1\n", ",yes\n");
    let told = told_of(
        &format!("colour,shape,kind\n{texts}"),
        r#"{"categorical": [0, 1]}"#,
    );
    assert!(
        told.contains("(`colour` in column 0 (from 0), `shape` in column 1 (from 0), `kind` in column 2 (from 0); it does not"),
        "{told}"
    );
    for (rows, options) in [
        (&rows, r#"{"categorical": [0, 1]}"#),
        (&texts, r#"{"categorical": [0, 1]}"#),
    ] {
        assert!(!told_of(rows, options).contains("first line"));
    }
    // An ignored column of numbers with a name above.
    let told = told_of(
        &format!(
            "colour,7,kind\n{}",
            rows.replace("round", "3").replace("flat", "4")
        ),
        r#"{"categorical": [0], "ignore": [1]}"#,
    );
    assert!(told.contains("`kind` in column 2"), "{told}");
}

#[test]
fn files_of_other_kinds_are_named() {
    for (bytes, told) in [
        (
            &b"PK\x03\x04\x14\0\0\0\x08\0xl/worksheets/sheet1.xml"[..],
            "a workbook of Excel (.xlsx): save the sheet as CSV",
        ),
        (b"PK\x03\x04\x14\0\0\0\x08\0table.csv", "a zip archive: unpack it"),
        (
            b"PAR1\x15\x04\x15\x80PAR1",
            "a Parquet file: read it by `format: {parquet: ...}`",
        ),
        (
            b"ARROW1\0\0\xff\xff\xff\xff",
            "an Arrow file (Feather): write it as Parquet",
        ),
        (
            b"SQLite format 3\0\x10\0\x01\x01",
            "an SQLite database: write the table that is meant as CSV",
        ),
        (
            b"<!DOCTYPE html>\n<html><body>sign in, please</body></html>\n",
            "a web page: it may say that a login",
        ),
        (
            b"{\"x\": 1, \"y\": 2}\n{\"x\": 3, \"y\": 4}\n",
            "JSON lines: write them as Parquet",
        ),
    ] {
        let bench = Bench::new();
        let message = bench.file("t.csv", bytes).error(&format(r#"{"header": true}"#));
        assert!(
            message.contains("t.csv`: it is no table of text but ") && message.contains(told),
            "{message}"
        );
    }
    // Compressed files are read, whatever they are called.
    let bench = Bench::new();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(b"x,y\n1,a\n2,b\n").unwrap();
    bench.file("t.csv", &gz.finish().unwrap());
    assert_eq!(
        bench.dataset(&format(r#"{"header": true}"#)).target().names,
        ["a", "b"]
    );
}

#[test]
fn long_integers_are_right_to_the_last_digit() {
    let base = 9_007_199_254_740_992u64;
    let rows: String = (0..30u64)
        .map(|row| {
            format!(
                "{},{},{},{}\n",
                row * 7 % 31,
                base + row,
                base + row % 2,
                base + row % 3
            )
        })
        .collect();
    let bench = Bench::new();
    bench.file("t.csv", format!("x,id,kind,label\n{rows}").as_bytes());
    let dataset = bench.dataset(&format(r#"{"header": true, "categorical": ["kind"]}"#));
    assert_eq!(
        dataset.target().names,
        [0, 1, 2].map(|more| (base + more).to_string())
    );
    assert_eq!(
        dataset.input().names[2..],
        [0, 1].map(|more| format!("kind={}", base + more))
    );
    let told = bench.notices.lock().unwrap().join("\n");
    assert!(
        told.contains(
            "column `id`: `9007199254740993` becomes 9007199254740992, as numbers are kept with 24 bits"
        ),
        "{told}"
    );
    assert!(!told.contains("are the same but for"), "{told}");
}

#[test]
fn points_under_decimal_commas_are_told_for_what_they_are() {
    let commas = r#"{"header": true, "delimiter": ";", "decimal": ",", "label": "y"}"#;
    for (cells, advice) in [
        (
            ["1.990", "990,5", "2.500", "3,5"],
            "2 numbers with `.` between thousands (`1.990` in line 2): add `thousands: \".\"`, or take `decimal` out",
        ),
        (
            ["1.234,5", "990,5", "1.000.000", "3,5"],
            "2 numbers with `.` between thousands (`1.234,5` in line 2): add `thousands: \".\"`",
        ),
        (
            ["1.5", "2.25", "3,5", "4"],
            "2 numbers with decimal points (`1.5` in line 2), and `decimal` says that commas stand before decimals",
        ),
        (
            ["1 234,5", "2", "3", "4"],
            "1 number with ` ` between thousands (`1 234,5` in line 2): add `thousands: \" \"`",
        ),
    ] {
        let rows = cells.iter().zip(["u", "v", "u", "v"]);
        let text: String = rows.map(|(cell, label)| format!("{cell};{label}\n")).collect();
        let told = error(&format!("a;y\n{text}"), parsed(commas));
        assert!(told.contains(advice) && !told.contains("not finite ("), "{told}");
    }
}

#[test]
fn a_table_without_rows_is_told() {
    for options in [
        r#"{"header": true}"#,
        r#"{"header": true, "task": "regression"}"#,
        r#"{"header": true, "categorical": ["a"]}"#,
    ] {
        for text in ["a,b,y\n", "a,b,y", "a,b,y\n\n"] {
            let told = error(text, parsed(options));
            assert!(
                told.contains("it has no rows: its first line names the columns, and nothing follows"),
                "{told}"
            );
        }
    }
}

#[test]
fn the_files_of_splits_in_a_folder_are_named() {
    let told = |names: &[&str]| {
        let bench = Bench::new();
        for name in names {
            bench.file(name, b"a,y\n1,u\n2,v\n");
        }
        bench.error(&format(r#"{"header": true}"#))
    };
    let splits = told(&["train.csv", "test.csv"]);
    assert!(
        splits.ends_with(
            "there are 2 (`test.csv`, `train.csv`): name those of the splits, `input: {train: .../train.csv, test: \
             .../test.csv}`, or the file in `input`"
        ),
        "{splits}"
    );
    let splits = told(&["Training.csv", "dev.csv", "test.csv"]);
    assert!(
        splits.contains("`input: {train: .../Training.csv, val: .../dev.csv, test: .../test.csv}`"),
        "{splits}"
    );
    for (names, expected) in [
        (
            &["a.csv", "b.csv"][..],
            "there are 2 (`a.csv`, `b.csv`): name the file in `input`",
        ),
        (
            &["test.csv", "notes.csv"],
            "there are 2 (`notes.csv`, `test.csv`): name the file in `input`",
        ),
        (
            &["1.csv", "2.csv", "3.csv", "4.csv", "5.csv"],
            "there are 5 (`1.csv`, `2.csv`, `3.csv`, `4.csv`, ...): name the file in `input`",
        ),
    ] {
        let told = told(names);
        assert!(told.ends_with(expected), "{told}");
    }
}
