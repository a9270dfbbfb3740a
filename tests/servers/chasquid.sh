#!/bin/sh
# chasquid.sh DIR PORT: chasquid in the foreground, on 127.0.0.1, until SIGTERM. Any user may run it.
#
# PORT offers STARTTLS, PORT+1 speaks TLS from the first byte. DIR is the server's own directory and is made if need be;
# CERTS names the directory with ca.pem, server.pem and server.key. The user is alice@example.test.
#   DIR/mail/new    the mail: one file for each recipient, as deliver says, but with LF; who is no user is refused
#   DIR/log         chasquid's log
set -eu
. "$(dirname "$0")/env.sh"
[ $# -eq 2 ] || die "usage: CERTS=DIRECTORY chasquid.sh DIR PORT"
require_root_of chasquid
require_certs
require_port "$2"
umask 022

own_directory "$1"
fill_in "$2" "$HERE/chasquid/chasquid.conf"
mkdir -p "$dir/etc/certs/mail.example.test" "$dir/etc/domains/example.test" "$dir/data"
cp "$CERTS/server.pem" "$dir/etc/certs/mail.example.test/fullchain.pem"
cp "$CERTS/server.key" "$dir/etc/certs/mail.example.test/privkey.pem"
bin=$SERVERS/chasquid/usr/bin

# Its users are those that the tests write to, all with alice's password: making one takes a while, for each.
cd "$dir/etc/domains/example.test"
"$bin/chasquid-util" -C="$dir/etc" user-add alice@example.test --password=s3cret >"$dir/users.out" 2>&1
mv users one
for user in alice bob bøb $(seq -f to%g 0 99) $(seq -f from%g 0 99) $(seq -f user%g 0 99); do
	sed "s/\"alice\"/\"$user\"/" one
done >users
rm one
exec "$bin/chasquid" --config_dir="$dir/etc"
