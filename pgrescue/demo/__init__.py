"""The sandbox: a small cluster with backups, a WAL archive and a disaster to practise on."""
