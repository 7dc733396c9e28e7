"""Which connections to a bot's endpoint stay open."""

from bot_runtime.endpoint.admission import MAX_STRANGERS, MAX_STRANGERS_PER_PEER, MAX_TRUSTED, Admission


def test_a_peer_with_too_many_connections_loses_its_oldest() -> None:
    admission: Admission[int] = Admission()
    evicted = [admission.open(number, "10.0.0.1") for number in range(MAX_STRANGERS_PER_PEER + 1)]
    assert evicted == [*[None] * MAX_STRANGERS_PER_PEER, 0]


def test_of_many_that_arrive_at_once_each_takes_the_place_of_another() -> None:
    admission: Admission[int] = Admission()
    evicted = [admission.open(number, "10.0.0.1") for number in range(3 * MAX_STRANGERS_PER_PEER)]
    assert evicted[MAX_STRANGERS_PER_PEER:] == list(range(2 * MAX_STRANGERS_PER_PEER)), "none is closed yet"


def test_when_there_are_too_many_the_peer_with_the_most_gives_way() -> None:
    admission: Admission[str] = Admission()
    for number in range(MAX_STRANGERS_PER_PEER):
        assert admission.open(f"greedy-{number}", "greedy") is None
    for number in range(MAX_STRANGERS - MAX_STRANGERS_PER_PEER):
        assert admission.open(f"other-{number}", f"other-{number}") is None
    assert admission.open("controller", "controller") == "greedy-0"


def test_among_many_peers_the_oldest_connection_gives_way_never_the_newest() -> None:
    admission: Admission[int] = Admission()
    for number in range(MAX_STRANGERS):
        assert admission.open(number, f"10.0.0.{number}") is None
    assert admission.open(MAX_STRANGERS, "controller") == 0


def test_a_trusted_connection_never_gives_way() -> None:
    admission: Admission[int] = Admission()
    admission.open(0, "peer")
    assert admission.trust(0)
    evicted = set()
    for number in range(1, 2 * MAX_STRANGERS):
        victim = admission.open(number, "peer")
        if victim is not None:
            admission.close(victim)
            evicted.add(victim)
    assert evicted
    assert 0 not in evicted
    assert admission.is_trusted(0)


def test_there_is_a_limit_for_trusted_connections_and_closed_ones_make_room() -> None:
    admission: Admission[int] = Admission()
    for number in range(MAX_TRUSTED + 1):
        admission.open(number, "controller")
        assert admission.trust(number) is (number < MAX_TRUSTED)
    admission.close(0)
    assert admission.trust(MAX_TRUSTED)
    assert admission.trust(MAX_TRUSTED), "asking again changes nothing"
