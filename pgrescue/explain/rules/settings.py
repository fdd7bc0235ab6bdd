"""Settings that the server refuses.

Texts: `src/backend/utils/misc/guc.c`, `guc-file.l`, `xlogrecovery.c`, `postmaster.c`.
"""

from __future__ import annotations

from pgrescue.explain.course import kept_it_down, streams_no_more
from pgrescue.explain.evidence import limits, named_setting, place, setting, targets
from pgrescue.explain.rule import START_UNCHANGED, Rule

_AGAIN = "{again}"

SETTINGS = (
    Rule(
        code="restore_command_missing",
        patterns=(
            r"must specify \"?restore_command\"? when standby mode is not enabled",
            r'specified neither "?primary_conninfo"? nor "?restore_command"?',
        ),
        title="Recovery was asked for, but there is no restore_command.",
        cause="recovery.signal is there, and no setting says how WAL is fetched. Even where all "
        "WAL lies in pg_wal it must be set.",
        evidence=(setting("restore_command"),),
        unchanged=START_UNCHANGED,
        levels=("FATAL",),
        next=(
            "let pgrescue write it, and the rest of the settings: pgrescue plan",
            "or set restore_command in {data!q}/postgresql.auto.conf, and " + _AGAIN,
        ),
    ),
    Rule(
        code="recovery_conf",
        patterns=(r'using recovery command file "(?P<path>[^"]+)" is not supported',),
        title="A recovery.conf from PostgreSQL 11 or before is in the way.",
        cause="Since 12 its settings belong into postgresql.conf, beside an empty recovery.signal, "
        "or standby.signal where it had standby_mode = on.",
        evidence=(place("path"),),
        unchanged=START_UNCHANGED,
        next=(
            "move its settings to {data!q}/postgresql.auto.conf and the file itself away: "
            "mv {data!q}/recovery.conf {data!q}/recovery.conf.old",
            "for a standby (standby_mode = on): touch {data!q}/standby.signal, and " + _AGAIN,
            "for a recovery: touch {data!q}/recovery.signal, and " + _AGAIN,
        ),
    ),
    Rule(
        code="several_targets",
        patterns=(r"multiple recovery targets specified",),
        title="More than one recovery target is set.",
        cause="A target of an earlier recovery is still in one of the configuration files; only "
        "one may be set.",
        evidence=(targets,),
        unchanged=START_UNCHANGED,
        next=("empty all but one of them, e.g. recovery_target_name = ''", _AGAIN),
    ),
    Rule(
        code="reload_refused",
        patterns=(
            r'configuration file "(?P<path>[^"]+)" contains errors; unaffected changes were '
            r"applied",
            r"pg_hba\.conf was not reloaded|(?P<what>SSL) configuration was not reloaded",
        ),
        title="A reload found an error in the configuration.",
        cause="The server runs on with the values it had; at its next start it would refuse them.",
        weight="note",
        levels=("LOG",),
        next=("correct what the lines before this one name", "select pg_reload_conf()"),
    ),
    Rule(
        code="invalid_target_time",
        patterns=(
            r'invalid value for parameter "(?P<setting>recovery_target_time)": (?P<value>.*)',
        ),
        title="The value of {setting} is not one: {value}.",
        cause="The server does not read it as a person would: a recovery_target_time needs a "
        "numeric offset such as +01, not Z, not a zone's abbreviation.",
        evidence=(named_setting,),
        unchanged=START_UNCHANGED,
        holds=kept_it_down,
        levels=("LOG", "FATAL"),
        next=("correct {setting}, and " + _AGAIN,),
    ),
    Rule(
        code="invalid_locale",
        patterns=(r'invalid value for parameter "(?P<setting>lc_\w+)": (?P<value>.*)',),
        title="This machine has no such locale for {setting}: {value}.",
        cause="The configuration comes from a machine on which it is installed.",
        evidence=(named_setting,),
        unchanged=START_UNCHANGED,
        holds=kept_it_down,
        levels=("LOG", "FATAL"),
        next=(
            "see which there are: locale -a   and install the missing one (Debian: "
            "dpkg-reconfigure locales)",
            "or set each one named above to 'C' in {data!q}/postgresql.auto.conf",
            _AGAIN,
        ),
    ),
    Rule(
        code="invalid_setting",
        patterns=(
            r'invalid value for parameter "(?P<setting>[^"]+)": (?P<value>.*)',
            r'(?:\S+ )?"?(?P<value>[^ ]+)"? is outside the valid range for parameter '
            r'"(?P<setting>[^"]+)"',
            r'parameter "(?P<setting>[^"]+)" requires (?P<value>.*)',
        ),
        title="The value of {setting} is not one: {value}.",
        cause="This server takes no such value; each message names a setting and what is wrong "
        "with it.",
        evidence=(named_setting,),
        unchanged=START_UNCHANGED,
        holds=kept_it_down,
        levels=("LOG", "FATAL"),
        next=("correct every setting named above, and " + _AGAIN,),
    ),
    Rule(
        code="unknown_setting",
        patterns=(
            r'unrecognized configuration parameter "(?P<setting>[^"]+)"'
            r'(?: in file "(?P<path>[^"]+)" line (?P<number>\d+))?',
        ),
        title="This server does not know the setting {setting}.",
        cause="The configuration comes from another version, or from a server with an extension "
        "that is not installed here: {path}, line {number}.",
        evidence=(named_setting,),
        unchanged=START_UNCHANGED,
        holds=kept_it_down,
        levels=("LOG", "FATAL"),
        next=("put a # before each one named above, in {path!q}, and " + _AGAIN,),
    ),
    Rule(
        code="configuration_syntax",
        patterns=(
            r'syntax error in file "(?P<path>[^"]+)" line (?P<number>\d+), near (?P<near>.*)',
            r'could not open configuration (?:file|directory) "(?P<path>[^"]+)": (?P<near>.*)',
        ),
        title="A configuration file cannot be read: {path}.",
        cause="At line {number}: {near}",
        evidence=(place("path"),),
        unchanged=START_UNCHANGED,
        holds=kept_it_down,
        levels=("LOG", "FATAL"),
        next=("correct {path!q}, and " + _AGAIN,),
    ),
    Rule(
        code="configuration_errors",
        patterns=(r'configuration file "(?P<path>[^"]+)" contains errors',),
        title="The server refuses its configuration, {path}.",
        cause="The lines before this one say which setting is wrong.",
        unchanged=START_UNCHANGED,
        weight="consequence",
        levels=("FATAL",),
        next=(_AGAIN + " once they are corrected",),
    ),
    Rule(
        code="no_configuration",
        patterns=(
            r'could not access the server configuration file "(?P<path>[^"]+)"',
            r"(?P<path>\S+) does not know where to find the (?:server configuration file|"
            r'"hba" configuration file|database system data)',
        ),
        title="The server has no configuration file: {path}.",
        cause="On Debian the configuration lies in /etc/postgresql, outside of the data directory "
        "and of its backups.",
        evidence=(place("path"), place("data")),
        unchanged=START_UNCHANGED,
        next=(
            "start it through its service (pg_ctlcluster, systemctl), or with "
            "-c config_file=/etc/postgresql/VERSION/NAME/postgresql.conf",
            "a restore by pgrescue finds it by itself: pgrescue plan",
        ),
    ),
    Rule(
        code="hba_errors",
        patterns=(
            r"invalid (?:authentication method|connection type|IP address|IP mask|CIDR mask) .*",
            r"(?:end-of-line before|multiple values specified|missing entry) .*",
            r'could not load (?:"(?P<path>[^"]*pg_hba\.conf)"|(?P<bare>\S*pg_hba\.conf))',
        ),
        title="The server refuses its pg_hba.conf.",
        cause="A line of it is wrong, or the file is missing; its messages say which. Without it "
        "nobody could log in.",
        evidence=(place("path"),),
        unchanged=START_UNCHANGED,
        levels=("LOG", "FATAL"),
        holds=kept_it_down,
        next=("correct that line of pg_hba.conf, and " + _AGAIN,),
    ),
    Rule(
        code="setting_lower_than_primary",
        patterns=(
            r"hot standby is not possible because (?P<setting>\w+) = (?P<got>\d+) is a lower "
            r"setting than on the (?:master|primary) server \(its value was (?P<wanted>\d+)\)",
        ),
        only_with_detail=(r"recovery aborted because of insufficient parameter settings",),
        detail=r"(?P<setting>\w+) = (?P<got>\d+) is a lower setting than on the primary server, "
        r"where its value was (?P<wanted>\d+)",
        title="{setting} is lower here than it was on the primary: {got} instead of {wanted}.",
        cause="A hot standby needs room for everything that could be going on on its primary.",
        evidence=(limits, named_setting),
        levels=("FATAL",),
        next=(
            "set {setting} = {wanted} in {data!q}/postgresql.auto.conf, and " + _AGAIN,
            "pgrescue plan   writes such settings by itself",
        ),
    ),
    Rule(
        code="some_setting_lower_than_primary",
        patterns=(r"recovery aborted because of insufficient parameter settings",),
        title="A setting is lower here than it was on the primary.",
        cause="A hot standby needs room for everything that could be going on on its primary. "
        "This log does not say which setting it is (log_error_verbosity = terse).",
        evidence=(limits,),
        levels=("FATAL",),
        next=(
            "set log_error_verbosity = default in {data!q}/postgresql.auto.conf, and " + _AGAIN,
            "pgrescue plan   writes such settings by itself",
        ),
    ),
    Rule(
        code="slot_missing",
        patterns=(
            r'could not start WAL streaming: ERROR: +replication slot "(?P<slot>[a-z0-9_]+)" does '
            r"not exist",
            r'pg_\w+: error: .*replication slot "(?P<named>[a-z0-9_]+)" does not exist',
        ),
        title="The server to copy or follow has no such replication slot.",
        cause="It was never made there, was dropped, or was left behind by a failover: slots are "
        "not copied to standbys.",
        evidence=(setting("primary_slot_name"),),
        levels=("FATAL", "TOOL"),
        holds=streams_no_more,
        next=(
            "see which there are, on that server: select slot_name, active from "
            "pg_replication_slots",
            "make it there: select pg_create_physical_replication_slot('SLOT')",
            "or do without it: primary_slot_name = '' here, and reload; what the other server has "
            "removed by then must come from the archive",
        ),
    ),
    Rule(
        code="slot_needs_wal_level",
        patterns=(
            # The server takes nothing else for a slot's name.
            r'(?P<kind>logical|physical) replication slot "(?P<slot>[a-z0-9_]+)" exists, but '
            r'"?wal_level"? < "?(?P<wanted>\w+)"?',
        ),
        title="The replication slot {slot} needs wal_level = {wanted}.",
        cause="Either this is the original and its wal_level was lowered, or it is a copy of its "
        "files, and the slot came with them.",
        evidence=(setting("wal_level"), place("slots")),
        unchanged=START_UNCHANGED,
        next=(
            "if this is the original: set wal_level = {wanted}, and " + _AGAIN + "; whoever reads "
            "from the slot goes on",
            "if this is a copy, which has no use for the original's slots: set wal_level = "
            "{wanted}, start, then: select pg_drop_replication_slot(slot_name) from "
            "pg_replication_slots where slot_name = '{slot}'",
        ),
    ),
    Rule(
        code="library_missing",
        patterns=(
            r'could not access file "(?P<library>[^"]+)": No such file or directory',
            r'could not load library "(?P<library>[^"]+)": (?P<why>.*)',
        ),
        title="A library that the configuration preloads is not installed: {library}.",
        cause="shared_preload_libraries names it; on this machine it is missing.",
        evidence=(setting("shared_preload_libraries"),),
        unchanged=START_UNCHANGED,
        levels=("FATAL",),
        next=(
            "install the package that has it",
            "or start without it for now: shared_preload_libraries = '' in "
            "{data!q}/postgresql.auto.conf",
        ),
    ),
    Rule(
        code="ssl_files",
        patterns=(
            r"could not (?:load|access) (?:server certificate|private key|root certificate) file "
            r'"(?P<path>[^"]+)"',
            r'private key file "(?P<path>[^"]+)" (?:has group or world access|must be owned by)',
            r'could not access private key file "(?P<path>[^"]+)"',
        ),
        title="The server cannot use its TLS files: {path}.",
        cause="They lie outside of the data directory, and so of its backups, or have the wrong "
        "owner or mode.",
        evidence=(place("path"),),
        unchanged=START_UNCHANGED,
        holds=kept_it_down,
        levels=("FATAL", "LOG"),
        next=(
            "put them there, so that the server's account can read them",
            "a private key: either owned by that account, mode 0600; or by root, mode 0640, in a "
            "group of that account, as Debian's ssl-cert-snakeoil.key of the group ssl-cert is: "
            "id {account!q}",
            "or start with ssl = off for now",
        ),
    ),
)
