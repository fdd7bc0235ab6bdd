"""The table that says which backups are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgrescue.config.errors import ConfigError
from pgrescue.config.load import load_config, parse_config
from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.config.write import render_config

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
CLUSTER = '[clusters.a]\ndata_directory = "/a"\n'


def policy_of(text: str) -> RetentionPolicy:
    """The policy of a configuration with this table."""
    return parse_config(f"{CLUSTER}[clusters.a.retention]\n{text}", None).clusters["a"].retention


def test_the_example_shows_every_rule() -> None:
    policy = load_config(EXAMPLE).clusters["main"].retention
    assert policy == RetentionPolicy(count=3, days=7, weekly=4, monthly=12)


@pytest.mark.parametrize("table", ["", "[clusters.a.retention]\n"])
def test_no_rule_keeps_everything(table: str) -> None:
    assert parse_config(CLUSTER + table, None).clusters["a"].retention.keeps_everything


def test_any_rule_may_be_missing() -> None:
    assert policy_of("days = 14\n") == RetentionPolicy(days=14)
    assert not policy_of("weekly = 1\n").keeps_everything


def test_what_is_written_is_read_back() -> None:
    config = parse_config(f"{CLUSTER}[clusters.a.retention]\ncount = 2\nmonthly = 6\n", None)
    assert parse_config(render_config(config), None) == config
    assert "retention" not in render_config(parse_config(CLUSTER, None))


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        policy_of('cuont = 3\ndays = "7"\nweekly = 0\nmonthly = true\ncount = 1.5\n')
    problems = {problem.key: problem.message for problem in caught.value.problems}
    assert "'count'" in problems["clusters.a.retention.cuont"]
    assert "whole number" in problems["clusters.a.retention.days"]
    assert "leave the key out" in problems["clusters.a.retention.weekly"]
    assert "whole number" in problems["clusters.a.retention.monthly"]
    assert "whole number" in problems["clusters.a.retention.count"]


def test_a_number_in_place_of_the_table_is_a_problem() -> None:
    with pytest.raises(ConfigError, match="a table"):
        parse_config(f"{CLUSTER}retention = 7\n", None)
