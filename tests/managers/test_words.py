"""Command lines, configurations and states of managers are understood as they are written."""

from __future__ import annotations

import pytest

from pgrescue.plan.facts import ManagerName
from pgrescue.survey import manager_words as words
from tests.support.stand_in import CONFIGURATION

CIB = """\
<cib validate-with="pacemaker-3.7">
  <configuration>
    <crm_config>
      <cluster_property_set id="cib-bootstrap-options">
        <nvpair id="x" name="maintenance-mode" value="{maintenance}"/>
      </cluster_property_set>
    </crm_config>
    <resources>
      <primitive id="ip" class="ocf" provider="heartbeat" type="IPaddr2"/>
      <master id="pgsql-ha">
        <meta_attributes id="m">
          <nvpair id="y" name="is-managed" value="{managed}"/>
        </meta_attributes>
        <primitive id="pgsqld" class="ocf" provider="heartbeat" type="pgsqlms">
          <instance_attributes id="i">
            <nvpair id="z" name="pgdata" value="/var/lib/pgsql/15/data"/>
          </instance_attributes>
        </primitive>
      </master>
      <primitive id="db2" class="ocf" provider="heartbeat" type="pgsql"/>
    </resources>
  </configuration>
</cib>
"""


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("/srv/lab/v-patroni/bin/python3 /srv/lab/v-patroni/bin/patroni patroni.yml", "Patroni"),
        ("/usr/bin/python3 -u /usr/bin/patroni /etc/patroni/15-main.yml", "Patroni"),
        ("/usr/bin/python3.11 -m patroni /etc/patroni.yml", "Patroni"),
        ("/opt/patroni/patroni /etc/patroni.yml", "Patroni"),
        ("/usr/bin/python3 /usr/bin/patronictl list", None),
        ("python3 /usr/bin/patroni_raft_controller /etc/patroni.yml", None),
        ("vim /etc/patroni/patroni", None),
        ("/usr/lib/postgresql/15/bin/repmgrd -f /etc/repmgr.conf", "repmgrd"),
        ("repmgr cluster show", None),
        ("/usr/bin/pg_autoctl run --pgdata /srv/main", "pg_auto_failover"),
        ("pg_autoctl create postgres --pgdata /srv/main --run", "pg_auto_failover"),
        ("pg_autoctl show state --pgdata /srv/main", None),
        ("/usr/local/bin/stolon-keeper --data-dir=/srv/stolon", "Stolon"),
        ("stolon-sentinel --cluster-name x", None),
        ("/usr/sbin/pacemakerd", "Pacemaker"),
        ("/usr/lib/postgresql/15/bin/postgres -D /srv/main --cluster_name=patroni", None),
        ("", None),
    ],
)
def test_managers_are_told_from_their_tools(line: str, name: ManagerName | None) -> None:
    assert words.manager_of(line.split()) == name


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        ("patroni", "Patroni"),
        ("patroni@15-main", "Patroni"),
        ("repmgr15", "repmgrd"),
        ("repmgrd", "repmgrd"),
        ("repmgr-15", "repmgrd"),
        ("pgautofailover", "pg_auto_failover"),
        ("stolon-keeper", "Stolon"),
        ("postgresql@15-main", None),
        ("patroni-exporter", None),
    ],
)
def test_units_of_managers(unit: str, name: ManagerName | None) -> None:
    assert words.manager_of_unit(unit) == name


def test_settings_of_patroni_are_found_where_they_stand() -> None:
    settings = words.yaml_settings(CONFIGURATION.format(scope="it's", port=8008, data="/srv/a b"))
    assert settings["postgresql.data_dir"] == "/srv/a b"
    assert settings["restapi.listen"] == "127.0.0.1:8008"
    assert settings["scope"] == "it's"
    assert "data_dir" not in settings


def test_settings_of_patroni_as_json() -> None:
    text = '{"scope": "demo", "postgresql": {"data_dir": "/srv/main"}}'
    assert words.yaml_settings(text)["postgresql.data_dir"] == "/srv/main"


def test_what_is_not_understood_of_yaml_is_unknown_and_nothing_worse() -> None:
    for text in ("postgresql: {data_dir: /srv/main}", "\t- :\n:::", "*anchor", "[1, 2"):
        assert "postgresql.data_dir" not in words.yaml_settings(text)


def test_raft_has_a_data_directory_of_its_own() -> None:
    text = "raft:\n  data_dir: /srv/raft\npostgresql:\n    data_dir: /srv/main\n"
    assert words.yaml_settings(text)["postgresql.data_dir"] == "/srv/main"


@pytest.mark.parametrize(
    ("text", "scope", "paused"),
    [
        ('{"ttl": 30, "loop_wait": 2, "pause": true}', None, True),
        ('{"ttl": 30, "loop_wait": 2}', None, False),
        ('{"pause": "no"}', None, False),
        ('{"pause": true, "patroni": {"scope": "demo"}}', "demo", True),
        ('{"pause": true, "patroni": {"scope": "other"}}', "demo", None),
        ("<html>", "demo", None),
        ("[]", None, None),
        ("", None, None),
    ],
)
def test_pause_of_patroni(text: str, scope: str | None, paused: bool | None) -> None:
    assert words.says_pause(text, scope) is paused


def test_repmgr_conf() -> None:
    text = "node_id=1\n#data_directory='/no'\n data_directory = '/srv/it''s here'  # mine\n"
    assert words.assignments(text)["data_directory"] == "/srv/it's here"


@pytest.mark.parametrize(
    ("text", "paused"),
    [("1:1\0", True), ("1:0\0", False), ("", False), ("12:1", True), ("1:11", False)],
)
def test_pause_of_repmgrd(text: str, paused: bool) -> None:
    assert words.repmgrd_is_paused(text) is paused


@pytest.mark.parametrize(
    ("maintenance", "managed", "expected"),
    [
        ("false", "true", (True, True)),
        ("false", "false", (False, True)),
        ("true", "true", (False, False)),
    ],
)
def test_resources_of_pacemaker(
    maintenance: str, managed: str, expected: tuple[bool, bool]
) -> None:
    found = words.resources_in(CIB.format(maintenance=maintenance, managed=managed))
    assert [(item.name, item.data_directory) for item in found] == [
        ("pgsqld", "/var/lib/pgsql/15/data"),
        ("db2", "/var/lib/pgsql/data"),
    ]
    assert tuple(item.is_managed for item in found) == expected


def test_no_configuration_of_pacemaker_is_an_error_and_not_no_resources() -> None:
    with pytest.raises(ValueError, match="no element found"):
        words.resources_in("")


def test_units_and_their_states() -> None:
    listed = (
        "patroni@15-main.service loaded activating auto-restart Runners to orchestrate\n"
        "stolon-keeper.service loaded active running stolon\n"
    )
    assert words.units_in(listed) == {"patroni@15-main": "activating", "stolon-keeper": "active"}
