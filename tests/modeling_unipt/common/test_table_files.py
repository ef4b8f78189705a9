"""Tables in any dress become the same Arrow table, or one sentence."""

import datetime
import json

import pyarrow
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet
import pytest

from modeling_unipt.common.delimited_files import DelimitedFile
from modeling_unipt.common.table_files import read_table
from modeling_unipt.common.user_errors import UserError

ROWS = [
    {"file_name": "a.png", "camera": 1, "place": "Größe 5"},
    {"file_name": "b.png", "camera": 2, "place": "Café €"},
]
CSV = "file_name,camera,place\na.png,1,Größe 5\nb.png,2,Café €\n"


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(tmp_path, name, content, **options):
    return read_table(write(tmp_path, name, content), "metadata file", **options)


@pytest.mark.parametrize(
    "content",
    [
        CSV.encode(),
        CSV.encode("utf-8-sig"),
        CSV.encode("utf-16"),
        b"\xfe\xff" + CSV.encode("utf-16-be"),
        CSV.encode("utf-16-le"),
        CSV.encode("utf-32"),
        CSV.encode("cp1252"),
        CSV.replace("\n", "\r\n").encode(),
        CSV.replace("\n", "\r").encode(),
        CSV.replace(",", ";").encode("cp1252"),
        CSV.replace(",", "\t").encode(),
        CSV.replace(",", "|").encode(),
        CSV.replace(",", " ; ").encode("utf-16"),
        ("sep=;\n" + CSV.replace(",", ";")).encode(),
        ("\n\n" + CSV.replace("\n", ",\n") + ",,,\n").encode(),
        ("," + CSV.rstrip().replace("\n", "\n0,") + "\n").encode(),
        CSV.replace("file_name,camera", '"file_name"," camera "').encode(),
    ],
)
def test_one_table_in_many_dresses(tmp_path, content):
    assert read(tmp_path, "a.csv", content).to_pylist() == ROWS
    assert read(tmp_path, "a.txt", content).to_pylist() == ROWS


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps(ROWS)),
        ("a.json", json.dumps({"version": 1, "rows": ROWS})),
        ("a.json", json.dumps(ROWS, ensure_ascii=False).encode("utf-16")),
        ("a.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS)),
        ("a.ndjson", "\ufeff" + "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)),
        ("a.jsonl", json.dumps(ROWS, indent=2)),
        ("a.json", json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]})),
        ("a.json", json.dumps({name: {"0": ROWS[0][name], "1": ROWS[1][name]} for name in ROWS[0]})),
    ],
)
def test_json_in_many_shapes(tmp_path, name, content):
    assert read(tmp_path, name, content, as_text=["file_name"]).to_pylist() == ROWS


def test_one_row_with_a_list_is_a_row(tmp_path):
    row = {"file_name": "a.png", "boxes": [{"x": 1}]}
    for name in ("a.json", "a.jsonl"):
        assert read(tmp_path, name, json.dumps(row), as_text=["file_name"]).to_pylist() == [row]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("file_name\tx,y\na.png\t1\n", {"file_name": "a.png", "x,y": 1}),
        ("file_name;x,y;z\na.png;1;2\n", {"file_name": "a.png", "x,y": 1, "z": 2}),
        ("file_name;caption\na.png;A man, old, tall\n", {"file_name": "a.png", "caption": "A man, old, tall"}),
        ('file_name, caption\na.png, "A man, old"\n', {"file_name": "a.png", "caption": "A man, old"}),
        ("file_name\na.png\n", {"file_name": "a.png"}),
    ],
)
def test_what_separates_columns_is_found_out(tmp_path, content, expected):
    assert read(tmp_path, "a.csv", content).to_pylist() == [expected]


def test_parquet_and_arrow(tmp_path):
    table = pyarrow.Table.from_pylist(ROWS)
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pyarrow.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    with pyarrow.ipc.new_stream(tmp_path / "b.arrow", table.schema) as writer:
        writer.write_table(table)
    for name in ("a.parquet", "a.arrow", "b.arrow"):
        assert read_table(tmp_path / name).equals(table)


def test_clean_files_have_the_types_that_arrow_finds(tmp_path):
    content = (
        "file_name,whole,number,lit,day,moment,clock,none,word\n"
        "a.png,1,1.5,true,2026-11-01,2026-11-01 10:15:00,10:15:00,,NA\nb.png,-2,,false,,,,,\n"
    )
    path = write(tmp_path, "a.csv", content)
    assert read_table(path).equals(pyarrow.csv.read_csv(path))
    lines = '{"a": 1, "b": 1.5, "c": true, "d": "2026-11-01", "e": {"f": [1]}}\n{"a": 2, "g": null}\n'
    path = write(tmp_path, "a.jsonl", lines)
    assert read_table(path).equals(pyarrow.json.read_json(path))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["0007", "12"], ["0007", "12"]),
        (["1", "007"], ["1", "007"]),
        (["1e5", "2"], ["1e5", "2"]),
        (["+49", "1"], ["+49", "1"]),
        (["01.10", "1.2"], ["01.10", "1.2"]),
        (["1234567890123456789", "1"], ["1234567890123456789", "1"]),
        (["0", "10"], [0, 10]),
        (["0.5", "1"], [0.5, 1.0]),
        (["1e-05", "2.5e3"], [1e-05, 2500.0]),
        (["1", "left"], ["1", "left"]),
        (["2026-11-01", "soon"], ["2026-11-01", "soon"]),
        (["2026-11-01", ""], [datetime.date(2026, 11, 1), None]),
    ],
)
def test_identifiers_and_mixed_values_stay_text(tmp_path, values, expected):
    content = "file_name,x\n" + "".join(f"{row}.png,{value}\n" for row, value in enumerate(values))
    assert read(tmp_path, "a.csv", content)["x"].to_pylist() == expected


def test_a_late_value_decides_like_an_early_one(tmp_path):
    """Arrow looks at the first block of a file alone."""
    rows = "".join(f"{'long' * 20}{row}.png,{row}\n" for row in range(20_000))
    table = read(tmp_path, "a.csv", f"file_name,x\n{rows}last.png,left\n")
    assert table["x"].type == pyarrow.string() and table["x"].to_pylist()[-2:] == ["19999", "left"]


def test_numbers_with_a_decimal_comma(tmp_path):
    table = read(tmp_path, "a.csv", "file_name;weight;note\na.png;1,5;1,5\nb.png;2;a, b\nc.png;;\n")
    assert table["weight"].to_pylist() == [1.5, 2.0, None] and table["note"].to_pylist() == ["1,5", "a, b", ""]


def test_mixed_values_in_json_become_text(tmp_path):
    rows = [{"a": 1, "b": 1, "c": True, "d": 1 << 70, "e": [1], "f": 7}, {"a": "x", "b": 2.5, "c": 1, "d": 1, "e": "y"}]
    table = read(tmp_path, "a.json", json.dumps(rows), as_text=["F"])
    assert table.to_pylist() == [
        {"a": "1", "b": 1.0, "c": "true", "d": str(1 << 70), "e": "[1]", "f": "7"},
        {"a": "x", "b": 2.5, "c": "1", "d": "1", "e": "y", "f": None},
    ]


def test_columns_may_be_asked_for_as_text(tmp_path):
    table = read(tmp_path, "a.csv", "File Name,camera\n17.50,1\n1,2\n", as_text=["file_name"])
    assert table.to_pylist() == [{"File Name": "17.50", "camera": 1}, {"File Name": "1", "camera": 2}]


def test_quotes(tmp_path):
    content = 'file_name,caption\na.png,"A ""red"" hat, new\nin two lines"\n'
    assert read(tmp_path, "a.csv", content)["caption"].to_pylist() == ['A "red" hat, new\nin two lines']
    content = 'file_name\tcaption\na.png\t"Red" hat\nb.png\t5" heels\n'
    assert read(tmp_path, "a.tsv", content)["caption"].to_pylist() == ['"Red" hat', '5" heels']
    content = 'file_name\tcaption\na.png\t"Red\that"\n'
    assert read(tmp_path, "a.tsv", content)["caption"].to_pylist() == ["Red\that"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "x,y\n1,2,3\n", "line 2 has 3 columns and the first line names 2; put a text that holds commas in "),
        ("a.csv", "x;y\n1;2\n1\n", "line 3 has 1 of the 2 columns that the first line names"),
        ("a.csv", 'x,y\n1,"a\n2,b\n', "line 3 is not quoted well .unexpected end of data.; write a double quote"),
        ("a.csv", 'x,y\n1,"a" b\n2,b\n', "line 2 is not quoted well"),
        ("a.csv", "x,x\n1,2\n", "has more than one column called x; rename one"),
        ("a.csv", " \n\n", "has no line with the names of its columns: it holds no text"),
        ("a.csv", "", r"a\.csv is empty; download or copy it again"),
        ("a.csv", "<html><title>Sign in</title>", "is a log-in page .*Sign in"),
        ("a.csv", b"PK\x03\x04", "is a zip archive or an Excel workbook; .* save the workbook as CSV"),
        ("a.xlsx", b"PK\x03\x04", "must end in one of .csv, .parquet, .jsonl, .*; save the workbook as CSV"),
        ("a.json", "[]", "must be a list of rows, each a mapping of column to value"),
        ("a.json", "[1, 2]", "must be a list of rows"),
        ("a.json", '"text"', "must be a list of rows"),
        ("a.json", '{"a": 1', "cannot be read: "),
        ("a.jsonl", '{"a": 1}\n{"a": 2', "cannot be read: line 2 is no JSON "),
        ("a.jsonl", "{'a': 1}\n", "cannot be read: Expecting property name enclosed in double quotes: line 1"),
        ("a.json", "[" * 100_000, "cannot be read: "),
        ("a.jsonl", b'{"a": "\xff"}\n', "cannot be read: 'utf-8' codec"),
        ("a.parquet", "no table", "cannot be read: "),
        ("a.arrow", "no table", "cannot be read: "),
        ("gone.csv", None, "does not exist"),
    ],
)
def test_what_is_no_table_is_told(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        write(tmp_path, name, content)
    with pytest.raises(UserError, match=message) as refusal:
        read_table(path, "metadata file")
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_rows_come_one_by_one_and_a_wrong_one_does_not_end_them(tmp_path):
    path = write(tmp_path, "a.csv", 'a;;b \n1;x;" 2 "\n1;2\n\n3;;4;\n5;"6" 7;8\n9;;"0\n1"\n')
    file = DelimitedFile(path)
    assert (file.encoding, file.delimiter, file.names) == ("utf-8", ";", ["a", "", "b"])
    rows = list(file.rows())
    assert [row for _, row in rows if isinstance(row, dict)] == [
        {"a": "1", "b": " 2 "},
        {"a": "3", "b": "4"},
        {"a": "9", "b": "0\n1"},
    ]
    assert [line for line, _ in rows] == [2, 3, 5, 6, 8]
    assert all(str(line) in row for line, row in rows if isinstance(row, str))


def test_the_encoding_is_told_where_it_is_a_guess(tmp_path, caplog):
    write(tmp_path, "a.csv", CSV.encode("cp1252"))
    read_table(tmp_path / "a.csv")
    assert "is read as Windows-1252 (Western European); if it is not, save it in UTF-8" in caplog.text
    # One broken byte does not make another encoding of a long text in UTF-8.
    write(tmp_path, "b.csv", CSV.encode() + "ä,3,öü".encode() + b"\xff\n")
    assert read_table(tmp_path / "b.csv")["place"].to_pylist() == ["Größe 5", "Café €", "öü\ufffd"]
    assert "holds 1 bytes that are no UTF-8" in caplog.text
