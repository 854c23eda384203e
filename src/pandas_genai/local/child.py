"""The server's process: loads the model, says where it listens, ends with its parent.

It runs as a script, without the rest of the package, and so starts fast.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

MOST_TOKENS = 2048
"""An answer's length where the request names none: a small model may never stop by itself."""

LOOK_S = 0.5
"""How often the parent is looked for."""


def end_with_input() -> None:
    """End when the parent closes its end of the pipe, as it does however it dies."""
    while os.read(0, 4096):
        pass
    os._exit(0)


def end_with_parent(parent: int) -> None:
    """End when the parent has died while a process that it forked holds its end of the pipe.

    Windows hands no pipe to other processes, and never changes what it says of the parent.
    """
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(0)


def main(parent: int, path: str, alias: str, threads: int, parallel: int, context: int) -> None:
    """Serve the model on loopback until standard input ends or the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is meant for the parent
    waiting = threading.Thread(target=end_with_input, daemon=True)
    waiting.start()
    threading.Thread(target=end_with_parent, args=(parent,), daemon=True).start()
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {alias}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = parallel
    params.n_ctx = context * parallel
    params.n_predict = MOST_TOKENS
    params.n_gpu_layers = 0
    params.ui = False
    params.offline = True
    params.warmup = False
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.sampling.temp = 0.0  # the same question gets the same answer
    server = xllamacpp.Server(params)
    sys.stdout.write(json.dumps({"listening": server.listening_address}) + "\n")
    sys.stdout.flush()
    waiting.join()


if __name__ == "__main__":
    parent, path, alias, *numbers = sys.argv[1:]
    main(int(parent), path, alias, *map(int, numbers))
