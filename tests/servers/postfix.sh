#!/bin/sh
# postfix.sh DIR PORT: Postfix with Dovecot's SASL in the foreground, on 127.0.0.1, until SIGTERM (root).
#
# PORT offers STARTTLS, PORT+1 speaks TLS from the first byte. DIR is the server's own directory and is made if need be;
# CERTS names the directory with ca.pem, server.pem and server.key.
#   DIR/mail/new    the mail: one file for each recipient, as deliver says; reject@ and greylist@ are refused
#   DIR/log         Postfix's log
#   DIR/auth.log    Dovecot's log; a line "client in: AUTH" for each attempt
set -eu
. "$(dirname "$0")/env.sh"
[ $# -eq 2 ] || die "usage: CERTS=DIRECTORY postfix.sh DIR PORT"
[ "$(id -u)" -eq 0 ] || die "Postfix needs root (for a mount namespace of its own)"
require_root_of postfix submission
require_certs
require_port "$2"
umask 022

own_directory "$1"
cp "$HERE"/postfix/* "$HERE"/dovecot/* "$dir/etc/"
fill_in "$2" "$HERE/postfix/master.cf"
token_key

# Postfix dozes before it reads a file that changed within the last seconds, in every process anew.
touch -d '1 minute ago' "$dir/etc/"*

export ACCOUNTS="postfix:61001 postdrop:61002 dovecot:61003 dovenull:61004 vmail:61005"
exec "$HERE/overlay.sh" "$dir" postfix submission -- /run/private/etc/start
