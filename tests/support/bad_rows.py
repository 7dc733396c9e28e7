"""SQL that gives one bot values which nothing of Botdock writes, and which Postgres stores nevertheless."""

from typing import Final

DEEP = "[" * 300 + "]" * 300
STATUS: Final = {
    "times before year 1": "last_heartbeat = '0044-03-15 12:00+00 BC', creds_updated_at = '0001-01-01 00:00+14'",
    "infinite times": "started_at = 'infinity', connected_at = '-infinity', next_start_at = 'infinity'",
    "times after year 9999": "last_activity = '294276-12-31 00:00+00', updated_at = '12000-01-01 00:00+00'",
    "times at the end of year 9999": "last_heartbeat = '9999-12-31 23:59:59-14', started_at = '9999-12-31 23:59:59+14'",
    "numbers": "connection_attempts = -2147483648, event_history_size = -1, restarts = 2147483647, spool_seq = -5",
    "counters": "messages_received = 9223372036854775807, messages_sent = -9223372036854775808, errors = -1",
    "words": "phase = 'levitating', reason = E'\\n', message = repeat('x', 100000), connection = E'\\u202e'",
    "addresses": "address = 'not an address', container_id = '', container_name = '../..', paired_number = '<b>'",
    "memory": """memory = '{"next_start_at": 1e308, "history": [1]}', last_exit = '"text"', spool_id = ''""",
    "lists": "memory = '[1]', last_exit = '[]'",
    "times in memory": """memory = '{"next_start_at": 1e308, "stop_deadline": -1e308, "healthy_since": 1e308}'""",
    "deep JSON": f"memory = '{DEEP}', last_exit = '{DEEP}'",
    "large integers": "memory = ('{\"refusals\": ' || repeat('9', 5000) || '}')::jsonb",
}
"""Assignments to columns of `bot_status`."""
SPEC: Final = {
    "times of the bot": "created_at = '0044-03-15 12:00+00 BC'",
    "settings": "settings = '[]', limits = 'null'",
    "deep settings": f"settings = '{DEEP}', limits = '{DEEP}'",
    "numbers of the bot": "restart_generation = -1, session_generation = -1, config_generation = -1, generation = -1",
    "words of the bot": "kind = E'\\n', name = repeat('x', 100000), phone_number = '<b>'",
}
"""Assignments to columns of `bots`."""


def statements(bot: str) -> dict[str, str]:
    """Statements by what is bad about the bot afterwards."""
    status = {
        name: f"UPDATE bot_status SET {columns} WHERE bot_key = (SELECT key FROM bots WHERE id = '{bot}')"
        for name, columns in STATUS.items()
    }
    return status | {name: f"UPDATE bots SET {columns} WHERE id = '{bot}'" for name, columns in SPEC.items()}
