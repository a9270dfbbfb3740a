# Sourced by the scripts beside it, each of which is one mail program as a null client. They run as process 1 of the
# namespace that ../../servers/overlay.sh makes, as root, with
#
# PORT, COUNT    where the smarthost listens, and how many messages are to lie in the queue
# USAGE          the program that sums up what the client takes
# /run/private   the directory that outlives us: message, ca.pem, and the spool, which is on a disk like postbag's

mkdir -p /run/private/spool
mount --bind /run/private/spool /var/spool
echo host.example.test >/etc/mailname

# fill COMMAND...: hands in the messages, one call each. Nothing may deliver them yet.
fill() {
	left=$COUNT
	while [ "$left" -gt 0 ]; do
		"$@" </run/private/message
		left=$((left - 1))
	done
}

# deliver COMMAND...: becomes what delivers them, once we are told to.
deliver() {
	sync
	touch /run/private/filled
	until [ -e /run/private/go ]; do
		sleep 0.02
	done
	exec "$USAGE" /run/private/usage "$@"
}
