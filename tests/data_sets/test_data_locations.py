"""Where files are looked for, in which order, and what is said when they cannot be had."""

import functools
import hashlib
import http.server
import threading

import pytest

from manifold_gen.data import locations
from manifold_gen.data.locations import RemoteFile
from manifold_gen.errors import DataError

CONTENT = b"1.0,2.0\n"
SHA = hashlib.sha256(CONTENT).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def folders(tmp_path, monkeypatch):
    data, cache = tmp_path / "data", tmp_path / "cache"
    data.mkdir()
    monkeypatch.setenv("MANIFOLD_GEN_DATA", str(data))
    monkeypatch.setenv("MANIFOLD_GEN_CACHE", str(cache))
    return data, cache


@pytest.fixture
def site(tmp_path):
    root = tmp_path / "site"
    root.mkdir()
    (root / "a.csv").write_bytes(CONTENT)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=root))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_data_folder_comes_before_the_cache(folders):
    data, cache = folders
    cache.mkdir()
    (cache / "a.csv").write_bytes(CONTENT)
    file = RemoteFile("a.csv", "http://127.0.0.1:9/a.csv", SHA)
    assert locations.fetch(file) == cache / "a.csv"
    (data / "a.csv").write_bytes(CONTENT)
    assert locations.fetch(file) == data / "a.csv"


def test_download_goes_to_the_cache_and_is_used_again(folders, site):
    data, cache = folders
    file = RemoteFile("sub/a.csv", site + "/a.csv", SHA)
    assert locations.fetch(file) == cache / "sub" / "a.csv"
    assert (cache / "sub" / "a.csv").read_bytes() == CONTENT
    assert list(data.iterdir()) == []
    assert locations.fetch(RemoteFile("sub/a.csv", "http://127.0.0.1:9/gone", SHA)).read_bytes() == CONTENT


def test_download_of_another_file_is_refused(folders, site):
    with pytest.raises(DataError, match=r"no longer the pinned file.*MANIFOLD_GEN_DATA"):
        locations.fetch(RemoteFile("a.csv", site + "/a.csv", "0" * 64))
    assert locations.find("a.csv") is None


def test_no_network_says_what_was_looked_for_where_and_what_to_do(folders):
    data, cache = folders
    with pytest.raises(DataError) as error:
        locations.fetch(RemoteFile("earth/a.csv", "http://127.0.0.1:9/a.csv", SHA))
    for part in ("earth/a.csv", str(data), str(cache), "http://127.0.0.1:9/a.csv", SHA, "set MANIFOLD_GEN_DATA"):
        assert part in str(error.value)
    assert error.value.exit_code == 66


def test_altered_file_is_refused(folders):
    (folders[0] / "a.csv").write_bytes(CONTENT + b"3,4\n")
    with pytest.raises(DataError, match=f"expected {SHA}"):
        locations.fetch(RemoteFile("a.csv", "http://127.0.0.1:9/a.csv", SHA))


def test_missing_bundled_file():
    with pytest.raises(DataError, match=r"no_such/file.npy is missing.*reinstall"):
        locations.bundled("no_such/file.npy")


def test_default_cache_is_not_created(monkeypatch, tmp_path):
    monkeypatch.delenv("MANIFOLD_GEN_CACHE", raising=False)
    monkeypatch.delenv("MANIFOLD_GEN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    assert locations.find("earth/a.csv") is None
    assert not (tmp_path / "none").exists()
