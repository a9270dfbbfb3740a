#!/bin/sh
# postfix.sh DIR PORT: Postfix with Dovecot's SASL in the foreground, on 127.0.0.1, until SIGTERM (root).
#
# PORT offers STARTTLS, PORT+1 speaks TLS from the first byte. DIR is the server's own directory and is made if need be;
# CERTS names the directory with ca.pem, server.pem and server.key.
#   DIR/mail/new    the mail: one file for each recipient, as deliver says
#   DIR/log         Postfix's log
#   DIR/auth.log    Dovecot's log; a line "client in: AUTH" for each attempt
set -eu
. "$(dirname "$0")/env.sh"
[ $# -eq 2 ] || die "usage: CERTS=DIRECTORY postfix.sh DIR PORT"
[ "$(id -u)" -eq 0 ] || die "Postfix needs root (for a mount namespace of its own)"
require_root_of postfix dovecot
require_certs
require_port "$2"
umask 022

mkdir -p "$1/etc" "$1/mail/new" "$1/mail/tmp"
dir=$(cd "$1" && pwd)
cp "$CERTS/server.pem" "$CERTS/server.key" "$dir/etc/"
chmod 600 "$dir/etc/server.key"
cp "$HERE"/postfix/* "$dir/etc/"
sed -e "s/@PORT@/$2/" -e "s/@TLS_PORT@/$(($2 + 1))/" "$HERE/postfix/master.cf" >"$dir/etc/master.cf"

# Dovecot looks for /default/ALGORITHM/KEY-ID, in base64.
mkdir -p "$dir/keys/default/HS256"
base64 <"$HERE/postfix/token_key" | tr -d '\n' >"$dir/keys/default/HS256/default"

# Postfix dozes before it reads a file that changed within the last seconds, in every process anew.
touch -d '1 minute ago' "$dir/etc/"*

export ACCOUNTS="postfix:61001 postdrop:61002 dovecot:61003 dovenull:61004 vmail:61005"
exec "$HERE/overlay.sh" "$dir" postfix dovecot -- /run/private/etc/start
