"""Groups, read from Postgres, and files of messages, downloaded by the bot."""

import httpx
import pytest

from orchestrator.api.bots.media import OCTETS, disposition, safe_type
from tests.integration.api.conftest import Fleet, problem
from tests.integration.api.fake_runtime import FakeRuntime
from tests.integration.api.live_bot import live_bot, runtime_port  # noqa: F401

# ruff: noqa: F811

GROUPS = [f"12036304123456789{number}@g.us" for number in range(3)]


@pytest.fixture
async def groups(bot: str, fleet: Fleet) -> str:
    """The path of the groups of a bot that has some."""
    for group in GROUPS:
        await fleet.sql(
            "INSERT INTO groups (id, bot_key, server_name, subject, description) "
            "SELECT %(id)s, key, server_name, 'Team', '' FROM bots",
            id=group,
        )
        await fleet.sql(
            "INSERT INTO group_members (bot_key, group_id, id, admin) SELECT key, %(id)s, '1@lid', true FROM bots",
            id=group,
        )
    return f"/api/bots/{bot}/groups"


class TestGroups:
    async def test_pages(self, operator: httpx.AsyncClient, groups: str) -> None:
        first = (await operator.get(groups, params={"limit": 2})).json()
        rest = (await operator.get(groups, params={"limit": 2, "next": first["next"]})).json()
        assert [item["id"] for item in first["items"] + rest["items"]] == GROUPS
        assert rest["next"] is None

    async def test_a_group(self, viewer: httpx.AsyncClient, groups: str) -> None:
        group = (await viewer.get(f"{groups}/{GROUPS[0]}")).json()
        assert (group["subject"], group["members"]) == ("Team", [{"id": "1@lid", "phoneNumber": None, "admin": True}])

    async def test_a_page_ends_early_when_its_groups_have_many_members(
        self, operator: httpx.AsyncClient, groups: str, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("orchestrator.db.groups.MEMBERS_PER_PAGE", 5)
        for group, number in zip(GROUPS, (3, 1, 9), strict=True):
            await fleet.sql(
                "INSERT INTO group_members (bot_key, group_id, id, admin) "
                "SELECT key, %(id)s, n || '@lid', false FROM bots, generate_series(2, %(number)s) n",
                id=group,
                number=number,
            )
        pages: list[list[tuple[str, int]]] = []
        cursor: dict[str, str] = {}
        while not pages or cursor:
            page = (await operator.get(groups, params=cursor)).json()
            pages.append([(item["id"], len(item["members"])) for item in page["items"]])
            cursor = {"next": page["next"]} if page["next"] else {}
        assert pages == [[(GROUPS[0], 3), (GROUPS[1], 1)], [(GROUPS[2], 9)]]

    async def test_groups_of_another_server(self, stranger: httpx.AsyncClient, groups: str) -> None:
        problem(await stranger.get(groups), 404, "not-found")
        problem(await stranger.get(f"{groups}/{GROUPS[0]}"), 404, "not-found")

    @pytest.mark.parametrize("odd", ["x", "1@g.us", "%00", "..%2f", "123456@s.whatsapp.net"])
    async def test_malformed_ids(self, operator: httpx.AsyncClient, groups: str, odd: str) -> None:
        assert (await operator.get(f"{groups}/{odd}")).status_code == 404


class TestMedia:
    async def test_a_file_is_passed_on_unchanged(
        self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime
    ) -> None:
        image = bytes(range(256)) * 10_000
        fake.media["3EB0"] = ("image/jpeg", "Ferien äöü.jpg", image)
        answer = await operator.get(f"/api/bots/{live_bot}/media/3EB0")
        assert (answer.status_code, answer.content) == (200, image)
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["content-length"] == str(len(image))
        assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''Ferien%20%C3%A4%C3%B6%C3%BC.jpg"
        assert answer.headers["x-content-type-options"] == "nosniff"

    async def test_an_html_page_is_sent_as_octet_stream(
        self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime
    ) -> None:
        fake.media["3EB0"] = ("text/html", "../../x.html", b"<script>")
        answer = await operator.get(f"/api/bots/{live_bot}/media/3EB0")
        assert answer.headers["content-type"] == OCTETS
        assert "sandbox" in answer.headers["content-security-policy"]
        assert "/" not in answer.headers["content-disposition"]

    @pytest.mark.parametrize(
        ("said", "status", "code"),
        [
            ((409, "not-online", "the bot is not online"), 409, "not-online"),
            ((410, "media-gone", "WhatsApp no longer has it"), 404, "media-gone"),
            ((413, "too-large", "too large"), 413, "too-large"),
            ((502, "download-failed", "refused"), 502, "download-failed"),
            ((504, "timeout", "no answer"), 504, "timeout"),
            ((500, "internal", "secret trace"), 503, "bot-error"),
        ],
    )
    async def test_errors_of_the_bot(
        self,
        operator: httpx.AsyncClient,
        live_bot: str,
        fake: FakeRuntime,
        said: tuple[int, str, str],
        status: int,
        code: str,
    ) -> None:
        fake.fails = said
        assert "secret" not in problem(await operator.get(f"/api/bots/{live_bot}/media/3EB0"), status, code)

    async def test_an_unknown_message(self, operator: httpx.AsyncClient, live_bot: str) -> None:
        problem(await operator.get(f"/api/bots/{live_bot}/media/3EB0"), 404, "no-media")

    @pytest.mark.parametrize("odd", ["%00", "%2e%2e", "a%2f..%2fhealth", "%0d%0a", "a" * 129, "a?x=1#", "%ff"])
    async def test_malformed_ids_never_reach_the_bot(
        self, operator: httpx.AsyncClient, live_bot: str, fake: FakeRuntime, odd: str
    ) -> None:
        fake.fails = (500, "reached", "")
        answer = await operator.get(f"/api/bots/{live_bot}/media/{odd}")
        assert answer.status_code == (503 if odd.startswith("a?") else 404)

    async def test_a_bot_that_is_not_running(self, operator: httpx.AsyncClient, bot: str) -> None:
        problem(await operator.get(f"/api/bots/{bot}/media/3EB0"), 409, "not-running")

    async def test_an_unreachable_bot(self, operator: httpx.AsyncClient, live_bot: str, fleet: Fleet) -> None:
        await fleet.observe(live_bot, address="127.0.0.99")
        problem(await operator.get(f"/api/bots/{live_bot}/media/3EB0"), 503, "bot-unreachable")

    async def test_an_operator_of_another_server(self, stranger: httpx.AsyncClient, live_bot: str) -> None:
        problem(await stranger.get(f"/api/bots/{live_bot}/media/3EB0"), 404, "not-found")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        (None, "attachment"),
        ("", "attachment"),
        ("...", "attachment"),
        ('a"\r\nSet-Cookie: x', "attachment; filename*=UTF-8''a___Set-Cookie_%20x"),
        ("/etc/passwd", "attachment; filename*=UTF-8''_etc_passwd"),
        ("gpj.\u202eexe", "attachment; filename*=UTF-8''gpj._exe"),
        ("\ud800", "attachment; filename*=UTF-8''_"),
    ],
)
def test_untrusted_file_names(name: str | None, header: str) -> None:
    assert disposition(name) == header
    assert len(disposition("ä" * 5000)) < 1000


@pytest.mark.parametrize(
    "kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "", "image/png, text/html", "a\r\nb"]
)
def test_unsafe_content_types(kind: str) -> None:
    assert safe_type(kind) == OCTETS
    assert safe_type("audio/ogg; codecs=opus") == "audio/ogg; codecs=opus"
