# SPDX-License-Identifier: Apache-2.0
"""Predictors: clips in, intensities out, whatever file the network lies in."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np

from mindface_eri.config import ModelConfig, PreprocessConfig
from mindface_eri.datasets.build.workers import LIMIT
from mindface_eri.deploy.backends import CellBackend, OnnxBackend, input_shapes, open_backend, run_batches
from mindface_eri.deploy.parts import Parts, cell_parts, open_parts, part_shapes
from mindface_eri.deploy.sidecar import preprocess_of, read_sidecar
from mindface_eri.device.hardware import require_mindspore
from mindface_eri.errors import CheckpointError, ConfigError, DataError, MediaError
from mindface_eri.prediction.default_model import NOTE, default_model
from mindface_eri.prediction.extraction import Taken, reason_of, take_all_apart
from mindface_eri.prediction.inputs import Prepared, check_folders, check_need, modalities_needed, prepare, stacked
from mindface_eri.prediction.jobs import ClipLike, Job, as_jobs
from mindface_eri.prediction.people import check_people, with_people
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.prediction.timeline import Answers, Inputs, Seen, check_finite, through_windows
from mindface_eri.prediction.windows import Grid, Windows, default_windows
from mindface_eri.preprocess.clip import Clip
from mindface_eri.preprocess.identity import check_person

LOGGER = logging.getLogger(__name__)
_EXPORTS = (".mindir", ".onnx")


class _Asked(NamedTuple):
    """What is asked for beside the clips."""

    windows: Windows
    batch_size: int
    attention: bool
    folders: Mapping[str, os.PathLike]
    notify: Callable[[str], None]


class Predictor:
    """A network that answers for clips; made by `load_predictor`.

    Attributes:
        emotions: names of the intensities, in order.
        model: the network's ModelConfig.
        preprocess: how `predict` takes clips apart.
        features: of each feature set, its columns and how they are aligned.
        note: a sentence that people should read beside its answers, or nothing.
        precision: what it computes in: float32, or a key of `deploy.lowered.RUNTIMES`.
    """

    note = ""
    precision = "float32"

    def __init__(self, backend: Union[CellBackend, OnnxBackend], model: ModelConfig, preprocess: PreprocessConfig,
                 batch: Optional[int] = None, features: Mapping[str, Any] = MappingProxyType({}),
                 parts: Callable[[], Optional[Parts]] = lambda: None) -> None:
        self.emotions: Tuple[str, ...] = model.emotions
        self.model = model
        self.preprocess = preprocess
        self.features = features
        self._backend = backend
        self._batch = batch
        self._parts = functools.lru_cache(maxsize=None)(parts)  # opened where windows overlap

    def predict_arrays(self, frames: Optional[np.ndarray] = None, mfcc: Optional[np.ndarray] = None,
                       present: Optional[np.ndarray] = None, landmarks: Optional[np.ndarray] = None,
                       **features: np.ndarray) -> np.ndarray:
        """Intensities (B, E) in (0, 1).

        Args:
            frames: (B, T, S, S, 3) uint8 RGB crops; like the others, not needed by a network that does not take it.
            mfcc: (B, T, M) MFCC stacks.
            present: (B, 2) visual, acoustic, and a column for each feature set; ones if left out.
            landmarks: (B, T, 68, 2) pixels, zeros in an instant without a face.
            features: by name of its feature set, (B, T, F); of a network that normalises by person, `person`
                (B, 2, 6, F), which `datasets.by_person.person_statistics` gives.

        Raises:
            DataError: an array that the network needs is missing or has another shape or type.
        """
        arrays = self._inputs({"frames": frames, "mfcc": mfcc, "present": present, "landmarks": landmarks, **features})
        return self._intensities(self._backend, arrays)

    def _intensities(self, backend: Any, arrays: List[np.ndarray]) -> np.ndarray:
        """Those of the whole network, or of its part that follows the frames."""
        found = run_batches(backend, arrays, self._batch)
        if found.shape != (len(arrays[0]), len(self.emotions)):
            raise CheckpointError(f"the network's answer has shape {found.shape}, its description promises "
                                  f"{(len(arrays[0]), len(self.emotions))}; export again")
        return found

    def attention(self, frames: Optional[np.ndarray] = None, mfcc: Optional[np.ndarray] = None,
                  present: Optional[np.ndarray] = None, landmarks: Optional[np.ndarray] = None,
                  **features: np.ndarray) -> Optional[Tuple[np.ndarray, ...]]:
        """What the network looked at: intensities (B, E), temporal (B, T) and spatial weights (B, T, h, w) or None.

        None for an exported file, which carries only the way to the intensities, and for a network that weighs no
        instants. Arguments and errors as for
        `predict_arrays`.
        """
        return self._backend.attention(
            self._inputs({"frames": frames, "mfcc": mfcc, "present": present, "landmarks": landmarks, **features}))

    def _inputs(self, given: Mapping[str, Optional[np.ndarray]], shapes: Optional[list] = None) -> List[np.ndarray]:
        """The arrays that the network, or its part of these shapes, takes, in its order, checked."""
        names = self.model.inputs
        count = next((len(given[name]) for name in names if given.get(name) is not None), 0)
        if given["present"] is None:
            given = {**given, "present": np.ones((count, len(self.model.modalities)), np.float32)}
        return [_checked(name, given.get(name), (count, *shape[1:]), kind)
                for name, (shape, kind) in zip(names, shapes or input_shapes(self.model, None))]

    def predict(self, clips: Iterable[ClipLike], *, window: float = 0.0, hop: float = 0.0, whole: bool = False,
                batch_size: int = 1, workers: int = 0, clip_limit: float = LIMIT, attention: bool = False,
                moving: bool = False, features: Mapping[str, Union[str, os.PathLike]] = MappingProxyType({}),
                person: Optional[str] = None, people: Optional[Mapping[str, str]] = None,
                taken: Optional[Iterable[Taken]] = None,
                notify: Callable[[str], None] = lambda text: None) -> Iterator[Prediction]:
        """A `Prediction` for each clip, in their order, each as soon as it is there.

        Whatever goes wrong with a clip, in its file or in the network, gives a `Prediction` with `error`; the others
        are answered all the same.

        Args:
            clips: media files, pairs of a video and a separate sound file, or `Clip`s, which are answered whole.
            window, hop: seconds; either one asks for a timeline, 0 takes 12 s and half a window. Without them, a
                video longer than 30 s gets a timeline.
            whole: never a timeline.
            batch_size: clips, or windows of one, that go through the network together; on a processor more than one
                costs memory and saves nothing.
            workers: processes that take clips apart; with none, this process does, and a file that crashes its decoder
                or never ends does so here.
            clip_limit: seconds after which a worker gives a file up.
            attention: whether to ask for the weights too, which takes a graph of its own; exported files have none.
            moving: values over time also of a file that is answered whole, for a drawing.
            features: by name of its feature set, a folder with a CSV for each clip, named after it.
            person: whom to follow in a file, as `preprocess.face.follow`, instead of what the model's recipe says.
            people: of a network that normalises by person, who is heard in each clip, by its name. Such a network
                answers clips whole, needs ten or more of each person, with a mixture of reactions like that in
                training, and takes all apart, and keeps them, before it answers the first.
            taken: the files taken apart already, in the same order and for the same windows, by `extraction.take_apart`
                in processes that stay.
            notify: receives what is going on, in words.

        Raises:
            ConfigError: people are missing or not asked for; person is neither a choice nor a photograph; window or hop
                cannot be used, or not for a `Clip`; batch_size is below 1, workers below 0; clip_limit is not positive,
                or set without workers.
            DataError: one clip instead of several; too few clips of a person, or a clip of nobody; no folder, or one
                that is not there, for a feature set.
        """
        if batch_size < 1 or workers < 0:
            raise ConfigError(f"batch_size {batch_size} and workers {workers}: must be at least 1 and 0")
        if clip_limit <= 0 or np.isnan(clip_limit):
            raise ConfigError(f"a limit of {clip_limit:g} s leaves no clip any time: give more than 0")
        if clip_limit != LIMIT and not workers:
            raise ConfigError(f"clip_limit {clip_limit:g} holds in worker processes only; ask for workers=1")
        by_person = self.model.normalise_by_person
        if by_person and (window or hop or moving):
            raise ConfigError("this network compares a clip with the others of its person, and answers clips whole; "
                              "leave window, hop and overlay out")
        windows = Windows(window, hop, whole or by_person, moving)
        jobs = as_jobs(clips)
        check_people(self.model, jobs, people)
        if (window or hop) and any(job.clip is not None for job in jobs):
            raise ConfigError("window and hop: a Clip holds the instants of one answer only; give the file's path")
        check_folders(self.model, features)
        settings = self.preprocess
        if person is not None:
            settings = replace(settings, face=replace(settings.face, follow=person))
        check_person(settings.face.follow)
        parts = take_all_apart(jobs, settings, windows, workers, clip_limit) if taken is None else (t for t in taken)
        if people is not None:
            parts = self._of_people(jobs, parts, people)
        return self._answers(jobs, parts, _Asked(windows, batch_size, attention, features, notify))

    def _of_people(self, jobs: List[Job], taken: Iterator[Taken], people: Mapping[str, str]) -> Iterator[Taken]:
        yield from with_people(jobs, list(taken), people, self.preprocess.audio.coefficients)

    def _answers(self, jobs: List[Job], taken: Iterator[Taken], asked: _Asked) -> Iterator[Prediction]:
        """Clips that are taken whole wait for each other until `batch_size` of them are there; the order stays."""
        waiting: List[Tuple[Job, Union[Prepared, Prediction]]] = []
        with contextlib.closing(taken):  # its workers end with this iterator, whatever ends that
            for job, one in zip(jobs, taken):
                try:
                    found = self._found(job, one, asked)
                except Exception as error:
                    found = self._prediction(job, error=reason_of(job, error))
                waiting.append((job, found))
                together = sum(isinstance(found, Prepared) for _, found in waiting)
                if together == 0 or together >= asked.batch_size:
                    yield from self._flush(waiting, asked)
                    waiting = []
            yield from self._flush(waiting, asked)

    def _found(self, job: Job, taken: Taken, asked: _Asked) -> Union[Prepared, Prediction]:
        """The network's inputs but for their batch; of a clip with windows, its answer."""
        if taken.error:
            return self._prediction(job, error=taken.error)
        prepared = prepare(self.model, self.features, job, taken.clip, asked.folders, taken.person)
        if taken.grid is None:
            return prepared
        asked.notify(f"{job.name}: {taken.clip.duration:.1f} s")
        if taken.grid.coarse:
            return self._moving(job, prepared, taken.grid, asked)
        found = self._through(job, prepared, taken.grid, asked, self._seen(job, taken.clip, taken.grid, asked))
        if not np.isfinite(found["intensities"]).all():
            raise MediaError(f"{job.source}: neither face nor sound in any of its windows ({taken.clip.quality})")
        window, hop = default_windows(asked.windows.window, asked.windows.hop)
        return self._prediction(job, clip=taken.clip, window=window, hop=hop, moments=found["segments"].mean(1),
                                moving=found["values"], **found)

    def _moving(self, job: Job, prepared: Prepared, grid: Grid, asked: _Asked) -> Prediction:
        """The answer of the whole clip, with the values of its windows."""
        every = prepared.every(grid.coarse)
        check_need(self.model, job, every.clip)  # the face may show between the network's own instants only
        seen = self._seen(job, prepared.clip, grid, asked)
        answers = seen.ask(stacked([every])._replace(frames=seen.frames[None, ::grid.coarse]))
        if seen.spatial is not None:
            answers = answers._replace(spatial=seen.spatial[None, ::grid.coarse])
        whole = self._whole(job, every.clip, _rows(answers)[0])
        found = self._through(job, prepared, grid, asked, seen)
        return replace(whole, moments=found["segments"].mean(1), moving=found["values"])

    def _seen(self, job: Job, clip: Clip, grid: Grid, asked: _Asked) -> Seen:
        """The clip's frames, encoded once each where its windows share them and the network has parts."""
        parts = self._parts() if grid.overlaps else None
        if parts is None:
            return Seen(clip.frames, lambda inputs: self._ask(inputs, asked.attention))
        asked.notify(f"{job.name}: {grid.samples} frames")
        # Those that the network sees of a clip answered whole go first, together: the same call, the same numbers.
        order = np.argsort(np.arange(grid.samples) % max(grid.coarse, 1), kind="stable")
        size, rest = (self._batch or asked.batch_size) * grid.frames, None if self._batch else grid.frames
        vectors, weights = parts.encode(clip.frames[order], size, rest, asked.attention)
        back = np.argsort(order)
        return Seen(vectors[back], lambda inputs: self._ask(inputs, asked.attention, parts),
                    None if weights is None else np.asarray(weights[back], np.float64))

    def _through(self, job: Job, prepared: Prepared, grid: Grid, asked: _Asked, seen: Seen) -> Dict[str, Any]:
        return through_windows(
            prepared.clip, seen, grid, prepared.features, prepared.there, modalities_needed(self.model),
            self.preprocess.audio.silence, asked.batch_size, lambda text: asked.notify(f"{job.name}: {text}"))

    def _flush(self, waiting: List[Tuple[Job, Union[Prepared, Prediction]]], asked: _Asked) -> Iterator[Prediction]:
        answers = self._together([found for _, found in waiting if isinstance(found, Prepared)], asked)
        for job, found in waiting:
            if isinstance(found, Prediction):
                yield found
                continue
            try:
                yield self._whole(job, found.clip, answers.pop(0))
            except Exception as error:
                yield self._prediction(job, error=reason_of(job, error))

    def _together(self, clips: List[Prepared], asked: _Asked) -> List[Union[Answers, Exception]]:
        """What the network says of each; where it fails they go through it one by one, so that others are answered."""
        try:
            return _rows(self._ask(stacked(clips), asked.attention)) if clips else []
        except Exception as error:
            return [error] if len(clips) == 1 else [self._together([one], asked)[0] for one in clips]

    def _whole(self, job: Job, clip: Clip, answer: Union[Answers, Exception]) -> Prediction:
        if isinstance(answer, Exception):
            raise answer
        check_finite(answer)
        return self._prediction(job, clip=clip, intensities=answer.values, values=answer.values[None],
                                segments=np.array([[0.0, float(clip.timestamps[-1])]]), temporal=answer.temporal,
                                spatial=answer.spatial)

    def _ask(self, inputs: Inputs, attention: bool, parts: Optional[Parts] = None) -> Answers:
        """The network, or its second part, whose frames are vectors. An exported file has no weights to give, only its
        intensities come back then."""
        given = {**inputs._asdict(), **inputs.features}
        backend = self._backend if parts is None else parts.temporal
        arrays = self._inputs(given, None if parts is None else part_shapes(self.model, "temporal", None))
        found = backend.attention(arrays) if attention else None
        if found is None:
            return Answers(np.asarray(self._intensities(backend, arrays), np.float64), None, None)
        return Answers(*(None if part is None else np.asarray(part, np.float64) for part in found))

    def _prediction(self, job: Job, **more: Any) -> Prediction:
        return Prediction(job.name, self.emotions, path=job.source, sound=job.separate_sound, **more)


def load_predictor(path: Union[str, os.PathLike, None] = None, *, which: str = "best", device: str = "auto",
                   threads: int = 0) -> Predictor:
    """A predictor over a run folder, a .ckpt, a .mindir or an .onnx file.

    Without any it is the model that comes with the package, which estimates how strongly a face comes to smile; a
    warning and the predictor's `note` say so.

    Besides MindSpore's device nothing of the process changes: no seed, no generator's state, no mode.

    Args:
        which: "best" or "last" checkpoint of a run folder.
        device: auto, CPU, GPU or Ascend; an .onnx file runs on the CPU.
        threads: of onnxruntime; 0 is as many as there are cores.

    Raises:
        ConfigError: the device cannot be used here.
        CheckpointError: nothing usable lies there, or an exported file's .json is missing.
        MissingDependencyError: an .onnx file without onnxruntime installed, another one without MindSpore.
    """
    if path is None:
        LOGGER.warning(NOTE)
        found = load_predictor(default_model(device), device=device, threads=threads)
        found.note = NOTE
        return found
    target = Path(path)
    if not target.exists():
        raise CheckpointError(f"{target}: no such run folder or file")
    if target.suffix != ".onnx":
        require_mindspore(str(target))
    if target.suffix in _EXPORTS:
        sidecar = read_sidecar(target)
        lowered = sidecar.precision
        backend = open_backend(target, threads, device, *([lowered.runtime] if lowered else []))
        found = Predictor(backend, sidecar.model, sidecar.preprocess, sidecar.batch, sidecar.features,
                          lambda: open_parts(sidecar.parts, sidecar.batch, threads, device))
        found.note = sidecar.note
        if lowered is not None:
            found.precision = lowered.kind
            found.note = " ".join(filter(None, (sidecar.note, lowered.sentence(target))))
            LOGGER.warning(lowered.sentence(target))
        return found
    if target.is_file() and target.suffix != ".ckpt":
        raise CheckpointError(f"{target}: not a run folder, .ckpt, .mindir or .onnx file")
    from mindface_eri.device.context import keep_generators, use_device

    use_device(device)
    from mindface_eri.deploy.fold import fold_normalisation
    from mindface_eri.runner.run_folder import load_trained

    trained = load_trained(target, which)
    with keep_generators():  # initial values are drawn, though the weights replace them
        network = fold_normalisation(trained.build())
    found = Predictor(CellBackend(network), trained.model, preprocess_of(trained),
                      features=trained.note.get("features", {}), parts=lambda: cell_parts(network))
    found.note = str(trained.note.get("about", ""))
    return found


def _rows(answers: Answers) -> List[Answers]:
    """The answer of each clip of a batch."""
    return [Answers(*(None if part is None else part[i] for part in answers)) for i in range(len(answers.values))]


def _checked(name: str, array: Optional[np.ndarray], shape: tuple, kind: type) -> np.ndarray:
    wanted = f"({', '.join(map(str, ('B', *shape[1:])))}) {kind.__name__}"
    if array is None:
        raise DataError(f"{name} is missing: this network needs {wanted}")
    array = np.asarray(array)
    if array.shape != shape:
        raise DataError(f"{name} has shape {array.shape}, this network needs {wanted} with the same B for all inputs")
    if kind is np.uint8 and array.dtype != np.uint8:
        raise DataError(f"{name} is {array.dtype}, this network needs {wanted}: plain RGB crops, not normalised")
    return np.ascontiguousarray(array, dtype=kind)
