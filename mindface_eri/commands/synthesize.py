# SPDX-License-Identifier: Apache-2.0
"""mindface-eri synthesize"""

from pathlib import Path

from mindface_eri.threads import cores


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.description += (" People are drawn and voices computed; a model trained on them knows nothing about people: "
                           "the corpus is a demonstration and a test instrument. With --portraits, faces are morphed "
                           "between two portraits of each person instead.")
    parser.add_argument("out", type=Path, help="folder to write, in the layout of Hume-Reaction")
    parser.add_argument("--portraits", type=Path, metavar="FOLDER|TABLE",
                        help="table person,neutral,expressive[,split][,...], or a folder with portraits.csv")
    parser.add_argument("--emotion", metavar="NAME", help="what the expressive portraits show, such as Smile")
    parser.add_argument("--clips", type=int, default=160, help="number of clips over the three splits")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same labels and same pictures")
    parser.add_argument("--duration", type=float, nargs=2, default=(2.0, 6.0), metavar=("MIN", "MAX"), help="seconds")
    parser.add_argument("--fps", type=int, nargs=2, default=(15, 30), metavar=("MIN", "MAX"), help="frames a second")
    parser.add_argument("--workers", type=int, default=cores(), help="processes")


def run(arguments):
    """Generates, or reuses what is there."""
    from mindface_eri.errors import ConfigError
    from mindface_eri.synthetic.corpus import synthesize

    if (arguments.portraits is None) != (arguments.emotion is None):
        raise ConfigError("--portraits and --emotion belong together: which pictures, and what the expressive ones "
                          "show, such as --portraits faces --emotion Smile")
    options = {"clips": arguments.clips, "seed": arguments.seed, "duration": tuple(arguments.duration),
               "fps": tuple(arguments.fps), "workers": arguments.workers}
    if arguments.portraits is not None:
        return _morphs(arguments, options)
    synthesize(arguments.out, **options)
    print(f"{arguments.clips} clips of drawn people in {arguments.out}; a model trained on them knows nothing about "
          "people")
    return 0


def _morphs(arguments, options):
    from mindface_eri.synthetic.morph_corpus import synthesize_morphs

    made = synthesize_morphs(arguments.out, arguments.portraits, emotion=arguments.emotion, **options)
    print(f"{made['clips']} clips of {made['people']} people in {arguments.out}. {made['note']}")
    return 0
