"""Alembic's entry point: runs on the connection that `orchestrator/db/migrate.py` hands over."""

from alembic import context
from sqlmodel import SQLModel

from orchestrator.db import message_models, models

assert models.Bot.metadata is message_models.Message.metadata is SQLModel.metadata  # noqa: S101 - importing the models is what fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    compare_type=True,
    compare_server_default=False,
)
with context.begin_transaction():
    context.run_migrations()
