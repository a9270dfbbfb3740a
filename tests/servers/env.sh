# Sourced by the recipes beside it and in ../clients, never run.
#
# HERE     the folder of the recipe
# SERVERS  where the unpacked servers and clients lie. Not in the source tree: a tree is often below a home directory that
#          other users may not enter, and the servers run as other users. /var/tmp belongs to everybody, so we insist that
#          what we find there is ours: otherwise somebody else could have laid his own programs ready for us.

HERE=$(cd "$(dirname "$0")" && pwd)
SERVERS=${SERVERS:-/var/tmp/postbag-test-servers-$(id -u)}

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# require_private_servers: SERVERS is a real directory, ours, and nobody else can write to it.
require_private_servers() {
	[ -d "$SERVERS" ] && [ ! -L "$SERVERS" ] || die "$SERVERS is not a directory; run tests/servers/setup.sh first"
	[ -O "$SERVERS" ] || die "$SERVERS belongs to somebody else; set SERVERS to a directory of your own"
	[ -z "$(find "$SERVERS" -maxdepth 0 -perm /022)" ] || die "$SERVERS can be written by others: chmod go-w $SERVERS"
}

# require_root_of NAME...: setup.sh has unpacked these.
require_root_of() {
	require_private_servers
	for name; do
		[ -f "$SERVERS/$name.packages" ] || die "$SERVERS/$name is missing; run tests/servers/setup.sh first"
	done
}

# require_certs: the test CA's certificates, made by the caller.
require_certs() {
	[ -n "${CERTS:-}" ] || die "CERTS must name the directory with ca.pem, server.pem and server.key"
	for file in ca.pem server.pem server.key; do
		[ -r "$CERTS/$file" ] || die "cannot read $CERTS/$file"
	done
}

# require_port PORT: and the one above it, for implicit TLS.
require_port() {
	case $1 in
	'' | *[!0-9]*) die "not a port: \"$1\"" ;;
	esac
}

# own_directory DIR: makes the server's own directory, with its certificate and deliver in etc/; $dir is its full name.
own_directory() {
	mkdir -p "$1/etc" "$1/mail/new" "$1/mail/tmp"
	dir=$(cd "$1" && pwd)
	cp "$HERE/deliver" "$CERTS/server.pem" "$CERTS/server.key" "$dir/etc/"
	chmod 600 "$dir/etc/server.key"
}

# fill_in PORT FILE...: copies these to etc/ of the server's directory, with its directory and ports in the place of @DIR@,
# @PORT@ and @TLS_PORT@.
fill_in() {
	port=$1
	shift
	for file; do
		sed -e "s|@DIR@|$dir|g" -e "s|@PORT@|$port|g" -e "s|@TLS_PORT@|$((port + 1))|g" "$file" >"$dir/etc/${file##*/}"
	done
}

# token_key: the key of tokens, as Dovecot looks for it: /default/ALGORITHM/KEY-ID, in base64.
token_key() {
	mkdir -p "$dir/keys/default/HS256"
	base64 <"$HERE/dovecot/token_key" | tr -d '\n' >"$dir/keys/default/HS256/default"
}
