"""Reading tables: what is accepted, and one clear message for what is not."""

import numpy as np
import pytest

from manifold_gen.data.tables import read_table
from manifold_gen.errors import DataError


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_header_comments_blank_lines_and_carriage_returns(write):
    table = read_table(write("a.csv", "# note, with a comma\r\n\r\nphi, psi ,ss\r\n1,2,H\r\n# more\r\n3,-4e1,E\r\n"))
    assert table.columns == ["phi", "psi", "ss"]
    assert table.header
    assert table.numbers(["psi", "phi"]).tolist() == [[2, 1], [-40, 3]]
    assert table.lines.tolist() == [4, 6]
    assert table.is_text("ss")
    assert not table.is_text("phi")


def test_no_header(write):
    table = read_table(write("a.TSV", "1\t2\n3\t4"))
    assert not table.header
    assert table.columns == ["column_0", "column_1"]
    assert table.numbers(table.resolve(["1"])).tolist() == [[2], [4]]


def test_byte_order_mark_quotes_and_missing_values(write):
    table = read_table(write("a.csv", '\ufeff"lat","lon"\n"1",NA\nnull,\n'))
    assert table.columns == ["lat", "lon"]
    assert np.isnan(table.numbers(["lat", "lon"])).tolist() == [[False, True], [True, True]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", r"a.csv is empty \(0 bytes\)"),
        ("a.csv", "# only a comment\n", "no rows of data"),
        ("a.csv", "phi,psi\n", "no rows of data"),
        ("a.csv", "phi,psi\n1,2\n1,2,3\n", r"a.csv, line 3: 3 cells, expected 2"),
        ("a.csv", "phi,psi\n1,2\n1\n", r"line 3: 1 cells, expected 2"),
        ("a.csv", "phi,phi\n1,2\n", r"line 1: the header names phi twice"),
        ("a.csv", 'phi,psi\n1,"2\n', r"line \d: .*correct the line"),
        ("a.csv", b"phi,psi\n1,\xff\xfe\n", "not UTF-8"),
        ("a.txt", "1 2\n", r"ends in '.txt'; expected .csv, .tsv, .npy or .npz"),
        ("a.npy", b"no array at all", "cannot be read as .npy"),
        ("a.npz", b"PK\x03\x04 cut off", "cannot be read as .npz"),
    ],
)
def test_malformed_file(write, name, content, message):
    with pytest.raises(DataError, match=message) as error:
        read_table(write(name, content))
    assert error.value.exit_code == 66
    assert "\n" not in str(error.value)


def test_text_where_a_number_is_expected_names_the_line(write):
    table = read_table(write("a.csv", "phi,psi\n1,2\n1,abc\n"))
    with pytest.raises(DataError, match=r"line 3, column psi: 'abc' is not a number"):
        table.numbers(["phi", "psi"])


def test_missing_column_lists_those_there_are(write):
    table = read_table(write("a.csv", "phi,psi\n1,2\n"))
    for name in ("chi", "2"):
        with pytest.raises(DataError, match=rf"no column '{name}'; its 2 columns are phi, psi"):
            table.resolve([name])


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match=r"there is no file .*nope.csv") as error:
        read_table(tmp_path / "nope.csv")
    assert error.value.exit_code == 66
    with pytest.raises(DataError, match="is not a file"):
        read_table(tmp_path)


def test_arrays(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(18).reshape(2, 3, 3))
    table = read_table(tmp_path / "a.npy")
    assert len(table.columns) == 9
    assert table.numbers(table.columns)[1].tolist() == list(range(9, 18))
    np.savez(tmp_path / "a.npz", phi=np.ones(4), psi=np.zeros(4), kind=np.array(["a", "b", "a", "b"]))
    table = read_table(tmp_path / "a.npz")
    assert table.columns == ["phi", "psi", "kind"]
    assert table.is_text("kind")
    assert table.where(2) == "row 2"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 2)), r"0 rows or columns \(x \(0, 2\)\)"),
        (np.zeros((3, 0)), "0 rows or columns"),
        (np.zeros((3, 2), np.float16), "float16, which keeps 3 digits"),
        (np.zeros((3, 2), bool), "dtype bool"),
        (np.zeros((3, 2), complex), "dtype complex128"),
        (np.array([{}, {}], dtype=object), "no pickled objects"),
        (np.float64(3), r"shape \(\)"),
    ],
)
def test_bad_arrays(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "a.npy")


def test_arrays_of_different_length(tmp_path):
    np.savez(tmp_path / "a.npz", phi=np.ones(4), psi=np.zeros(5))
    with pytest.raises(DataError, match=r"differ in length: .'phi': 4, 'psi': 5"):
        read_table(tmp_path / "a.npz")


def test_names_that_do_not_fit_the_array(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones((4, 3)), columns=np.array(["a", "b"]))
    with pytest.raises(DataError, match="2 names in 'columns' for 3 columns"):
        read_table(tmp_path / "a.npz")
