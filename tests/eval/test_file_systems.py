"""The journal mode of a SQLite file on each kind of file system."""

import sqlite3

import pytest
from sqlalchemy import text

from eval.database import file_systems
from eval.database.file_systems import journal_mode, set_journal
from eval.database.store import Store

SHARED = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "lustre",
    "gpfs",
    "beegfs",
    "fuse.glusterfs",
    "9p",
    "virtiofs",
    "fuse.gcsfuse",
    "fuse",
    "fuse.sshfs",
    "ceph",
    "afs",
    "vboxsf",
    "something_new",
]


@pytest.fixture
def mounts(tmp_path, monkeypatch):
    """Writes the system's list of mounts."""
    monkeypatch.setattr(file_systems, "MOUNTS", tmp_path / "mounts")
    return lambda *lines: (tmp_path / "mounts").write_text("\n".join([*lines, ""]))


@pytest.mark.parametrize("kind", SHARED)
def test_unknown_file_systems_get_a_rollback_journal(tmp_path, mounts, kind):
    mounts("disk / ext4 rw 0 0", f"share {tmp_path} {kind} rw 0 0")
    assert journal_mode(tmp_path / "results.db") == "DELETE"


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay"])
def test_local_file_systems_get_a_write_ahead_log(tmp_path, mounts, kind):
    mounts("share / nfs rw 0 0", f"disk {tmp_path} {kind} rw 0 0")
    assert journal_mode(tmp_path / "results.db") == "WAL"


def test_the_nearest_and_latest_mount_counts(tmp_path, mounts):
    folder = tmp_path / "a b"
    folder.mkdir()
    escaped = str(folder).replace(" ", "\\040")
    mounts(f"disk {tmp_path} ext4 rw 0 0", f"share {escaped} 9p rw 0 0")
    assert journal_mode(folder / "results.db") == "DELETE"
    mounts(f"share {escaped} 9p rw 0 0", f"disk {escaped} ext4 rw 0 0")
    assert journal_mode(folder / "results.db") == "WAL"
    mounts(f"disk {tmp_path} ext4 rw 0 0", f"share {tmp_path / 'one.db'} virtiofs rw 0 0")
    assert journal_mode(tmp_path / "one.db") == "DELETE"  # a single file may be mounted
    assert journal_mode(tmp_path / "two.db") == "WAL"


def test_without_a_list_of_mounts_a_rollback_journal_is_used(tmp_path, mounts):
    assert journal_mode(tmp_path / "results.db") == "DELETE"


@pytest.mark.parametrize(("kind", "journal"), [("ext4", "wal"), ("lustre", "delete")])
def test_a_store_uses_the_journal_mode(tmp_path, mounts, kind, journal):
    mounts(f"disk {tmp_path} {kind} rw 0 0")
    for _ in range(2):
        with Store(tmp_path / "results.db") as store, store.engine.connect() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == journal


@pytest.mark.parametrize(
    ("code", "asked"),
    [
        (sqlite3.SQLITE_IOERR_SHMOPEN, ["WAL", "DELETE"]),
        (sqlite3.SQLITE_CANTOPEN, ["WAL", "DELETE"]),
        (sqlite3.SQLITE_BUSY, ["WAL"]),
    ],
)
def test_a_rollback_journal_replaces_a_log_that_is_not_possible(code, asked):
    class Connection:
        modes: list = []  # noqa: RUF012

        def execute(self, statement):
            self.modes = [*self.modes, statement.rpartition("=")[2]]
            if statement.endswith("WAL"):
                error = sqlite3.OperationalError("no")
                error.sqlite_errorcode = code
                raise error

    connection = Connection()
    set_journal(connection, "WAL")
    assert connection.modes == asked
