# SPDX-License-Identifier: Apache-2.0
"""Portraits of drawn people, each at rest and smiling: nobody's likeness."""

import numpy as np
import pytest
from PIL import Image

from mindface_eri.synthetic.drawing import Portrait, Pose
from mindface_eri.synthetic.expression import Expression
from mindface_eri.synthetic.people import draw_person

SEEDS = (0, 1, 3, 4)
MOVED = Pose(roll=6.0, scale=0.9, shift=(0.2, 0.1))  # the second photograph is taken otherwise


@pytest.fixture(scope="session")
def portraits(tmp_path_factory):
    """Folder with portraits.csv of four people, without splits."""
    folder = tmp_path_factory.mktemp("portraits")
    rows = ["Person,neutral,expressive,Age"]
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        drawn = Portrait(draw_person(rng), (400, 300), rng)
        Image.fromarray(drawn.frame(Expression(), Pose())).save(folder / f"{seed}_rest.png")
        Image.fromarray(drawn.frame(Expression(smile=1.0), MOVED)).save(folder / f"{seed}_smile.png")
        rows.append(f"p{seed},{seed}_rest.png,{seed}_smile.png,{30 + seed}")
    (folder / "portraits.csv").write_text("\n".join(rows) + "\n")
    return folder
