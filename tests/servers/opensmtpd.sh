#!/bin/sh
# opensmtpd.sh DIR PORT: OpenSMTPD in the foreground, on 127.0.0.1, until SIGTERM (root).
#
# In clear text and without AUTH: Debian 12's build fails every TLS handshake, and AUTH is offered only inside TLS. DIR is
# the server's own directory and is made if need be; CERTS is not used, but asked for as by the others.
#   DIR/mail/new    the mail: one file for each recipient, as deliver says; reject@ and greylist@ are refused
set -eu
. "$(dirname "$0")/env.sh"
[ $# -eq 2 ] || die "usage: CERTS=DIRECTORY opensmtpd.sh DIR PORT"
[ "$(id -u)" -eq 0 ] || die "OpenSMTPD needs root (for a mount namespace of its own)"
require_root_of opensmtpd
require_certs
require_port "$2"
umask 022

own_directory "$1"
fill_in "$2" "$HERE/opensmtpd/smtpd.conf"
cp "$HERE/opensmtpd/start" "$dir/etc/"

export ACCOUNTS="opensmtpd:61008:/var/lib/opensmtpd/empty opensmtpq:61009 vmail:61005:/run/private"
exec "$HERE/overlay.sh" "$dir" opensmtpd -- /run/private/etc/start
