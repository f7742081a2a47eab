# SPDX-License-Identifier: Apache-2.0
"""The page needs nothing from elsewhere, says what it must say, and its interface is described."""

import json
import re
from pathlib import Path

import pytest

import mindface_eri.serve
from mindface_eri.serve.window import SECONDS

STATIC = Path(mindface_eri.serve.__file__).parent / "static"
FILES = sorted(STATIC.iterdir())


def test_nothing_comes_from_elsewhere(serve):
    with serve() as client:
        page = client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        for path in FILES:
            text = path.read_text(encoding="utf-8")
            assert "SPDX-License-Identifier: Apache-2.0" in text
            assert not re.search(r"https?://|@import|eval\(|innerHTML|style=|onclick", text), path.name
            for place in re.findall(r"[\"'(](/static/[^\"')]+|/v1/\w+)[\"')]", text):
                if place not in ("/v1/live", "/v1/login", "/v1/predictions"):
                    assert client.get(place).status_code == 200, place


def test_what_the_page_must_say():
    text = " ".join((STATIC / "index.html").read_text(encoding="utf-8").split())
    assert "no measurement of what a person feels, and nothing to decide about people by" in text
    assert f"the last {SECONDS:.0f} seconds, answers each second, and stores nothing" in text
    assert "Everybody who is to be seen or heard here has agreed." in text
    assert '<button class="plain" id="on" disabled>' in text
    ids = set(re.findall(r'id="([\w-]+)"', text))
    scripts = "".join(path.read_text(encoding="utf-8") for path in FILES if path.suffix == ".js")
    assert set(re.findall(r'\$\("#([\w-]+)"', scripts)) <= ids


def test_the_description_is_of_what_is_there(serve):
    from mindface_eri.serve.api import routes
    from mindface_eri.serve.problems import STATUSES
    from mindface_eri.version import __version__

    with serve() as client:
        found = client.get("/openapi.json").json()
    assert found["info"]["version"] == __version__
    assert {(route.path, method.lower()) for route in routes() for method in route.methods - {"HEAD"}} == {
        (path, method) for path, methods in found["paths"].items() for method in methods if method != "parameters"}
    assert ":null" not in json.dumps(found, separators=(",", ":"))  # a comma that YAML took for one of its own
    codes = found["components"]["schemas"]["Problem"]["properties"]["type"]["description"]
    assert set(codes.partition("code: ")[2].split(", ")) == set(STATUSES)


def test_the_description_is_openapi(serve):
    checker = pytest.importorskip("openapi_spec_validator", reason="checks a description of an interface")
    with serve() as client:
        checker.validate(client.get("/openapi.json").json())
