#!/bin/sh
# install.sh accounts: the accounts that postbag needs, as overlay.sh wants them.
# install.sh BUILD: installs postbag from BUILD as on a host, set-gid sendmail and all. Runs in the private root.
#
# "make install" copies the files. What stands below it makes a host of them: the account and the link that others take
# for sendmail, the set-gid bit, the spool. All of it can go once "make install" does that by itself.
set -eu
if [ "$1" = accounts ]; then
	echo postbag:61013
	exit
fi
build=$1

# Nothing is compiled here (-o all), so the programs keep the directories that they were built for.
libexec=$(sed -n "s/.*-DLIBEXECDIR='*\"\([^\"]*\)\".*/\1/p" "$build/flags")
make -s -C "$(dirname "$0")/../.." -o all install FORCE=1 BUILD="$build" \
	SBINDIR=/usr/sbin BINDIR=/usr/bin LIBEXECDIR="$libexec"
[ "$(readlink /usr/lib/sendmail)" = /usr/sbin/sendmail ] || ln -sf /usr/sbin/sendmail /usr/lib/sendmail

chown root:postbag /usr/sbin/sendmail
chmod 2755 /usr/sbin/sendmail
mkdir -p /var/spool/postbag/queue /var/spool/postbag/state
chown postbag:postbag /var/spool/postbag/queue /var/spool/postbag/state
chmod 1730 /var/spool/postbag/queue
chmod 0700 /var/spool/postbag/state
