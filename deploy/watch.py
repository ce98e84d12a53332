"""Ends a process whose starter is gone, however the starter went."""

import signal
import subprocess

# The starter holds the other end of the pipe; it closes with the starter's last breath.
_SCRIPT = 'read -r _; kill -"$2" "$1"'


class Watch:
    """Over one process, until `end`."""

    def __init__(self, pid: int, number: signal.Signals) -> None:
        """The process gets this signal once nobody holds the watch any more."""
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "watch", str(pid), str(int(number))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self) -> None:
        """Nothing is watched. Call it before the process is reaped: its pid may be given away."""
        self._shell.kill()
        self._shell.wait()
        assert self._shell.stdin is not None
        self._shell.stdin.close()
