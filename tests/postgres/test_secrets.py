"""Where passwords and keys stand in settings and commands, and what only looks like one."""

from __future__ import annotations

import pytest

from pgrescue.postgres.secrets import (
    configuration_without_passwords,
    holds_password,
    without_passwords,
)

SECRET = "S3cr3t/Wort+x=="


@pytest.mark.parametrize(
    "text",
    [
        "host=h password={} port=1",
        "host=h password='{} x' port=1",
        "password = '{}\\' x'",
        "password={}\\ x",
        "sslpassword={}",
        "postgresql://me:{}@h/db",
        "postgresql://h/db?user=u&password={}&x=1",
        "PGPASSWORD={} psql",
        "PGPASSWORD='{}' psql",
        "AWS_SECRET_ACCESS_KEY={} aws s3 cp x y",
        "fetch --password {} %f",
        "fetch --token={} %f",
        "curl -u me:{} https://h/%f",
        "curl --user=me:{} https://h/%f",
        "curl -H 'Authorization: Bearer {}' https://h/%f",
        'curl -H "X-Api-Key: {}" https://h/%f',
        "sshpass -p {} scp h:%f %p",
        "openssl enc -d -pass pass:{} -in %f",
        "primary_conninfo = 'user=u password=''{} x'' host=h'",
        "ssl_passphrase_command = 'echo {}'",
        "openssl enc -d -aes-256-cbc -k {} -in /a/%f -out %p",
        "gunzip < /a/%f | openssl enc -d -aes-256-cbc -K {} -iv 00 > %p",
        "openssl enc -d -k '{} with blanks' -in /a/%f",
        "PGBACKREST_REPO1_CIPHER_PASS={} pgbackrest archive-get %f %p",
        "pgbackrest --repo1-cipher-pass={} archive-get %f %p",
        "AZURE_STORAGE_KEY={} az storage blob download",
        "az storage blob download --account-key {} --file %p",
        "az storage blob download --account-key={} --file %p",
        "AZURE_STORAGE_CONNECTION_STRING=DefaultEndpointsProtocol=https;AccountKey={};x=y az",
        "curl -o %p https://h.example/c/%f?sv=2022-11-02&sig={}",
        "curl -o %p https://h.example/%f?X-Amz-Expires=9&X-Amz-Signature={}",
        "WALG_LIBSODIUM_KEY={} wal-g wal-fetch %f %p",
        "smbclient -U bob%{} //h/a -c 'get %f %p'",
        "lftp -u bob,{} -e 'get %f -o %p' h",
        "7z x -p{} -so /a/%f.7z > %p",
        "unzip -P {} -p /a/%f.zip > %p",
        "s3cmd --secret_key={} get s3://a/%f %p",
        "s3cmd --secret-key {} get s3://a/%f %p",
        "alter role app with login password '{}'",
        "ALTER ROLE app ENCRYPTED PASSWORD E'{}'",
    ],
)
def test_where_passwords_and_keys_stand(text: str) -> None:
    shown = without_passwords(text.format(SECRET))
    assert SECRET not in shown
    assert "***" in shown
    assert not holds_password(shown)
    assert SECRET not in configuration_without_passwords(text.format(SECRET))


def test_a_password_of_any_length_is_hidden() -> None:
    """As a token is that serves as one."""
    shown = without_passwords(f"psql postgresql://me:{'x' * 3000}@h/db")
    assert shown == "psql postgresql://me:***@h/db"


def test_rest_of_a_uri_stays() -> None:
    shown = without_passwords("postgresql://me:p@ss@h/db, https://me:pass@h/a@b, s3://a:p/ss@h/a")
    assert shown == "postgresql://me:***@h/db, https://me:***@h/a@b, s3://a:***@h/a"


@pytest.mark.parametrize(
    "text",
    [
        "password_encryption = 'scram-sha-256'",
        "host=h passfile=/home/me/.pgpass user=me",
        "cp /srv/archive/%f %p",
        "fetch --password-file /etc/key -u postgres %f",
        "https://example.org/a?b=c",
        "https://example.org:8080/a@b",
        "cp -p /a/%f %p",
        "curl -k -o %p https://h.example/%f",
        "openssl version; curl -k https://h.example/%f -o %p",
        "openssl enc -d -kfile /etc/key -in /a/%f -out %p",
        "kill --signal=9 17",
        "timeout --signal=KILL 60 cp /a/%f %p",
        "unzip -p /a/%f.zip > %p",
        "gzip -dc /a/%f.gz > %p",
        "7z x -so /a/%f.7z > %p",
        "scp -P 2222 h:/a/%f %p",
        "psql -U postgres -c 'select 1'",
        "date -u +%F,%T",
        "WALG_LIBSODIUM_KEY_PATH=/etc/key wal-g wal-fetch %f %p",
        "AWS_ACCESS_KEY_ID_FILE=/etc/id aws s3 cp s3://a/%f %p",
        "sslkey=/etc/client.key sslmode=verify-full",
        'password authentication failed for user "app"',
    ],
)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert without_passwords(text) == text
    assert not holds_password(text)


def test_settings_can_still_be_read() -> None:
    before = f"primary_conninfo = 'user=u password={SECRET}' # x\nmax_connections = 100\n"
    after = "primary_conninfo = 'user=u password=***' # x\nmax_connections = 100\n"
    assert configuration_without_passwords(before) == after
