"""The parent's side of a confined child: started with nothing, never waited for without end.

Whatever the child does, its parent gets an answer or a ScoringError that names the version.
"""

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import msgspec

from streams import frames
from streams.errors import ScoringError
from streams.frames import Failed

ROOT = Path(__file__).parents[1]
_START = "import sys; sys.path.insert(0, {root!r}); from {module} import main; main()"
_PIPE_BYTES = 1 << 16
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
}


_WHY = {
    "memory": ("it wants more memory than it may have", "make the model or the batch smaller"),
    "timeout": ("it is too slow, or it hangs", "profile it; batches have a limit of time"),
    "crashed": ("the runtime did not survive it", "run it alone with onnxruntime"),
    "load": ("the runtime refuses the file", "check it with onnx.checker and export it again"),
    "run": ("the runtime refuses these inputs", "compare its inputs with what it was given"),
    "not-finite": ("its arithmetic overflowed, or a feature is missing", "look at that input"),
    "shape": ("it does not answer each row once", "export it with a dynamic batch"),
}


class Child:
    """A confined process that is spoken to in frames."""

    def __init__(self, name: str, module: str, folder: str, *arguments: str) -> None:
        """`main` of `module` runs in `folder`; `name` is the version's, for errors."""
        self._name = name
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as the child does
        start = _START.format(root=str(ROOT), module=module)
        self._process = subprocess.Popen(  # noqa: S603 - this Python, our module
            [sys.executable, "-I", "-c", start, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, cwd=folder,
            env=_ENVIRONMENT,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def say(self, value: object, within_s: float) -> None:
        """`value` is in the child's pipe; raises ScoringError when it does not take it."""
        left = memoryview(frames.framed(value))
        deadline = time.monotonic() + within_s
        while left:
            self._wait(self._in, selectors.EVENT_WRITE, deadline, within_s)
            try:
                left = left[os.write(self._in, left[:_PIPE_BYTES]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._crashed() from None

    def hear(self, within_s: float) -> frames.Said:
        """The child's next word; raises ScoringError when none comes."""
        deadline = time.monotonic() + within_s
        (size,) = frames.HEAD.unpack(self._take(frames.HEAD.size, deadline, within_s))
        if size > frames.MAX_BYTES:
            self.end()
            raise failure(self._name, "shape", f"answered {size} bytes to one batch")
        try:
            said: frames.Said = frames.decode_said(self._take(size, deadline, within_s))
        except msgspec.MsgspecError as error:
            self.end()
            raise failure(self._name, "crashed", f"answered what is no answer: {error}") from error
        return said

    def end(self) -> None:
        """The child is gone."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                pipe.close()

    def _take(self, size: int, deadline: float, within_s: float) -> bytes:
        taken = bytearray()
        while len(taken) < size:
            self._wait(self._out, selectors.EVENT_READ, deadline, within_s)
            try:
                part = os.read(self._out, min(size - len(taken), 1 << 20))
            except BlockingIOError:
                continue
            if not part:
                raise self._crashed()
            taken += part
        return bytes(taken)

    def _wait(self, pipe: int, event: int, deadline: float, within_s: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, event)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                self._process.kill()
                self._process.wait()
                raise failure(self._name, "timeout", f"did not answer within {within_s:g} s")

    def _crashed(self) -> ScoringError:
        self._process.kill()
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read(1 << 16).decode(errors="replace").strip().splitlines()
        last = f": {lines[-1][:200]}" if lines else ""
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if code == -signal.SIGXCPU:
            return failure(self._name, "timeout", "used up its time of the processor")
        kind = "memory" if "bad_alloc" in last or "MemoryError" in last else "crashed"
        return failure(self._name, kind, f"ended its process ({how}){last}")


def refused(name: str, said: frames.Said) -> ScoringError:
    """The error of a child that gave no answer."""
    if isinstance(said, Failed):
        return failure(name, said.kind if said.kind in _WHY else "crashed", said.reason)
    return failure(name, "crashed", "answered out of turn")


def failure(name: str, kind: str, what: str) -> ScoringError:
    """The error of this kind, with its cause and what to do."""
    why, fix = _WHY[kind]
    return ScoringError(f"{name}: {what}", kind=kind, why=why, fix=fix)
