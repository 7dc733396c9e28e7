"""What all of the API's JSON has in common. Field names are camelCase on the wire."""

from __future__ import annotations

import base64
import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

Phone = Annotated[str, Field(description="International phone number", examples=["491701234567"])]
Index = Annotated[int, Field(description="Increases with every item of a person; pass the last one as `after`")]
Time = datetime.datetime


def _from_base64(value: str | bytes) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise ValueError("not base64") from None


Base64 = Annotated[bytes, BeforeValidator(_from_base64, json_schema_input_type=str), Field(description="Base64")]


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
