"""What all of the API's JSON has in common. Field names are camelCase on the wire."""

from __future__ import annotations

import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Phone = Annotated[str, Field(description="International phone number", examples=["491701234567"])]
Index = Annotated[int, Field(description="Increases with every item of a person; pass the last one as `after`")]
Time = datetime.datetime


class Model(BaseModel):
    """What all of them have in common."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class Problem(Model):
    """An error: a stable code and a sentence."""

    code: str
    message: str


class Health(Model):
    """How much is going on. pairing: clients that wait to be linked."""

    status: str
    accounts: int
    connections: int
    pairing: int
