"""A PostgreSQL server for the tests, in a temporary folder."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

VERSIONS = Path("/usr/lib/postgresql")
HOW = "apt-get install postgresql"


@contextmanager
def postgres_server() -> Iterator[str]:
    """Starts a server that listens on a socket only, and gives the URL of its database.

    PostgreSQL does not run as root; where the tests do, it runs as the user that Debian's package
    makes.
    """
    folders = [path.parent for path in VERSIONS.glob("*/bin/initdb")]
    if not folders:
        pytest.skip(f"PostgreSQL is not tested: there is no server ({HOW}).")
    pytest.importorskip("psycopg", reason='PostgreSQL is not tested: pip install -e ".[test]"')
    programs = max(folders, key=lambda path: float(path.parent.name))
    user = group = None
    if os.getuid() == 0:
        import pwd

        user = "postgres"
        group = pwd.getpwnam(user).pw_gid
    place = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path has at most 107 letters
    if user:
        shutil.chown(place, user, group)

    def call(program: str, *arguments: str, check: bool = True) -> None:
        done = subprocess.run(
            [programs / program, "-D", place / "data", *arguments],
            user=user,
            group=group,
            extra_groups=[] if user else None,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=(place / "output").open("ab"),
            stderr=subprocess.STDOUT,
        )
        if check and done.returncode:
            raise RuntimeError(f"{program} failed:\n{(place / 'output').read_text()}")

    try:
        call("initdb", "--auth=trust", "--username=tests", "--encoding=UTF8", "--no-sync")
        # Its data need not outlive a power cut, so nothing is flushed.
        settings = f"-k {place} -c listen_addresses= -c fsync=off -c max_connections=50"
        call("pg_ctl", "-w", "-l", str(place / "log"), "-o", settings, "start")
        yield f"postgresql+psycopg://tests@/postgres?host={place}"
    finally:
        call("pg_ctl", "-w", "-m", "immediate", "stop", check=False)
        shutil.rmtree(place, ignore_errors=True)
