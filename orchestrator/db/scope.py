"""The rows that a caller may see: every query of the api takes a scope and filters by it."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, true
from sqlalchemy.orm import Mapped


@dataclass(frozen=True, slots=True)
class Scope:
    """The rows of one server, or of all of them (None)."""

    server: str | None
    """The only server that the caller may see."""
    chosen: str | None = None
    """The only server that the request is about, of those that the caller may see."""

    @property
    def one_server(self) -> bool:
        """Whether all rows are of the same server."""
        return self.server is not None or self.chosen is not None

    def covers(self, server_name: Mapped[str] | Mapped[str | None]) -> ColumnElement[bool]:
        """The condition that a row with this `server_name` is in the scope."""
        names = [name for name in (self.server, self.chosen) if name is not None]
        return and_(true(), *(server_name == name for name in names))

    def narrowed(self, server_name: str | None) -> "Scope":
        """This scope without the rows of other servers, if one is given."""
        return Scope(self.server, server_name or self.chosen)
