#!/bin/sh
# overlay.sh DIR ROOT... -- COMMAND [ARGUMENT...]: runs COMMAND as if the packages unpacked as ROOT... were installed (root).
#
# Such programs have their paths compiled in, want accounts of their own, and start processes that outlive the one that
# started them. So COMMAND becomes process 1 of a private PID and mount namespace, where
#   /usr, /etc                  are the host's, with the unpacked packages laid over them; what is written there stays
#                               in memory
#   /etc/passwd, /etc/group     have the accounts of ACCOUNTS in addition: words NAME:ID[:HOME], the latter for people
#   /run, /var/lib, /var/spool  are empty
#   /run/private                is DIR, whatever the modes of the directories above it
# The host sees none of this. When this script ends (SIGTERM is the way to end it) or is killed, process 1 is killed, the
# kernel kills the rest of the namespace with it, and the mounts are gone with the last of them.
set -eu
. "$(dirname "$0")/env.sh"

lay_over() { # PLACE ROOT...: the first root lies on top, and above it what is written
	place=$1
	shift
	lower=
	for root; do
		[ ! -d "$SERVERS/$root$place" ] || lower=$lower$SERVERS/$root$place:
	done
	mkdir -p "/mnt/work$place" "/mnt/written$place"
	mount -t overlay overlay -o "lowerdir=$lower$place,upperdir=/mnt/written$place,workdir=/mnt/work$place" "$place"
}

accounts() { # NAME:ID[:HOME]...: ours come before the host's, so that a name it has too means ours
	for account; do
		echo "$account"
	done | while IFS=: read -r name id home; do
		echo "$name:x:$id:" >&3
		if [ -n "$home" ]; then
			echo "$name:x:$id:$id::$home:/bin/sh"
		else
			echo "$name:x:$id:$id::/nonexistent:/usr/sbin/nologin"
		fi
	done >/mnt/passwd 3>/mnt/group
	cat /etc/passwd >>/mnt/passwd
	cat /etc/group >>/mnt/group
	cat /mnt/passwd >/etc/passwd
	cat /mnt/group >/etc/group
}

inside() { # ROOT... -- COMMAND...
	roots=
	while [ "$1" != -- ]; do
		roots="$roots $1"
		shift
	done
	shift

	mount -t tmpfs -o mode=755 tmpfs /mnt
	# shellcheck disable=SC2086  # a list
	lay_over /usr $roots
	# shellcheck disable=SC2086
	lay_over /etc $roots
	# shellcheck disable=SC2086
	accounts ${ACCOUNTS:-}
	umount --lazy /mnt
	mount -t tmpfs -o mode=755 tmpfs /var/lib
	mount -t tmpfs -o mode=755 tmpfs /var/spool

	# DIR may lie below the old /run. Nothing may look for it by its old name from here on.
	mount -t tmpfs -o mode=755 tmpfs /mnt
	mkdir /mnt/private
	mount --bind "$DIR" /mnt/private
	mount --no-mtab --move /mnt /run  # no mtab: that one lay in the old /run
	cd /run/private
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
