"""Where passwords and keys stand in commands, and what only looks like one."""

from __future__ import annotations

import pytest

from pgrescue.postgres.secrets import holds_password, without_passwords

SECRET = "S3cr3t/Wort+x=="


@pytest.mark.parametrize(
    "command",
    [
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
def test_a_commands_keys_are_hidden(command: str) -> None:
    shown = without_passwords(command.format(SECRET))
    assert SECRET not in shown
    assert "***" in shown
    assert not holds_password(shown)


@pytest.mark.parametrize(
    "command",
    [
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
def test_what_only_looks_like_a_key_stays(command: str) -> None:
    assert without_passwords(command) == command
    assert not holds_password(command)
