"""The table of docs/settings.md, made from the class. `python -m tests.support.settings_table` writes it there."""

from pathlib import Path

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from orchestrator.settings import Settings

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def table() -> str:
    """A row for every setting: name, default, bounds, meaning."""
    rows = ["| variable | default | accepted | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{name.upper()}` | {_default(field)} | {_accepted(field)} | {field.description} |")
    return "\n".join(rows)


def documented() -> str:
    """The table in the document."""
    return DOCUMENT.read_text().split(BEGIN)[1].split(END)[0].strip()


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    return "none" if field.default is None else f"`{field.default}`"


def _accepted(field: FieldInfo) -> str:
    bounds: dict[type, int | float] = {}
    for rule in field.metadata:
        match rule:
            case Ge(ge=bound) | Le(le=bound) if isinstance(bound, int | float):
                bounds[type(rule)] = bound
            case MinLen(min_length=length) | MaxLen(max_length=length):
                bounds[type(rule)] = length
            case _:
                pass
    low, high = bounds.get(Ge), bounds.get(Le)
    if low is not None:
        return f"from {low}" if high is None else f"{low} to {high}"
    if MaxLen in bounds:
        return f"{bounds[MinLen]} to {bounds[MaxLen]} characters"
    return ""


def main() -> None:
    """Write the table into the document."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
