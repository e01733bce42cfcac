"""What a Valkey says of itself: its CPU time, memory and append-only file, asked over its unix socket."""

from __future__ import annotations

from dataclasses import dataclass

import hiredis

from bench.load import dial_unix


@dataclass(frozen=True, slots=True)
class Used:
    """What a server has used at one moment; `Used - Used` is what happened in between."""

    cpu_s: float
    memory: float  # bytes
    file: float  # bytes of the append-only file
    commands: float
    script_us: float  # µs in EVALSHA and FCALL, as the server counts them

    def __sub__(self, other: Used) -> Used:
        return Used(*(getattr(self, name) - getattr(other, name) for name in self.__slots__))


def used(path: str) -> Used:
    """Return what the server at the unix socket `path` has used so far."""
    said = info(path)
    scripts = ("cmdstat_evalsha", "cmdstat_fcall", "cmdstat_evalsha_ro", "cmdstat_fcall_ro")
    return Used(
        float(said["used_cpu_user"]) + float(said["used_cpu_sys"]),
        float(said["used_memory"]),
        float(said.get("aof_current_size", 0)),
        float(said["total_commands_processed"]),
        sum(float(dict(each.split("=") for each in said.get(name, "usec=0").split(","))["usec"]) for name in scripts),
    )


def info(path: str) -> dict[str, str]:
    """Return the answer of INFO with the statistics of commands."""
    text = ask(path, "INFO", "everything").decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def stop_rewriting(path: str) -> None:
    """Let the append-only file only grow from now on. A broker that adopts the server sets it back."""
    ask(path, "CONFIG", "SET", "auto-aof-rewrite-percentage", "0")


def ask(path: str, *command: str) -> bytes:
    """Return the bulk reply to one command.

    Raises:
        RuntimeError: the server answered something else.
    """
    reader, parts = hiredis.Reader(), [word.encode() for word in command]
    with dial_unix(path) as connection:
        connection.sendall(b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts))
        while (answer := reader.gets()) is False:
            reader.feed(connection.recv(65_536))
    if not isinstance(answer, bytes):
        raise RuntimeError(f"{command[0]}: {answer!r}")
    return answer
