"""Transactions on an open results database, and their errors as sentences."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError, IntegrityError, ProgrammingError
from sqlalchemy.orm import Session

from eval.database.connection import WAIT_SECONDS, OpenDatabase
from eval.database.errors import describe
from eval.database.integrity import reporting_damage
from tpad import DataError
from tpad.io.texts import half_character


class Transactions:
    """Reads and writes an open database, one transaction at a time.

    Args:
        opened: the database.
        wait: seconds it waits for another writer, for messages.
    """

    def __init__(self, opened: OpenDatabase, wait: float = WAIT_SECONDS) -> None:
        self.opened = opened
        self.wait = wait

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine, for your own queries."""
        return self.opened.engine

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written."""
        return self.opened.read_only

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that reads; the rows can be used after it.

        Raises:
            DataError: the database was deleted or replaced, cannot be read, or is damaged. Errors of
                the block itself count as damage, as the block turns rows into values.
        """
        self.opened.check_in_place()
        try:
            with (
                reporting_damage(self.opened.name),
                Session(self.opened.engine, expire_on_commit=False) as session,
            ):
                yield session
        except (IntegrityError, ProgrammingError):
            raise
        except DatabaseError as error:
            raise DataError(
                f"{self.opened.name} cannot be read: {describe(error, self.wait)}."
            ) from error

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that writes everything or nothing.

        Raises:
            DataError: the database is read-only, was deleted or replaced, or cannot be written.
        """
        if self.read_only:
            raise DataError(f"{self.opened.name} is read-only; name another with --database.")
        self.opened.check_in_place()
        try:
            with Session(self.opened.writing) as session, session.begin():
                yield session
            self.opened.check_in_place(stored=True)
        except (IntegrityError, ProgrammingError):
            raise
        except UnicodeEncodeError as error:
            raise DataError(f"A text holds {half_character(error)}; remove it.") from error
        except DatabaseError as error:
            raise DataError(
                f"{self.opened.name} cannot be written: {describe(error, self.wait)}. "
                "This step was not stored; earlier results are kept."
            ) from error

    def close(self) -> None:
        """Closes the file or the connections to the server."""
        self.opened.close()
