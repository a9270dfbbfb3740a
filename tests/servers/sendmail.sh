#!/bin/sh
# sendmail.sh DIR PORT: sendmail 8.17 with Cyrus SASL in the foreground, on 127.0.0.1, until SIGTERM (root).
#
# PORT offers STARTTLS, PORT+1 speaks TLS from the first byte. DIR is the server's own directory and is made if need be;
# CERTS names the directory with ca.pem, server.pem and server.key.
#   DIR/mail/new    the mail: one file for each recipient, as deliver says; reject@ and greylist@ are refused
#   DIR/dialogue    all that was said; a line "<<< AUTH" for each attempt
set -eu
. "$(dirname "$0")/env.sh"
[ $# -eq 2 ] || die "usage: CERTS=DIRECTORY sendmail.sh DIR PORT"
[ "$(id -u)" -eq 0 ] || die "sendmail needs root (for a mount namespace of its own)"
require_root_of sendmail
require_certs
require_port "$2"
umask 022

own_directory "$1"
cp "$CERTS/ca.pem" "$HERE/sendmail/start" "$dir/etc/"
fill_in "$2" "$HERE/sendmail/sendmail.cf"

export ACCOUNTS="smmsp:61007 vmail:61005:/run/private"
exec "$HERE/overlay.sh" "$dir" sendmail -- /run/private/etc/start
