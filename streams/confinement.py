"""What a child that runs a model may do: compute, and answer on the pipes that it has.

It opens no socket, starts no program, writes no file, and dies with its parent. Linux only: the
kernel refuses the system calls (seccomp), whatever the model's runtime has been talked into.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 38, 22
_SECCOMP_MODE_FILTER = 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1  # the latter: fails with EPERM
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # instructions of a BPF filter
_NUMBER, _ARCHITECTURE = 0, 4  # offsets into what the filter is given
_X32 = 0x40000000  # calls of x86-64's other numbering
LOG_BYTES = 64 * 1024

# By machine: its number in the kernel, then socket, execve, execveat, ptrace, io_uring_setup,
# process_vm_readv, process_vm_writev, kill, tkill, tgkill, pidfd_open.
_MACHINES = {
    "x86_64": (0xC000003E, (41, 59, 322, 101, 425, 310, 311, 62, 200, 234, 434)),
    "aarch64": (0xC00000B7, (198, 221, 281, 117, 425, 270, 271, 129, 130, 131, 434)),
}


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def confine(*, memory_bytes: int) -> None:
    """From now on this process has only this much more memory, no network and no programs.

    Raises OSError where the kernel cannot promise it.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    limit = _address_space() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LOG_BYTES, LOG_BYTES))
    # What it imports later would be left compiled, cut off at that size, and broken for everybody.
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    code = _code()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    filtering = _Filter(len(code) // 8, code)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(filtering))


def open_nothing_more() -> None:
    """No file can be opened from now on; those that are open stay so."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def allow_cpu(seconds: float) -> None:
    """This process is killed after so much more time of the processor, whoever still waits."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(spent.ru_utime + spent.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _code() -> bytes:
    """A filter that refuses the listed calls and every call of another machine."""
    try:
        machine, refused = _MACHINES[platform.machine()]
    except KeyError:
        raise OSError(f"models are not run on {platform.machine()}") from None
    tests = [(_EQUAL, number) for number in refused] + [(_AT_LEAST, _X32)]
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, machine),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _NUMBER),
        *((kind, len(tests) - k, 0, number) for k, (kind, number) in enumerate(tests)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def _address_space() -> int:
    """Bytes that this process has mapped: mostly its libraries."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _prctl(option: int, *values: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    wide = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if library.prctl(option, *wide) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")
