# SPDX-License-Identifier: Apache-2.0
"""What a preprocessing run is about to do, agreed on by every run that shares its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ContextManager, List, Mapping, Tuple

from mindface_eri.config import PreprocessConfig, to_dict
from mindface_eri.datasets.labels import Manifest
from mindface_eri.datasets.parts import ARRAYS, COPIES, KINDS, OF_VERSION_0_1
from mindface_eri.errors import ConfigError, DataError
from mindface_eri.files import folder_lock, write_json

FORMAT = 1
_LABELS = ("clips", "labels", "emotions")  # what the plan says of the label table


@dataclass(frozen=True)
class Plan:
    """A manifest cut into blocks of consecutive clips; a block becomes a part of the records."""

    out: Path
    manifest: Manifest
    config: PreprocessConfig
    block_size: int
    fields: Tuple[str, ...] = tuple(ARRAYS)  # that each record holds

    @property
    def blocks(self) -> int:
        return -(-len(self.manifest) // self.block_size)

    def block_of(self, position: int) -> int:
        """Block of the clip at a position of the manifest."""
        return position // self.block_size

    def positions(self, block: int) -> range:
        """Positions of a block's clips."""
        return range(block * self.block_size, min((block + 1) * self.block_size, len(self.manifest)))

    def shard(self, num_shards: int, shard_index: int) -> List[int]:
        """Blocks of one of the runs that share the data set."""
        return list(range(shard_index, self.blocks, num_shards))


def make_plan(out: Path, manifest: Manifest, config: PreprocessConfig, *, resume: bool, num_shards: int) -> Plan:
    """The plan of a new folder, or that of a folder which an earlier run began.

    Raises:
        DataError: the folder was begun with other settings or labels, or `resume` is off and it was begun at all.
        ConfigError: crops so large or so many do not fit into one JPEG.
    """
    if len(manifest) == 0:
        raise DataError(f"{manifest.source}: no clips to preprocess")
    rows = config.frames * config.face.size
    if config.storage == "jpeg" and rows > 65500:
        raise ConfigError(f"preprocess.frames x preprocess.face.size is {rows}, one JPEG holds 65500 rows; set "
                          "preprocess.storage to raw")
    # At most about 64 parts, since MindData opens all of them in each thread; a few blocks a shard, to balance shards.
    share = -(-len(manifest) // (4 * num_shards)) if num_shards > 1 else len(manifest)
    size = max(1, min(512, max(32, -(-len(manifest) // 64)), share))
    wanted = {"format": FORMAT, "clips": len(manifest), "labels": manifest.fingerprint(),
              "emotions": list(manifest.emotions), "preprocess": to_dict(config)}
    path = out / "plan.json"
    if not path.exists():
        if out.is_file() or (out / "dataset.json").exists():
            raise DataError(f"{out}: is taken by something else; choose another folder")
        (out / "records").mkdir(parents=True, exist_ok=True)
        (out / "work").mkdir(exist_ok=True)
        fields = [*ARRAYS, *([COPIES] if config.augment.speeds else [])]
        write_json(path, {**wanted, "block_size": size, "fields": fields})
    elif not resume and num_shards == 1:
        raise DataError(f"{out}: an earlier run wrote there; go on with --resume, or choose another folder")
    return Plan(out, manifest, config, *_agreed(path, wanted))


def _agreed(path: Path, wanted: Mapping) -> Tuple[int, Tuple[str, ...]]:
    """Block size and fields of the plan on disk.

    Raises:
        DataError: it says something else than wanted.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.get("format") != FORMAT:
            raise DataError(f"{path}: format {found.get('format')}, this version writes {FORMAT}; choose another "
                            "folder")
        size, labels, theirs = int(found["block_size"]), [found[key] for key in _LABELS], _flat(found["preprocess"])
        if size < 1:
            raise ValueError(f"block_size {size}")
        fields = tuple(found.get("fields", OF_VERSION_0_1))
        if set(fields) - set(KINDS):
            raise ValueError(f"fields {', '.join(map(str, fields))}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise DataError(f"{path}: cannot be read ({type(error).__name__}: {error}); choose another folder") from None
    ours = _flat(wanted["preprocess"])
    theirs = {**_flat(to_dict(PreprocessConfig())), **theirs}  # an earlier version did as its successors do by default
    other = [f"{key} is {ours.get(key)!r} now, was {theirs.get(key)!r}" for key in sorted({*ours, *theirs})
             if ours.get(key) != theirs.get(key)]
    if other:
        raise DataError(f"{path.parent}: was begun with other settings: {'; '.join(other)}; set them back, or choose "
                        "another folder")
    if labels != [wanted[key] for key in _LABELS]:
        raise DataError(f"{path.parent}: was begun with another label table ({labels[0]} clips, now "
                        f"{wanted['clips']}; ids, splits or labels differ); choose another folder")
    return size, fields


def _flat(tree: Mapping, prefix: str = "preprocess") -> dict:
    flat = {}
    for key, value in tree.items():
        name = f"{prefix}.{key}"
        flat.update(_flat(value, name) if isinstance(value, Mapping) else {name: value})
    return flat


def shard_lock(out: Path, shard_index: int, num_shards: int) -> ContextManager[None]:
    """Keeps a second run of the same shard out (a `BusyError`)."""
    return folder_lock(out / "work" / f"shard-{shard_index}-of-{num_shards}.lock",
                       f"shard {shard_index} of {num_shards}")
