"""The small program in front of each child: it ties the child to its parent, then becomes it.

A parent that is killed with -9 cannot stop what it started. Linux can do it for the parent: a
process may ask for a signal at its parent's death. The request has to be made in the child, after
the fork and after a change of user, and it survives the exec. Python code between fork and exec
(`preexec_fn`) may deadlock and warns where threads run, so this file is run as a script of its
own: it makes the request and replaces itself, keeping the pid. Elsewhere than on Linux it only
replaces itself. It imports nothing of ours, and is run isolated (`-I -S`).

Linux watches the *thread* that started the child: start from one that lives as long as the child
shall.

Source: prctl(2), PR_SET_PDEATHSIG.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_SAME_USER = "-"


class User(NamedTuple):
    """Whom a child runs as, by number; only root may name another than itself."""

    uid: int
    gid: int


def leashed(
    argv: Sequence[str], *, death_signal: signal.Signals, user: User | None = None
) -> list[str]:
    """Return the command that runs `argv` as this process's child, tied to it."""
    uid, gid = (str(user.uid), str(user.gid)) if user else (_SAME_USER, _SAME_USER)
    leash = [sys.executable, "-I", "-S", __file__]
    return [*leash, str(os.getpid()), str(int(death_signal)), uid, gid, *argv]


def main(arguments: Sequence[str]) -> None:
    """Become the command; return only where that fails."""
    parent, death_signal, uid, gid, *argv = arguments
    if uid != _SAME_USER:
        _become_user(int(uid), int(gid))
    die_with(int(parent), int(death_signal))
    _restore_signals()
    os.execvp(argv[0], argv)  # noqa: S606  an argument list, no shell


def _become_user(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def die_with(parent: int, death_signal: int) -> None:
    """Have the system send us a signal at our parent's death; does nothing elsewhere than on Linux.

    Exits if the parent is dead already.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # The parent may have died before the request was made; then nobody will send the signal.
    if os.getppid() != parent:
        sys.exit("the parent process is gone")


def _restore_signals() -> None:
    # What is ignored or blocked stays so through an exec: Python ignores the first two, and
    # whoever starts a child may hold signals back meanwhile.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.exit(f"cannot start {sys.argv[5]}: {error.strerror}")
