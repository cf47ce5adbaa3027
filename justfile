# Commands that people repeat. `just` lists them; https://just.systems

default:
    @just --list

# Everything that CI checks.
check:
    .ci/run

# Format the code.
fmt:
    cargo fmt

# The tests, or those whose name holds FILTER.
test FILTER="":
    cargo test {{FILTER}}

# The digits, from raw data to the table.
digits:
    cargo run --release -- run pipelines/digits.yaml

# Write new snapshots; look at them with `git diff` before committing.
snapshots:
    INSTA_UPDATE=always cargo test

# Look at the display: MODE is auto, plain or json; SCENE is training, trouble, many or sweep.
display MODE="auto" SCENE="training":
    cargo run --example progress_demo -- {{MODE}} {{SCENE}}

# A page and all plots of made-up results; look at them in FOLDER.
page FOLDER="target/page":
    cargo run --example report_demo -- {{FOLDER}}

# How good the searches are, beside Optuna's.
search-quality:
    python3 benches/search_quality.py

# The library's documentation.
doc:
    cargo doc --no-deps --open
