# Copyright 2026 The mindface_eri authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
# ============================================================================
"""One small drawn clip for all subjects; times are never judged."""

import pytest

from mindface_eri.benchmark.clips import drawn_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """1 s of a drawn person, 20 frames of 480x270, with sound."""
    return drawn_clip(tmp_path_factory.mktemp("clips"), height=270, seconds=1.0, fps=20)
