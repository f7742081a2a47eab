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
"""What the package costs, each figure beside what one would use instead, measured in turns in one run.

One file a subject; `harness.py` is what they share. The yardsticks (`literal.py`, `torch_data.py`, `torch_route.py` and
`deploy/torch_twin.py`) are written as their users would write them, and share no code with what they are beside.
"""
