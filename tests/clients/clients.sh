#!/bin/sh
# clients.sh DIR BUILD: a private root in which postbag from BUILD is installed beside the programs that send mail, with
# relayd in the foreground, until SIGTERM (root).
#
# DIR holds postbag.conf, password and ca.pem, which are installed as well, and is /run/private inside; see
# ../servers/overlay.sh. There are two users with empty home directories below /var/lib: root, and the ordinary user alice. Mail for webmaster has an
# alias. The tree and BUILD must not lie below /run, /mnt, /var/lib or /var/spool.
set -eu
. "$(dirname "$0")/../servers/env.sh"
[ $# -eq 2 ] || die "usage: clients.sh DIR BUILD"
[ "$(id -u)" -eq 0 ] || die "an installed postbag needs root (for a mount namespace of its own)"
require_root_of clients mailx
umask 022

ACCOUNTS="root:0:/var/lib/root alice:61011:/var/lib/alice crontab:61012"
export ACCOUNTS
exec "$HERE/../servers/overlay.sh" "$1" clients mailx -- "$HERE/start" "$2"
