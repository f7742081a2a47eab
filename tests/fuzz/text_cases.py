# SPDX-License-Identifier: Apache-2.0
"""Damage to text inputs: bytes, lines, cells and, where the text is YAML or JSON, the tree behind it."""

import json
import math
import re

import yaml

WORDS = (
    "", " ", "nan", "NaN", "inf", "-inf", "1e400", "-1", "0", "1", "2", "1e-4", "0x10", "1_000", "１２", "9" * 20,
    "1.5", "true", "null", "~", "2020-01-01", "train", "Test", "..", "../../etc/passwd", "/etc/passwd", "a/b", "a\\b",
    "C:x", "[00001]", "[]", "]][[", "<script>alert(1)</script>", "=1+1", "+1", "-1+1", "@x", "a,b", '"', '"a"b',
    "'", "\t", "\x00", "\x1b[2J", "é", "\u202e", "\ufeff", "\U0001f600", "x" * 300, "%s", "{}", "{0}", "$HOME",
    "&a", "*a", "!!python/object:os.system x", "File_ID", "Split", "Joy", "\r", "[" * 2000, "{" * 500, "- " * 500)
VALUES = (
    None, True, False, 0, -1, 1, 2**63, 10**400, 0.5, math.nan, math.inf, -math.inf, "", "x", "1e-4", "nan", [], [1],
    ["a", "a"], [[]], [None], {}, {"a": 1}, {"": {}}, "../x", "x" * 3000, [0] * 2000, "\udc80", "a\nb", "<b>",
    ["Joy", "Joy"], ["<b>", "a,b", "=1", '"', "../x", ""])
ODD_KEYS = ("model", "train", "", ".", "model..frames", "train.lr.x", "модель.x")


def damage(data, rng, form):
    """Other bytes; `form` is the ending of the file's name."""
    if form in (".yaml", ".json") and rng.random() < 0.5:
        return _tree(data, rng, form)
    if form == ".csv" and rng.random() < 0.4:
        return _cells(data, rng)
    for _ in range(rng.choice((1, 1, 2, 5))):
        data = rng.choice((_bytes, _lines, _tokens, _tokens, _encoding, _ends))(data, rng)
    return data


def hostile_override(keys, rng):
    """A `--set` argument."""
    key = rng.choice(keys if rng.random() < 0.6 else ODD_KEYS)
    value = rng.choice(WORDS) if rng.random() < 0.6 else yaml.safe_dump(rng.choice(VALUES), default_flow_style=True)
    return rng.choice((f"{key}={value}", f"{key}={value}", f"{key}: {value}", f"{key}==", key))


def _bytes(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice((1, 3, 20)) if data else 0):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def _lines(data, rng):
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    at, kind = rng.randrange(len(lines)), rng.choice(("drop", "repeat", "swap", "blank", "only"))
    if kind == "drop":
        del lines[at]
    elif kind == "repeat":
        lines.insert(at, lines[at])
    elif kind == "swap":
        rng.shuffle(lines)
    elif kind == "blank":
        lines.insert(at, rng.choice((b"\n", b"   \n", b",,,\n", b"\r\n", b"#\n", b"---\n", b"\x00\n")))
    else:
        lines = lines[:at + 1]
    return b"".join(lines)


def _tokens(data, rng):
    places = list(re.finditer(rb"[^\s,:\[\]{}]+", data))
    word = rng.choice(WORDS).encode("utf-8", "surrogatepass")
    if not places or rng.random() < 0.2:
        at = rng.randrange(len(data) + 1)
        return data[:at] + word + data[at:]
    place = rng.choice(places)
    return data[:place.start()] + word + data[place.end():]


def _encoding(data, rng):
    text = data.decode("utf-8", "replace")
    return rng.choice((
        text.encode("utf-16"), text.encode("utf-16-le"), b"\xef\xbb\xbf" + data, b"\xef\xbb\xbf" * 2 + data,
        data.replace(b"\n", b"\r\n"), data.replace(b"\n", b"\r"), data.replace(b",", b";"), data.replace(b",", b"\t"),
        data + b"\xff\xfe", text.encode("latin-1", "replace") + b"\xe9"))


def _ends(data, rng):
    return rng.choice((b"", b"\n", data[:rng.randrange(len(data) + 1)], data * 2, data + data[:len(data) // 2],
                       data[:-1], b"\x00" * 100, data.strip()))


def _cells(data, rng):
    rows = [line.split(",") for line in data.decode("utf-8", "replace").splitlines()]
    if not rows:
        return data
    for _ in range(rng.choice((1, 1, 3))):
        row = rng.choice(rows)
        kind = rng.choice(("set", "set", "set", "more", "fewer", "column"))
        if kind == "set" and row:
            row[rng.randrange(len(row))] = rng.choice(WORDS)
        elif kind == "more":
            row.insert(rng.randrange(len(row) + 1), rng.choice(WORDS))
        elif kind == "fewer" and row:
            row.pop(rng.randrange(len(row)))
        elif kind == "column":
            at = rng.randrange(max(map(len, rows)) + 1)
            word = rng.choice(WORDS)
            for other in rows:
                other.insert(at, word)
    return "\n".join(map(",".join, rows)).encode("utf-8", "replace")


def _tree(data, rng, form):
    try:
        tree = yaml.safe_load(data) if form == ".yaml" else json.loads(data)
    except (yaml.YAMLError, ValueError, RecursionError):
        return data
    for _ in range(rng.choice((1, 1, 3))):
        tree = _graft(tree, rng)
    if form == ".json":
        return json.dumps(tree).encode()
    if rng.random() < 0.05:
        return b"a: &a [1, 1, 1, 1, 1, 1, 1, 1]\n" + b"".join(
            b"%c: &%c [%s]\n" % (n, n, b", ".join([b"*%c" % (n - 1)] * 8)) for n in range(98, 105)) + b"train: *h\n"
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).encode("utf-8", "replace")


def _graft(tree, rng, depth=0):
    """The tree with one node changed."""
    if isinstance(tree, (dict, list)) and tree and (depth == 0 or rng.random() < 0.8):
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key, kind = rng.choice(keys), rng.random()
        tree = dict(tree) if isinstance(tree, dict) else list(tree)
        if kind < 0.1:
            del tree[key]
        elif kind < 0.2 and isinstance(tree, dict):
            tree[rng.choice(("x", "", "lr", 7, None, "model", "<b>"))] = tree.pop(key)
        else:
            tree[key] = _graft(tree[key], rng, depth + 1)
        return tree
    if rng.random() < 0.05:
        for _ in range(60):
            tree = [tree]
        return tree
    return rng.choice(VALUES)
