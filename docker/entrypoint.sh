#!/bin/sh
# Gives libpq the database password: from the secret into a file in memory that only this user can read.
# So it never stands in an environment, on a command line or in a URL. In a password file : and \ are escaped.
set -eu
(umask 077 && sed -e 's/[\\:]/\\&/g' -e 's/^/*:*:*:*:/' /run/secrets/database-password > "$PGPASSFILE")
exec "$@"
