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
"""One progress bar for all long work."""

import sys


def progress_bar(total: int, what: str, *, initial: int = 0, show: bool = True):
    """A tqdm bar of clips on standard error; where that is no terminal, a line every quarter of a minute."""
    from tqdm import tqdm

    return tqdm(total=total, initial=initial, desc=what, unit="clip", disable=not show, dynamic_ncols=True,
                mininterval=0.1 if sys.stderr.isatty() else 15.0)
