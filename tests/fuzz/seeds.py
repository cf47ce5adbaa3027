"""Writes what the fuzz targets begin with into a folder: `python seeds.py FOLDER` (pyarrow from PyPI).

The first byte of an input (but of `checkpoint`) chooses the options, as the target says."""

import pathlib
import sys

import pyarrow
import pyarrow.parquet

HERE = pathlib.Path(__file__).parent
FOLDER = pathlib.Path(sys.argv[1])


def write(target, name, bytes):
    folder = FOLDER / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(bytes)


TABLES = [
    b"1,2,a\n3,4.5,b\n-5e3,0,a\n7,8,b\n",
    b"x,y,kind\n1,,a\n2,NA,b\n3,4,a\n4,nan,b\n",
    b'x,"y z",kind\n1,"a ""b""",2.5\n2,"c,\nd",3\n',
    b"1.234,5;2;a\r\n2,5;;b\r\n3;4;a\r\n",
    b"'it''s';1\n'x\\'y';0\n",
    b"yes,2026-01-31,a\nno,2026-02-28T12:30:00,b\nyes,1999-12-31,a\n",
    "\ufeffä,b\n1,2\n3,4\n".encode("utf-16"),
]
for choice in range(14):
    for index, table in enumerate(TABLES):
        write("csv", f"{choice}-{index}", bytes([choice]) + table)

for index, columns in enumerate(
    [
        {"y": [0, 1, 0, 1], "x": [1.5, None, float("nan"), 2]},
        {"y": [0.5, 1, 2, 3], "s": ["a", "b", None, "a"], "b": [True, False, None, True]},
        {"y": ["a", "b", "a", "b"], "d": pyarrow.array([0, 1, 2, 3], pyarrow.date32()), "i": [2**53, 1, 2, 3]},
    ]
):
    for compression in ["none", "snappy", "zstd"]:
        for choice in range(8):
            path = FOLDER / "t.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            table = pyarrow.table(columns)
            pyarrow.parquet.write_table(table, path, compression=compression, data_page_version="2.0" if choice & 1 else "1.0")
            write("parquet", f"{choice}-{index}-{compression}", bytes([choice]) + path.read_bytes())
            path.unlink()

LISTS = [
    (0, b"path,kind,part\na.png,x,train\nb.jpg,y,test\n"),
    (2, b'{"path": "a.png", "kind": "x"}\n{"path": "b.jpg", "kind": "y"}\n'),
    (4, b"path,kind,part\na,x,train\n"),
    (8, b"path,kind\na.png,x y\nb.jpg,\n"),
    (10, b'{"path": "a.png", "kind": ["x", "y"]}\n{"path": "b.jpg", "kind": []}\n'),
    (12, b"path,x,y\na.png,1,2.5\nb.jpg,3,-4\n"),
    (14, b'{"path": "a.png", "x": 1, "y": 2}\n{"path": "b.jpg", "x": 1e3, "y": null}\n'),
]
for choice, text in LISTS:
    for skips in [0, 1]:
        write("manifest", f"{choice + skips}", bytes([choice + skips]) + text)

for path in sorted((HERE.parent / "fixtures" / "state_dicts").glob("*.pth")):
    write("checkpoint", path.name, path.read_bytes())
