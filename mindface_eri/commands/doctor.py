# SPDX-License-Identifier: Apache-2.0
"""mindface-eri doctor"""

import dataclasses

from mindface_eri.device.hardware import has_mindspore
from mindface_eri.doctor import diagnose, verdict
from mindface_eri.files import json_text


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("--device", choices=("auto", "CPU", "GPU", "Ascend"), default="auto",
                        help="a device that must work: being out of reach is then an error, not a note")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments):
    """Prints the findings; status 1 when the route cannot work."""
    findings = diagnose(arguments.device)
    if arguments.json:
        print(json_text([dataclasses.asdict(f) for f in findings], indent=2))
    else:
        for f in findings:
            print(f"{f.status:>8}  {f.subject:<24} {f.detail}")
            if f.cure:
                print(f"{'':>8}  {'':<24} -> {f.cure}")
        print(verdict(findings) or "all that the route needs is here" + ("" if has_mindspore() else ", up to training"))
    return int(verdict(findings) is not None)
