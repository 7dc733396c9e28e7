"""Whatever is stored for one bot, a new controller manages the others, and this one can be stopped and deleted."""

import pytest

from tests.integration.reconcile.conftest import Site, eventually, name
from tests.support.bad_rows import statements

BAD = "bad"


@pytest.mark.parametrize("batch", range(3))
async def test_a_controller_takes_over_whatever_the_rows_of_some_bots_have(site: Site, batch: int) -> None:
    first = await site.start()
    await site.create("bot-1")
    bad = {f"{BAD}-{number}": what for number, what in enumerate(list(statements(BAD))[batch::3])}
    for bot in bad:
        await site.create(bot)
    for bot in ("bot-1", *bad):
        await site.phase(bot, "online")
    await first.stop()
    for bot, what in bad.items():
        await site.sql(statements(bot)[what])
    await site.start()
    runtime = site.runtime("bot-1")
    probes = runtime.probes
    await site.seen(lambda: runtime.probes, lambda number: number > probes)
    await site.create("bot-2")
    await site.phase("bot-2", "online")
    assert site.host.containers[name("bot-1")].starts == 1
    for bot in bad:
        await site.sql("UPDATE bots SET deleting = true WHERE id = %s", bot)
    await eventually(lambda: site.sql("SELECT id FROM bots ORDER BY id"), lambda ids: ids == ["bot-1", "bot-2"])
