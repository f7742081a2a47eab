# SPDX-License-Identifier: Apache-2.0
"""The baseline that a network has to be better than: kernel ridge and ridge regression on statistics over time.

Of each modality a clip's statistics (`evaluation.statistics`) are standardised over the training clips; what a clip
lacks says nothing. Kernel ridge takes the mean of the modalities' kernels, ridge their statistics side by side. The
settings are constants, so that no clip has to be kept apart for choosing them.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import zipfile
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from mindface_eri.datasets.feature_sets import list_feature_sets, open_feature_set
from mindface_eri.datasets.parts import COPIES
from mindface_eri.datasets.presence import lacking
from mindface_eri.datasets.records import Records
from mindface_eri.errors import DataError, MissingDependencyError
from mindface_eri.evaluation.statistics import exclusive, is_exclusive, laid_on, mean_shape, thirds
from mindface_eri.files import replacing

LOGGER = logging.getLogger(__name__)

DEFINITION = 1  # what it is; another answer is another number, and no cache of this one is read
KERNEL, RIDGE, SOFTMAX = "kernel ridge", "ridge", ", softmax"
LARGEST = 20_000  # training clips whose kernel fits into memory: 18 bytes a pair, 7 GB
# Of kernel ridge: chosen on acted speech and morphed smiles. Ridge's penalty is the number of clips, which on inner
# folds of both came within 0.004 of the best of nine.
_ALPHA, _GAMMA = 0.3, 0.3
_HAS = {"landmarks": "present_visual", "mfcc": "present_acoustic"}  # columns of clips.csv

Streams = Dict[str, List[Optional[np.ndarray]]]  # modality -> of each clip what it has


def modalities_of(records: Records, inputs: Sequence[str] = ("frames", "mfcc")) -> Tuple[str, ...]:
    """What statistics can be taken of among a network's inputs: "landmarks", "mfcc" and names of feature sets.

    Crops have none of their own, so that landmarks stand for them. A modality that no clip has is none.
    """
    there = [name for name, column in _HAS.items() if any(row.get(column) != "0" for row in records.table)]
    there = [name for name in there if name == "mfcc" or holds_landmarks(records)]
    there += [name for name in list_feature_sets(records) if open_feature_set(records, name).present.any()]
    wanted = ["landmarks" if name == "frames" else name for name in inputs]
    return tuple(name for name in dict.fromkeys(wanted) if name in there)


def holds_landmarks(records: Records) -> bool:
    """Whether the records hold landmarks, which those of version 0.1 do not."""
    return "landmarks" in records.fields


class Baseline:
    """The baseline of some modalities, fitted and asked as often as there are folds; each clip is read once.

    Args:
        copies: whether it is fitted on the copies of sound that the records hold, too.
    """

    def __init__(self, modalities: Sequence[str], copies: bool = False) -> None:
        self.modalities, self.copies = tuple(modalities), copies and "mfcc" in modalities
        self._read: Dict[Tuple[str, str], Dict[str, Optional[np.ndarray]]] = {}

    def predict(self, training: Records, fitted_on: Sequence[str], records: Records,
                ids: Sequence[str]) -> Dict[str, np.ndarray]:
        """Name of each regression -> what it gives for clips of `records`, (n, E).

        What was computed before is read from the folder of `records`, where that can be written to.

        Raises:
            DataError: there are no clips to fit, or none of them has what the statistics are of.
            MissingDependencyError: scikit-learn is not installed.
        """
        labels = np.asarray(training.labels(ids=fitted_on), np.float64) if len(fitted_on) else np.zeros((0, 1))
        known = int((~np.isnan(labels)).any(axis=1).sum())
        if known < max(2, len(labels)):
            raise DataError(f"{training.path}: a baseline needs two training clips, all of them labelled; here are "
                            f"{known} of {len(fitted_on)}")
        cache = records.path / "baseline" / f"{self._key(training, fitted_on, records, ids)}.npz"
        found = _cached(cache, (len(ids), labels.shape[1]))
        if found is None:
            streams = self._streams(training, fitted_on)
            if self.copies:
                streams, sources = with_copies(training, fitted_on, streams)
                labels = labels[sources]
            asked = self._streams(records, ids)
            found = regress({name: [*streams[name], *asked[name]] for name in self.modalities}, labels)
            _keep(cache, found)
        return found

    def _key(self, training: Records, fitted_on: Sequence[str], records: Records, ids: Sequence[str]) -> str:
        sets = [[open_feature_set(which, name).hash for which in (training, records)]
                for name in self.modalities if name in list_feature_sets(training)]
        told = repr((DEFINITION, self.modalities, sets, training.hash, tuple(fitted_on), records.hash, tuple(ids),
                     *(["copies"] if self.copies else []),
                     *(which.by_person.person.tolist() for which in (training, records) if which.by_person)))
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    def _streams(self, records: Records, ids: Sequence[str]) -> Streams:
        """What is read of clips, here or before."""
        place = str(records.path)
        new = [clip for clip in dict.fromkeys(ids) if (place, clip) not in self._read]
        for name, values in read_streams(records, new, self.modalities).items():
            for clip, value in zip(new, values):
                self._read.setdefault((place, clip), {})[name] = value
        return {name: [self._read[place, clip][name] for clip in ids] for name in self.modalities}


def read_streams(records: Records, ids: Sequence[str], modalities: Sequence[str]) -> Streams:
    """Of each clip its statistics, (D,), or its landmarks (T, 68, 2), to be laid on a mean shape first; None: none."""
    rows, deaf = records.rows(ids), lacking(records, ["mfcc"])["sound"]
    streams: Streams = {name: [] for name in modalities}
    stored = [name for name in modalities if name in _HAS]
    for row, record in zip(rows, records.read(ids, stored) if stored and len(ids) else ()):
        if "mfcc" in record:
            frames = record["mfcc"].reshape(-1, records.preprocess.audio.coefficients)  # of the stacks, one by one
            streams["mfcc"].append(None if deaf[row] else _of_sound(records, row, frames))
        if "landmarks" in record:
            marks = record["landmarks"].reshape(-1, 68, 2)
            streams["landmarks"].append(marks if marks.any() else None)
    for name in set(modalities) - set(stored):
        features = open_feature_set(records, name)
        streams[name] = [thirds(features.values[row]) if features.present[row] else None for row in rows]
    return streams


def with_copies(records: Records, ids: Sequence[str], streams: Streams) -> Tuple[Streams, np.ndarray]:
    """The clips' statistics, behind them those with each copy of their sound in its place; and of each its clip.

    Raises:
        DataError: the records hold no copies.
    """
    records.check_fields([COPIES])
    more, sources = {name: list(values) for name, values in streams.items()}, list(range(len(ids)))
    for source, (row, record) in enumerate(zip(records.rows(ids), records.read(ids, [COPIES]))):
        for number, sound in enumerate(record[COPIES], 1):
            sources.append(source)
            frames = sound.reshape(-1, records.preprocess.audio.coefficients)
            for name, values in more.items():
                values.append(_of_sound(records, row, frames, number) if name == "mfcc" else values[source])
    return more, np.array(sources)


def _of_sound(records: Records, row: int, frames: np.ndarray, copy: int = 0) -> np.ndarray:
    """Statistics (6F,) of a clip's sound; by its person, where the records have those."""
    found = thirds(frames)
    if records.by_person is None:
        return found
    mean, deviation = records.by_person.of(np.array([row]), np.array([copy]))[0].reshape(2, -1).astype(np.float64)
    return (found - mean) / deviation


def regress(streams: Mapping[str, Sequence[Optional[np.ndarray]]], labels: np.ndarray) -> Dict[str, np.ndarray]:
    """Fits the first clips, those of `labels` (N, E), and predicts the others: name -> (n, E).

    Each emotion is fitted on the clips of which it is known; one that is known of fewer than two is 0 throughout.

    Raises:
        DataError: no training clip has anything.
    """
    known = ~np.isnan(labels)
    whole: Dict[str, np.ndarray] = {}
    everywhere = {KERNEL, RIDGE}  # of some emotions there may be too many clips for a kernel
    for mask in np.unique(known[:, known.sum(0) > 1], axis=1).T:
        columns = (known == mask[:, None]).all(0)
        taken = np.append(mask, np.ones(max(map(len, streams.values())) - len(mask), bool))
        part = {name: [value for value, take in zip(values, taken) if take] for name, values in streams.items()}
        found = _regress(part, labels[mask][:, columns])
        everywhere &= set(found)
        for name, values in found.items():
            whole.setdefault(name, np.zeros((len(values), labels.shape[1])))[:, columns] = values
    whole = {name: values for name, values in whole.items() if name in everywhere}
    if is_exclusive(labels):
        whole.update({name + SOFTMAX: exclusive(values, labels) for name, values in list(whole.items())})
    return whole


def _regress(streams: Mapping[str, Sequence[Optional[np.ndarray]]], labels: np.ndarray) -> Dict[str, np.ndarray]:
    """The same where every label is known, without the softmax."""
    count = len(labels)
    tables = [(_standardised(*_table(name, list(values), count), count)) for name, values in streams.items()
              if any(value is not None for value in values[:count])]
    if not tables:
        raise DataError(f"none of the {count} training clips has {' or '.join(streams) or 'anything'}")
    found = {KERNEL: _kernel_ridge(tables, labels)} if count <= LARGEST else {}
    found[RIDGE] = _ridge(tables, labels)
    return found


def _table(name: str, values: List[Optional[np.ndarray]], count: int) -> Tuple[np.ndarray, np.ndarray]:
    """Statistics of all clips (N + n, D), zeros where a clip has none, and which have them."""
    if name == "landmarks":
        mean = mean_shape(clip for clip in values[:count] if clip is not None)
        values = [None if clip is None else thirds(laid_on(clip, mean).reshape(len(clip), -1), movement=True)
                  for clip in values]
    has = np.array([value is not None for value in values])
    width = len(next(value for value in values if value is not None))
    table = np.stack([np.zeros(width) if value is None else value for value in values])
    return table, has


def _standardised(table: np.ndarray, has: np.ndarray, count: int) -> Tuple[np.ndarray, np.ndarray]:
    """By mean and deviation of the training clips that have it; others stay zeros, which is the mean."""
    known = table[:count][has[:count]]
    mean, deviation = known.mean(0), known.std(0)
    deviation = np.where(deviation > 1e-9 * (1 + np.abs(mean)), deviation, np.inf)  # what never changes says nothing
    return np.where(has[:, None], (table - mean) / deviation, 0.0), has


def _kernel_ridge(tables: Sequence[Tuple[np.ndarray, np.ndarray]], labels: np.ndarray) -> np.ndarray:
    """Intensities (held, E) of the rows after the labelled ones, by the mean of the modalities' kernels."""
    regression, pairwise = _scikit("kernel_ridge"), _scikit("metrics.pairwise")
    count, mean = len(labels), labels.mean(0)
    kernel = np.zeros((len(tables[0][0]), count), np.float32)
    for table, has in tables:
        table = table.astype(np.float32)
        ours = pairwise.rbf_kernel(table, table[:count], gamma=_GAMMA / table.shape[1])
        ours[~has], ours[:, ~has[:count]] = 0, 0  # two clips of which one lacks the modality are not alike in it
        ours /= len(tables)
        kernel += ours
        del ours
    labels = (labels - mean).astype(np.float32)  # as the kernel, of which there would be a copy in float64 else
    fitted = regression.KernelRidge(alpha=_ALPHA, kernel="precomputed").fit(kernel[:count], labels)
    return np.asarray(fitted.predict(kernel[count:]), np.float64) + mean


def _ridge(tables: Sequence[Tuple[np.ndarray, np.ndarray]], labels: np.ndarray) -> np.ndarray:
    joined, count = np.concatenate([table for table, _ in tables], 1), len(labels)
    fitted = _scikit("linear_model").Ridge(alpha=float(count)).fit(joined[:count], labels)
    return np.asarray(fitted.predict(joined[count:]), np.float64).reshape(len(joined) - count, labels.shape[1])


def _scikit(module: str):
    import importlib

    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError:
        raise MissingDependencyError("the baseline needs scikit-learn: pip install 'mindface_eri[baseline]'") from None


def _cached(path: Path, shape: Tuple[int, int]) -> Optional[Dict[str, np.ndarray]]:
    """What lies there, if it is whole."""
    with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        if found and all(value.shape == shape and np.isfinite(value).all() for value in found.values()):
            return found
    return None


def _keep(path: Path, found: Mapping[str, np.ndarray]) -> None:
    try:
        with replacing(path) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, **found)  # type: ignore[arg-type]
    except OSError as error:  # the records may be another's, or the disk full: it is computed again next time
        LOGGER.debug("%s: not kept (%s)", path, error)
