"""Die with the process that started this one, whatever kills it.

The parent holds the other end of our standard input and never writes to it. When the parent is
gone, however it went, the kernel closes that end, and the thread here ends this process and every
process that it started. No signal of Linux alone is needed, so macOS works alike.

As a script, this runs another script (or a module, after `-m`) under the same rule. It may then run
in another interpreter, where edgeeval is not installed: it needs the standard library only.
"""

import os
import runpy
import signal
import sys
import threading


def die_with_parent() -> None:
    """Watch standard input from now on; end when it closes, even in the middle of native code."""

    def watch() -> None:
        while os.read(0, 1):  # not sys.stdin: its lock would abort the interpreter's exit
            pass
        if os.getpgrp() == os.getpid():  # a session of our own: what we started is all in it
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    die_with_parent()
    del sys.argv[0]
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
