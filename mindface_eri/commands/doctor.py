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
"""mindface-eri doctor"""

import dataclasses
import json

from mindface_eri.doctor import diagnose, summary


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("--device", choices=("auto", "CPU", "GPU", "Ascend"), default="auto",
                        help="a device that must work: being out of reach is then an error, not a note")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments):
    """Prints the findings; status 1 when the route cannot work."""
    findings = diagnose(arguments.device)
    if arguments.json:
        print(json.dumps([dataclasses.asdict(f) for f in findings], indent=2))
    else:
        for f in findings:
            print(f"{f.status:>8}  {f.subject:<24} {f.detail}")
            if f.cure:
                print(f"{'':>8}  {'':<24} -> {f.cure}")
        print(summary(findings) or "all that the route needs is here")
    return int(summary(findings) is not None)
