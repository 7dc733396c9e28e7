"""Shared models and types of the API. Field names are camelCase on the wire."""

from __future__ import annotations

import base64
import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

Phone = Annotated[str, Field(description="International phone number", examples=["491701234567"])]
Index = Annotated[int, Field(description="Increases with every item of a person; pass the last value as `after`")]
Time = datetime.datetime


def _from_base64(value: str | bytes) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise ValueError("must be base64") from None


Base64 = Annotated[bytes, BeforeValidator(_from_base64, json_schema_input_type=str), Field(description="Base64")]


class Model(BaseModel):
    """The base class of all models."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class Problem(Model):
    """An error: a stable code and a message."""

    code: str
    message: str


class Health(Model):
    """The status of the simulator. connections: logged-in clients; pairing: clients that wait to be linked."""

    status: str
    accounts: int
    connections: int
    pairing: int
