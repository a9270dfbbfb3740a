#!/bin/sh
# uninstall.sh: what "make uninstall" does; see README.md.
#
# It removes what install.sh put there and has not been changed since.  Configuration
# and passwords stay.  So does mail that has not been delivered, and then the spool
# and the account that owns it.
set -eu
# shellcheck source=dist/host.sh
. "$(dirname "$0")/host.sh"

[ -z "$DESTDIR" ] || die "removes what is installed on this host; a DESTDIR can be removed as a whole"
[ -f "$MANIFEST" ] || die "there is no $MANIFEST: postbag is not installed here, or with" \
	"other directories (give the same PREFIX and so on as to make install)"
[ -w "$MANIFEST" ] || die "cannot change $MANIFEST; run it as root"

LIST=$(mktemp "${TMPDIR:-/tmp}/postbag-uninstall.XXXXXX")
trap 'rm -f "$LIST"' EXIT
trap 'exit 1' HUP INT TERM

# Its queue must not go while it runs.
relayd_stop() {
	if on_host && [ -d /run/systemd/system ] && have systemctl; then
		systemctl disable --now --quiet relayd.service postbag-smtp.socket 2>/dev/null || :
	fi
	[ ! -S "$RUNDIR/relayd.sock" ] || [ "$FORCE" = 1 ] ||
		die "nothing is removed: relayd runs ($RUNDIR/relayd.sock is there); stop it first." \
			"If it was killed: make uninstall FORCE=1"
}

# Messages have names of 26 characters; what begins with a dot is still being written.
messages_count() {
	find "$SPOOLDIR/queue" ! -name queue -prune -type f -print 2>/dev/null |
		grep -c '/[0-9a-z]\{26\}$' || :
}

# Removes the spool if nothing is in it.  rmdir decides, not the count: a message
# that comes in between is safe.
spool_remove() {
	[ -d "$SPOOLDIR" ] || return 0
	[ ! -d "$SPOOLDIR/queue" ] || rmdir "$SPOOLDIR/queue" 2>/dev/null || return 1
	if [ -d "$SPOOLDIR/state" ]; then
		rm -f "$SPOOLDIR/state/journal" "$SPOOLDIR/state/journal.new" "$SPOOLDIR/state/lock"
		rmdir "$SPOOLDIR/state" || return 1
	fi
	rmdir "$SPOOLDIR"
}

# The next account may get the number of this one, and must not get its passwords.
secrets_keep() {
	[ -d "$SYSCONFDIR/postbag" ] || return 0
	! user_exists || find "$SYSCONFDIR/postbag" -user "$ACCOUNT" -exec chown -h 0 {} + || :
	! group_exists || find "$SYSCONFDIR/postbag" -group "$ACCOUNT" -exec chgrp -h 0 {} + || :
}

directories_remove() {
	sed -n 's/^directory //p' "$LIST" | sort -r | while read -r directory; do
		if [ -d "$directory" ]; then
			rmdir "$directory" 2>/dev/null || :
		fi
	done
}

relayd_stop
cat "$MANIFEST" >"$LIST"
remove_listed "$LIST" /dev/null
if on_host && [ -d /run/systemd/system ] && have systemctl; then
	systemctl daemon-reload || :
fi
spool=removed
spool_remove || spool=stays
rm -f "$MANIFEST"
directories_remove
say "Removed.  What is in $SYSCONFDIR/postbag stays."
count=$(messages_count)
if [ "$count" != 0 ]; then
	say "The queue holds $count message(s), which nobody delivers now: $SPOOLDIR/queue stays as it is,"
	say "with the user and the group $ACCOUNT.  Install again to deliver them."
elif [ "$spool" = stays ]; then
	say "$SPOOLDIR is in use or not empty; it stays, with the user and the group $ACCOUNT."
elif ! on_host || { ! user_exists && ! group_exists; }; then
	:
elif [ "$PURGE" = 1 ]; then
	secrets_keep
	account_remove || die "everything else is removed, but user and group $ACCOUNT cannot be"
	say "User and group $ACCOUNT are removed.  What was theirs in $SYSCONFDIR/postbag is root's now."
else
	say "User and group $ACCOUNT stay.  If nothing else is theirs: userdel $ACCOUNT; groupdel $ACCOUNT"
fi
