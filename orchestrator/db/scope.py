"""The rows that a caller may see: every query of the api takes a scope and filters by it."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, true
from sqlalchemy.orm import Mapped


@dataclass(frozen=True, slots=True)
class Scope:
    """The rows of one server, or of all of them (None)."""

    server: str | None

    def covers(self, server_name: Mapped[str] | Mapped[str | None]) -> ColumnElement[bool]:
        """The condition that a row with this `server_name` is in the scope."""
        return true() if self.server is None else server_name == self.server
