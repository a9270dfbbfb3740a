#!/bin/sh
# exim.sh DIR PORT [MECHANISM...]: Exim in the foreground, on 127.0.0.1, until SIGTERM. As an ordinary user.
#
# PORT offers STARTTLS, PORT+1 speaks TLS from the first byte. MECHANISM is one of PLAIN LOGIN CRAM-MD5 EXTERNAL; default:
# all; EXTERNAL is offered only to a client with a certificate of the CA. DIR is the server's own directory and is made if need be; CERTS names the directory with ca.pem,
# server.pem and server.key.
#   DIR/mail/new    the mail: one file for each recipient, nothing added, the envelope in the name:
#                   UNIQUE,from=SENDER,to=RECIPIENT ("/" becomes "_")
#   DIR/mainlog     Exim's log; a line "AUTH attempt" for each attempt
#
# Started by root it changes to the account 61006, which owns nothing but DIR; then whoever has no rights on the host must
# be able to enter the directories above DIR. Exim has no SCRAM in Debian.
set -eu
. "$(dirname "$0")/env.sh"
[ $# -ge 2 ] || die "usage: CERTS=DIRECTORY exim.sh DIR PORT [MECHANISM...]"
require_root_of exim nss-wrapper
require_certs
require_port "$2"
umask 022

mkdir -p "$1"
dir=$(cd "$1" && pwd)
port=$2
shift 2
mechanisms=${*:-PLAIN LOGIN CRAM-MD5 EXTERNAL}

uid=$(id -u)
gid=$(id -g)
become=
if [ "$uid" -eq 0 ]; then
	uid=61006
	gid=61006
	become="setpriv --reuid=$uid --regid=$gid --clear-groups"
fi

mkdir -p "$dir/spool"
cp "$CERTS/ca.pem" "$CERTS/server.pem" "$CERTS/server.key" "$dir/"
chmod 600 "$dir/server.key"
sed -e "s|@DIR@|$dir|g" -e "s|@SERVERS@|$SERVERS|g" -e "s|@UID@|$uid|g" -e "s|@GID@|$gid|g" \
	-e "s|@PORT@|$port|g" -e "s|@TLS_PORT@|$((port + 1))|g" -e "s|@MECHANISMS@|$(echo "$mechanisms" | tr ' ' :)|g" \
	"$HERE/exim/exim.conf" >"$dir/exim.conf"

# Exim looks up its compiled-in account, and whatever user runs it.
printf '%s\n' "Debian-exim:x:$uid:$gid::$dir:/bin/sh" "root:x:0:0::/:/bin/sh" >"$dir/passwd"
printf '%s\n' "Debian-exim:x:$gid:" "mail:x:8:" "root:x:0:" >"$dir/group"
[ -z "$become" ] || chown -R "$uid:$gid" "$dir"

# In a session of its own: its process group holds the daemon and all that it forks, and nothing else.
# The death signal ends it when we are killed; it does not survive a change of user, so it is set after that.
# shellcheck disable=SC2086  # a command, or nothing
$become setpriv --pdeathsig KILL setsid env \
	LD_LIBRARY_PATH="$(echo "$SERVERS"/exim/usr/lib/*-linux-gnu*):$SERVERS/exim/usr/lib" \
	LD_PRELOAD="$(echo "$SERVERS"/nss-wrapper/usr/lib/*-linux-gnu*/libnss_wrapper.so)" \
	NSS_WRAPPER_PASSWD="$dir/passwd" NSS_WRAPPER_GROUP="$dir/group" \
	"$SERVERS/exim/usr/sbin/exim4" -C "$dir/exim.conf" -bdf -oP "$dir/pid" &
exim=$!
end_exim() {
	kill -KILL "-$exim" 2>/dev/null || kill -KILL "$exim" 2>/dev/null || :
	wait "$exim" 2>/dev/null || :
}
trap end_exim EXIT
trap 'exit 143' TERM INT HUP
status=0
wait "$exim" || status=$?
exit "$status"
