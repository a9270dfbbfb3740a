#!/bin/sh
# setup.sh: unpacks real mail servers from Debian's packages below $SERVERS, each in a root of its own.
#
# Nothing is installed, so servers that conflict with each other, or with the host's own, can run side by side; and an
# ordinary user can do it. Quick when everything is there, and safe when several test runs start at once: one of them
# works, the others wait for it. A root counts as complete only when NAME.packages names the packages that it holds, and
# that file is written last; so an interrupted run is repaired by the next.
set -eu
. "$(dirname "$0")/env.sh"
umask 022

# unpack NAME PACKAGE...: the packages, and what they need that this host lacks.
unpack() {
	name=$1
	shift
	stamp=$SERVERS/$name.packages
	[ "$(cat "$stamp" 2>/dev/null)" = "$*" ] && return

	root=$SERVERS/$name
	archives=$SERVERS/archives/$name
	rm -rf "$stamp" "$root" "$archives"
	mkdir -p "$root" "$archives/partial"

	# --reinstall: what the host has installed is fetched as well.  Sandbox::User: _apt need not be able to write here.
	# NoLocking: we change nothing that apt guards, and an ordinary user may not lock.
	apt-get -q -y --download-only --reinstall --no-install-recommends \
		-o Dir::Cache::archives="$archives" -o APT::Sandbox::User=root -o Debug::NoLocking=true \
		install "$@" >"$SERVERS/$name.log" 2>&1 || {
		tail -n 5 "$SERVERS/$name.log" >&2
		die "cannot download $*; perhaps \"apt-get update\" helps (the whole story: $SERVERS/$name.log)"
	}
	for package in "$archives"/*.deb; do
		dpkg --extract "$package" "$root"
	done

	# The loader ignores LD_LIBRARY_PATH for set-id programs, and none of these needs the privilege here.
	find "$root" -type f -perm /6000 -exec chmod ug-s '{}' +

	rm -rf "$archives"
	echo "$*" >"$stamp"
}

mkdir -p "$SERVERS"
require_private_servers
exec 9>"$SERVERS/lock"
flock 9

unpack postfix postfix
unpack dovecot dovecot-core
unpack exim exim4-daemon-heavy
unpack nss-wrapper libnss-wrapper
