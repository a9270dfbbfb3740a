#!/bin/sh
# overlay.sh DIR ROOT... -- COMMAND [ARGUMENT...]: runs COMMAND as if the packages unpacked as ROOT... were installed (root).
#
# Postfix and Dovecot have their paths compiled in, want accounts of their own, and start processes that outlive the one
# that started them. So COMMAND becomes process 1 of a private PID and mount namespace, where
#   /usr, /etc                  are the host's, with the unpacked packages laid over them
#   /etc/passwd, /etc/group     have the servers' accounts in addition
#   /run, /var/lib, /var/spool  are empty
#   /run/server                 is DIR, whatever the modes of the directories above it
# The host sees none of this. When this script ends (SIGTERM is the way to end it) or is killed, process 1 is killed, the
# kernel kills the rest of the namespace with it, and the mounts are gone with the last of them.
set -eu
. "$(dirname "$0")/env.sh"

account() { # NAME ID: ours come before the host's, so that a name it has too means ours
	echo "$1:x:$2:$2::/nonexistent:/usr/sbin/nologin" >>"$DIR/passwd"
	echo "$1:x:$2:" >>"$DIR/group"
}

lay_over() { # PLACE ROOT...: the first root lies on top
	place=$1
	shift
	lower=
	for root; do
		[ ! -d "$SERVERS/$root$place" ] || lower=$lower$SERVERS/$root$place:
	done
	mount -t overlay overlay -o "lowerdir=$lower$place" "$place"
}

inside() { # ROOT... -- COMMAND...
	roots=
	while [ "$1" != -- ]; do
		roots="$roots $1"
		shift
	done
	shift

	: >"$DIR/passwd"
	: >"$DIR/group"
	account postfix 61001
	account postdrop 61002
	account dovecot 61003
	account dovenull 61004
	account vmail 61005
	cat /etc/passwd >>"$DIR/passwd"
	cat /etc/group >>"$DIR/group"

	# shellcheck disable=SC2086  # a list
	lay_over /usr $roots
	# shellcheck disable=SC2086
	lay_over /etc $roots
	mount --bind "$DIR/passwd" /etc/passwd
	mount --bind "$DIR/group" /etc/group
	mount -t tmpfs -o mode=755 tmpfs /var/lib
	mount -t tmpfs -o mode=755 tmpfs /var/spool

	# DIR may lie below the old /run. Nothing may look for it by its old name from here on.
	mount -t tmpfs -o mode=755 tmpfs /mnt
	mkdir /mnt/server
	mount --bind "$DIR" /mnt/server
	mount --no-mtab --move /mnt /run  # no mtab: that one lay in the old /run
	cd /run/server
	exec "$@"
}

if [ "${1:-}" = --inside ]; then
	shift
	inside "$@"
fi

DIR=$(cd "$1" && pwd)
export DIR SERVERS
shift

# SIGTERM would not do: unshare holds it back while it waits for its child. So we kill the child, which is process 1 in
# there, and unshare returns when the kernel has cleared the whole namespace. If we are killed ourselves, the death
# signals pass it on.
end_namespace() {
	first=$(cat "/proc/$unshare/task/$unshare/children" 2>/dev/null) || first=
	# shellcheck disable=SC2086  # without a child: unshare itself
	kill -KILL ${first:-$unshare} 2>/dev/null || :
	wait "$unshare" || :
}

setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child=KILL --mount-proc \
	"$0" --inside "$@" &
unshare=$!
trap end_namespace EXIT
trap 'exit 143' TERM INT HUP
status=0
wait "$unshare" || status=$?
trap - EXIT
exit "$status"
