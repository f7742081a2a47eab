# SPDX-License-Identifier: Apache-2.0
"""What `predict` writes beside its rows: pages, their index, figures and overlays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, List, Optional, Sequence

from mindface_eri.errors import ConfigError, ERIError
from mindface_eri.prediction.prediction import Prediction
from mindface_eri.prediction.predictor import Predictor
from mindface_eri.report.index import Entry, entry_of, file_names, write_index
from mindface_eri.report.page import write_page
from mindface_eri.report.provenance import provenance_of

# What a path must end with to be a file and no folder; the first is used within a folder.
_ENDINGS = {"report": (".html", ".htm"), "overlay": (".mp4", ".mov", ".mkv"), "figure": (".png", ".svg", ".pdf")}


def _is_file(path: Path, kind: str) -> bool:
    return path.suffix.lower() in _ENDINGS[kind]


class Writer:
    """Called with each `Prediction`; `finish` gives the files written.

    Args:
        names: of all clips of this call.
        predictor: what answers.
        model: what the predictor was loaded from.
        report: an .html file for one clip, or a folder, which gets an index.
        overlay: an .mp4 file for one clip, or a folder.
        figure: a .png or .svg file for one clip (both are written), or a folder.

    Raises:
        ConfigError: a file is named for several clips, or one that is something else.
    """

    def __init__(self, names: Sequence[str], predictor: Predictor, model: os.PathLike, *, report: Optional[Path] = None,
                 overlay: Optional[Path] = None, figure: Optional[Path] = None) -> None:
        for path, kind in ((report, "report"), (overlay, "overlay"), (figure, "figure")):
            if path is not None and _is_file(path, kind) and len(names) > 1:
                raise ConfigError(f"--{kind} {path}: {len(names)} clips do not fit into one file; name a folder")
            if path is not None and path.is_file() and not _is_file(path, kind):
                raise ConfigError(f"--{kind} {path}: is a file already; name one that ends in "
                                  f"{' or '.join(_ENDINGS[kind])}, or a folder")
        self.predictor, self.report, self.overlay, self.figure = predictor, report, overlay, figure
        self.facts = provenance_of(model, predictor)
        self.attention = report is not None or figure is not None  # an overlay shows none
        self.moving = overlay is not None
        self.single = report is not None and _is_file(report, "report")
        self.names = file_names(names)
        self.entries: List[Entry] = []
        self.pages: List[Path] = []
        self.written: List[Path] = []
        self.failures: List[str] = []

    def __call__(self, prediction: Prediction) -> None:
        if prediction.error:
            self.entries.append(Entry(prediction.name, error=prediction.error))
            return
        for what, wanted, draw in (("page", self.report, self._write_page), ("overlay", self.overlay, self._overlay),
                                   ("figure", self.figure, self._figure)):
            if wanted is not None:
                self._try(what, draw, prediction)

    def _try(self, what: str, draw: Callable[[Prediction], None], prediction: Prediction) -> None:
        """Whatever goes wrong in the drawing of one clip is said at the end; a disk that is full ends the command."""
        try:
            draw(prediction)
        except OSError:
            raise
        except ERIError as error:
            self.failures.append(f"no {what}: {error}")
        except Exception as error:
            self.failures.append(f"no {what} of {prediction.name}: {type(error).__name__}: {error}")

    def _write_page(self, prediction: Prediction) -> None:
        target = self._page(prediction.name)
        self.pages.append(write_page(target, prediction, self.facts, note=self.predictor.note))
        self.entries.append(entry_of(prediction, target.name))

    def _overlay(self, prediction: Prediction) -> None:
        from mindface_eri.report.overlay import write_overlay

        self.written.append(write_overlay(prediction, self._target(self.overlay, "overlay", prediction.name)))

    def _figure(self, prediction: Prediction) -> None:
        from mindface_eri.report.clip_figure import prediction_figure
        from mindface_eri.report.style import save_figure

        figure = prediction_figure(prediction, title=prediction.name)
        self.written += save_figure(figure, self._target(self.figure, "figure", prediction.name))

    def _page(self, name: str) -> Path:
        return self.report if self.single else self.report / self.names[name]

    def _target(self, path: Path, kind: str, name: str) -> Path:
        if _is_file(path, kind):
            return path
        return path / Path(self.names[name]).with_suffix(_ENDINGS[kind][0])

    def targets(self) -> List[Path]:
        """All files that this call may write."""
        files = [self.report / "index.html"] if self.report is not None and not self.single else []
        for name in self.names:
            if self.report is not None:
                files.append(self._page(name))
            if self.overlay is not None:
                files.append(self._target(self.overlay, "overlay", name))
            if self.figure is not None:
                figure = self._target(self.figure, "figure", name)
                files += [figure, figure.with_suffix(".png"), figure.with_suffix(".svg")]
        return files

    def finish(self) -> List[Path]:
        """Writes the index, where there is one; the files for people to open: it stands for its pages."""
        if self.report is not None and not self.single:
            self.pages = [write_index(self.report / "index.html", self.entries, self.predictor.emotions,
                                      note=self.predictor.note)]
        return [*self.pages, *self.written]
