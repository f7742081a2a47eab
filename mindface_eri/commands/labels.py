# SPDX-License-Identifier: Apache-2.0
"""mindface-eri labels"""

from pathlib import Path


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("table", type=Path, help="CSV of any kind, or .xlsx; a row a clip, or a rating")
    parser.add_argument("--media", type=Path, metavar="FOLDER", help="where the clips lie, at any depth")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, with a link to the media")
    parser.add_argument("--scale", metavar="LOW:HIGH", help="of the ratings, such as 1:7; without it, guessed and told")
    parser.add_argument("--labels", nargs="+", metavar="NAME", help="columns of labels; without it, those of numbers")
    parser.add_argument("--column", action="append", default=[], metavar="ROLE=NAME",
                        help="what a column is for: id, split, person, rater, or, with a row for each rating, emotion "
                             "and value; may be given many times")
    parser.add_argument("--sheet", help="of a workbook; without it, the first with a table")
    parser.add_argument("--seed", type=int, default=0, help="of splits that are made where there are none")


def run(arguments):
    """Writes the normal form and prints what was understood."""
    from mindface_eri.datasets.label_import import Options, import_table
    from mindface_eri.datasets.label_media import TABLE, link_media, match_media, older_table
    from mindface_eri.evaluation.tables import format_table

    options = Options(_roles(arguments.column), arguments.labels, _scale(arguments.scale), arguments.sheet,
                      arguments.seed)
    imported = import_table(arguments.table, options)
    rows = list(imported.understood)
    if arguments.media is not None:
        imported, words = match_media(imported, arguments.media)
        rows.append(("media", words))
    rows += older_table(imported, arguments.out, arguments.media)
    target = arguments.out / TABLE
    imported.write(target)
    if arguments.media is not None:
        link_media(arguments.media, arguments.out)
    print(format_table(("what", "understood as"), [list(row) for row in rows]))
    print(f"wrote {target}; go on with: mindface-eri preprocess {arguments.out} RECORDS, and train with "
          f"--set 'model.emotions=[{', '.join(imported.emotions)}]'")
    return 0


def _roles(pairs):
    from mindface_eri.datasets.label_columns import SYNONYMS
    from mindface_eri.errors import ConfigError

    roles = dict(pair.partition("=")[::2] for pair in pairs)
    unknown = [role for role, name in roles.items() if role not in SYNONYMS or not name]
    if unknown:
        raise ConfigError(f"--column {unknown[0]}: expected ROLE=NAME with a role of {', '.join(SYNONYMS)}")
    return roles


def _scale(text):
    from mindface_eri.errors import ConfigError

    if text is None:
        return None
    try:
        low, high = (float(end) for end in text.split(":"))
    except ValueError:
        raise ConfigError(f"--scale {text}: expected LOW:HIGH, such as 1:7") from None
    return low, high
