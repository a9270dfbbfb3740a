#!/bin/sh
# submission.sh DIR PORT BACKEND: Dovecot's submission service in the foreground, on 127.0.0.1, until SIGTERM (root).
#
# PORT offers STARTTLS, PORT+1 speaks TLS from the first byte. It stores nothing: every command goes on to the server of
# postfix.sh on the port BACKEND, and what that answers comes back. DIR is the server's own directory and is made if need
# be; CERTS names the directory with ca.pem, server.pem and server.key.
#   DIR/auth.log    Dovecot's log; a line "client in: AUTH" for each attempt
set -eu
. "$(dirname "$0")/env.sh"
[ $# -eq 3 ] || die "usage: CERTS=DIRECTORY submission.sh DIR PORT BACKEND"
[ "$(id -u)" -eq 0 ] || die "Dovecot needs root (for a mount namespace of its own)"
require_root_of submission
require_certs
require_port "$2"
require_port "$3"
umask 022

own_directory "$1"
cp "$CERTS/ca.pem" "$HERE"/dovecot/* "$dir/etc/"
fill_in "$2" "$HERE/submission/dovecot.conf"
echo "submission_relay_port = $3" >"$dir/etc/backend.conf"
token_key

export ACCOUNTS="dovecot:61003 dovenull:61004 vmail:61005"
exec "$HERE/overlay.sh" "$dir" submission -- /usr/sbin/dovecot -F -c /run/private/etc/dovecot.conf
