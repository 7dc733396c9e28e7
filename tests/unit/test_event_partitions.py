"""Which ranges of events are created ahead, and which partitions have expired."""

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.db.event_partitions import DEFAULT, RANGES_PER_RETENTION, Partition, Range, ranges_ahead

NOW = datetime(2026, 3, 4, 15, 30, tzinfo=UTC)
TODAY = datetime(2026, 3, 4, tzinfo=UTC)
DAY = timedelta(days=1)
THE_DEFAULT = Partition(DEFAULT, None, None)


def day(number: int, *, length: timedelta = DAY) -> Partition:
    """The partition that starts so many days after today."""
    starts_at = TODAY + number * DAY
    return Partition(f"bot_events_{starts_at:%Y%m%d}", starts_at, starts_at + length)


def created(existing: list[Partition], *, days: int = 7) -> list[Range]:
    return list(ranges_ahead(existing, now=NOW, retention_days=days))


def test_without_any_range_they_start_today_and_reach_three_days_ahead() -> None:
    ranges = created([THE_DEFAULT])
    assert [item.name for item in ranges] == [f"bot_events_2026030{number}" for number in (4, 5, 6, 7)]
    assert all(item.ends_at - item.starts_at == DAY for item in ranges)


def test_new_ranges_follow_the_last_one() -> None:
    assert created([day(0), day(1), day(2), day(3), THE_DEFAULT]) == []
    assert [item.starts_at for item in created([day(0), day(1), THE_DEFAULT])] == [TODAY + 2 * DAY, TODAY + 3 * DAY]


def test_nothing_is_created_for_the_past() -> None:
    assert created([day(-20), THE_DEFAULT])[0].starts_at == TODAY


@pytest.mark.parametrize("days", [1, 7, 29, 31, 90, 365, 3650])
def test_the_number_of_ranges_is_bounded_whatever_the_retention(days: int) -> None:
    [first, *_] = created([THE_DEFAULT], days=days)
    width = first.ends_at - first.starts_at
    assert width >= DAY
    assert width % DAY == timedelta()
    assert timedelta(days=days) / width < 2 * RANGES_PER_RETENTION


def test_a_changed_retention_leaves_no_gap() -> None:
    [last] = created([day(0), day(1), day(2), THE_DEFAULT], days=90)
    assert (last.starts_at, last.ends_at) == (TODAY + 3 * DAY, TODAY + 6 * DAY)


def test_a_range_expires_as_a_whole() -> None:
    cutoff = NOW - 7 * DAY
    assert day(-8).has_expired(cutoff)
    assert not day(-7).has_expired(cutoff)
    assert not day(-7).may_have_expired_rows(cutoff, retention_days=7)
    assert day(-8).may_have_expired_rows(cutoff, retention_days=7)  # if it could not be dropped


@pytest.mark.parametrize("partition", [THE_DEFAULT, Partition("bot_events_before_20260304", None, TODAY)])
def test_without_a_lower_bound_events_expire_one_by_one(partition: Partition) -> None:
    cutoff = NOW - 7 * DAY
    assert not partition.has_expired(cutoff)
    assert partition.may_have_expired_rows(cutoff, retention_days=7)


def test_a_range_created_for_a_longer_retention_does_not_prolong_a_shorter_one() -> None:
    wide = day(-20, length=30 * DAY)
    assert wide.may_have_expired_rows(NOW - 7 * DAY, retention_days=7)
    assert not wide.may_have_expired_rows(NOW - 7 * DAY, retention_days=900)
