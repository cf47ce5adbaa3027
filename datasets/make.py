"""Writes `wine.csv` and `diabetes.csv` here, from the files that scikit-learn 1.9.1 comes with.

    pip install scikit-learn==1.9.1
    python3 datasets/make.py

The numbers are copied as they are spelt; only the targets of the diabetes data, spelt as
`1.510000000000000000e+02`, become integers.
"""

import gzip
from pathlib import Path

import sklearn

SOURCE = Path(sklearn.__file__).parent / "datasets" / "data"
HERE = Path(__file__).parent

WINE = [
    "alcohol",
    "malic_acid",
    "ash",
    "alcalinity_of_ash",
    "magnesium",
    "total_phenols",
    "flavanoids",
    "nonflavanoid_phenols",
    "proanthocyanins",
    "color_intensity",
    "hue",
    "od280_od315_of_diluted_wines",
    "proline",
    "cultivar",
]
DIABETES = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6", "target"]


def write(name, header, rows):
    lines = [",".join(row) for row in [header, *rows]]
    (HERE / name).write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")


def wine():
    # The first line holds the numbers of rows and columns and the classes' names.
    lines = (SOURCE / "wine_data.csv").read_text(encoding="ascii").splitlines()[1:]
    write("wine.csv", WINE, [line.split(",") for line in lines])


def diabetes():
    def words(name):
        with gzip.open(SOURCE / name, "rt", encoding="ascii") as file:
            return [line.split() for line in file]

    def integer(text):
        value = float(text)
        assert value == int(value), text
        return str(int(value))

    rows = zip(words("diabetes_data_raw.csv.gz"), words("diabetes_target.csv.gz"), strict=True)
    write("diabetes.csv", DIABETES, [features + [integer(target)] for features, [target] in rows])


wine()
diabetes()
