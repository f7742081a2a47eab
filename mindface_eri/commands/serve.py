# SPDX-License-Identifier: Apache-2.0
"""mindface-eri serve"""

from pathlib import Path

from mindface_eri.commands.common import add_device

_NEEDED = ("starlette", "uvicorn", "python_multipart", "websockets", "prometheus_client")


def add_arguments(parser):
    """Adds this command's arguments."""
    parser.add_argument("--model", type=Path, metavar="MODEL",
                        help="run folder, .ckpt, .mindir or .onnx; without one, the package's own, which estimates how "
                             "strongly a face comes to smile, and nothing else")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; any but this machine's own needs a token")
    parser.add_argument("--port", type=int, default=8000, help="where to listen")
    parser.add_argument("--token", help="what others have to know; other users of this machine can read it here")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file whose first line is the token")
    parser.add_argument("--workers", type=int, default=0, help="processes that take clips apart; 0: one a core")
    parser.add_argument("--uploads", type=int, default=16,
                        help="clips received, waiting or in work, together; one more is told to come again")
    parser.add_argument("--max-megabytes", type=float, default=200.0, metavar="MB", help="of an upload")
    parser.add_argument("--max-seconds", type=float, default=600.0, metavar="SECONDS", help="of a clip")
    parser.add_argument("--max-megapixels", type=float, default=9.0, metavar="MP", help="of a clip's picture")
    parser.add_argument("--clip-limit", type=float, default=120.0, metavar="SECONDS", help="to take a clip apart")
    parser.add_argument("--upload-limit", type=float, default=120.0, metavar="SECONDS", help="to send a clip")
    parser.add_argument("--memory", type=float, default=3.0, metavar="GB", help="that a worker process may take")
    parser.add_argument("--live", type=int, default=1, metavar="CAMERAS", help="cameras at once; 0: none")
    parser.add_argument("--allow-url", action="append", default=[], metavar="HOST",
                        help="host that clips may be fetched from, where a program sends a URL; may be given more than "
                             "once, with addresses or networks that are not public ones, too")
    parser.add_argument("--keep", type=Path, metavar="FOLDER",
                        help="keep rows and page of each answer there; without it nothing is stored")
    add_device(parser, "auto")


def run(arguments):
    """Serves until it is stopped."""
    import importlib.util
    import logging

    from mindface_eri.errors import MissingDependencyError
    from mindface_eri.serve.settings import Settings

    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(f"serving needs {missing[0]}: pip install 'mindface_eri[serve]'")
    given = vars(arguments)
    settings = Settings(**{name: given[name] for name in Settings.__dataclass_fields__})

    from mindface_eri.prediction.default_model import default_model
    from mindface_eri.prediction.predictor import load_predictor
    from mindface_eri.serve.engine import Engine
    from mindface_eri.serve.server import open_socket, run_server

    logging.basicConfig(format="mindface-eri serve: %(message)s", level=logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)  # its client is told
    with open_socket(settings) as listener:  # before a model is loaded: somebody else may listen there
        predictor = load_predictor(arguments.model, device=arguments.device)
        engine = Engine(predictor, arguments.model or default_model(arguments.device), settings)
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        run_server(engine, listener, lambda: print(f"http://{shown}:{port}/ (Ctrl-C ends it)", flush=True))
    return 0
