"""The names of bots' containers and volumes, as Postgres assigns them."""


def resource_name(server: str, bot: str) -> str:
    """The name of the container and of the volume of a bot that is created now."""
    return f"botdock-{server}{'.' if '-' in server else '-'}{bot}"
