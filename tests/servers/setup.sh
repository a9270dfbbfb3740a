#!/bin/sh
# setup.sh servers|clients|PEER: unpacks real mail servers, programs that send mail, or one program that does what postbag
# does, from Debian's packages below $SERVERS.
#
# Each lies in a root of its own. Nothing is installed, so servers that conflict with each other, or with the host's own,
# can run side by side; and an ordinary user can do it. Quick when everything is there, and safe when several test runs
# start at once: one of them works, the others wait for it. A root counts as complete only when NAME.packages names the
# packages that it holds, and that file is written last; so an interrupted run is repaired by the next.
set -eu
. "$(dirname "$0")/env.sh"
umask 022

# with_dependencies PACKAGE...: downloads the packages, and what they need that this host lacks, into $archives.
with_dependencies() {
	# --reinstall: what the host has installed is fetched as well.  Sandbox::User: _apt need not be able to write here.
	# NoLocking: we change nothing that apt guards, and an ordinary user may not lock.
	apt-get -q -y --download-only --reinstall --no-install-recommends \
		-o Dir::Cache::archives="$archives" -o APT::Sandbox::User=root -o Debug::NoLocking=true \
		install "$@"
}

# alone PACKAGE...: downloads these packages and no others into $archives.
alone() {
	(cd "$archives" && apt-get -q -o APT::Sandbox::User=root download "$@")
}

# unpack HOW NAME PACKAGE...
unpack() {
	how=$1
	name=$2
	shift 2
	stamp=$SERVERS/$name.packages
	[ "$(cat "$stamp" 2>/dev/null)" = "$*" ] && return

	root=$SERVERS/$name
	archives=$SERVERS/archives/$name
	rm -rf "$stamp" "$root" "$archives"
	mkdir -p "$root" "$archives/partial"

	"$how" "$@" >"$SERVERS/$name.log" 2>&1 || {
		tail -n 5 "$SERVERS/$name.log" >&2
		die "cannot download $*; perhaps \"apt-get update\" helps (the whole story: $SERVERS/$name.log)"
	}
	for package in "$archives"/*.deb; do
		dpkg --extract "$package" "$root"
	done

	# The loader ignores LD_LIBRARY_PATH for set-id programs. Where a privilege is needed, the recipe gives it.
	find "$root" -type f -perm /6000 -exec chmod ug-s '{}' +

	rm -rf "$archives"
	echo "$*" >"$stamp"
}

mkdir -p "$SERVERS"
require_private_servers
exec 9>"$SERVERS/lock"
flock 9

case ${1:-} in
servers)
	unpack with_dependencies postfix postfix
	# Dovecot: its submission service, and authentication for Postfix.
	unpack with_dependencies submission dovecot-submissiond
	unpack with_dependencies exim exim4-daemon-heavy
	# sasl2-bin writes the passwords; the modules are the mechanisms, and where the passwords lie.
	unpack with_dependencies sendmail sendmail-bin sasl2-bin libsasl2-modules libsasl2-modules-db
	unpack with_dependencies chasquid chasquid
	unpack with_dependencies opensmtpd opensmtpd
	unpack with_dependencies nss-wrapper libnss-wrapper
	;;
clients)
	unpack with_dependencies clients cron at mutt git git-email libmailtools-perl php-cli php-symfony-mailer
	# Its dependencies would bring a mail server along.
	unpack alone mailx bsd-mailx liblockfile1 libbsd0
	;;
postfix)
	unpack with_dependencies postfix postfix
	unpack with_dependencies sasl libsasl2-modules
	;;
exim)
	unpack with_dependencies exim exim4-daemon-heavy
	;;
nullmailer | msmtp | dma | opensmtpd)
	unpack with_dependencies "$1" "$1"
	;;
*)
	die "usage: setup.sh servers|clients|postfix|exim|nullmailer|msmtp|dma|opensmtpd"
	;;
esac
