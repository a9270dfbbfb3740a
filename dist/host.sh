# host.sh: what install.sh and uninstall.sh share; sourced by them, never run.
#
# make passes the directories: DESTDIR SBINDIR BINDIR LIBDIR LIBEXECDIR SYSCONFDIR
# SPOOLDIR RUNDIR MANDIR DOCDIR COMPLETIONDIR UNITDIR SYSUSERSDIR TMPFILESDIR; BUILD;
# FORCE, PURGE.
#
# The manifest names what is installed on this host, one thing a line, so that the
# next installation and the removal know what is ours:
#     file SHA-256 PATH
#     link PATH                   to SBINDIR/sendmail
#     directory PATH              that was not there before

umask 022
ACCOUNT=postbag
PATH=$PATH:/usr/sbin:/sbin
export PATH

say() { printf '%s\n' "$*"; }
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Without one of these, what is ours could not be told from what is not.
for tool in cmp cut readlink sed sha256sum tr; do
	have $tool || die "nothing is done: the command $tool is missing"
done

# They stand in units, in the manual and in the manifest, where a blank ends a name,
# and "%" and "$" have a meaning of their own; and one place has one name.
for name in SBINDIR BINDIR LIBDIR LIBEXECDIR SYSCONFDIR SPOOLDIR RUNDIR MANDIR DOCDIR \
	COMPLETIONDIR UNITDIR SYSUSERSDIR TMPFILESDIR; do
	eval "value=\$$name"
	value=$(printf '%s' "$value" | tr -s /)
	value=${value%/}
	case $value/ in
	/ | [!/]* | */./* | */../*) value=bad ;;
	*[!A-Za-z0-9/._+,=:~\&-]*) value=bad ;;
	esac
	if [ "$value" = bad ]; then
		eval "value=\$$name"
		die "nothing is done: $name is \"$value\"; it must be an absolute path without . and .." \
			"of letters, digits and _+,.=:~&-"
	fi
	eval "$name=\$value"
done
case $DESTDIR in
'' | /*) ;;
*) DESTDIR=$PWD/$DESTDIR ;;
esac
MANIFEST=$LIBEXECDIR/manifest

# Into the running system, by root; otherwise only files are put somewhere.
HOST=
[ -n "$DESTDIR" ] || [ "$(id -u)" != 0 ] || HOST=yes
on_host() { [ -n "$HOST" ]; }

is_there() { [ -e "$1" ] || [ -L "$1" ]; }

is_listed() { # LINE
	[ -f "$MANIFEST" ] && grep -qxF -e "$1" "$MANIFEST"
}

check_value() { sha256sum <"$1" | cut -d ' ' -f 1; }

# A link is ours if it leads to our program; a file, if we put it there and nobody
# has changed it since.
link_is_ours() { [ -L "$1" ] && [ "$(readlink "$1")" = "$SBINDIR/sendmail" ]; }
file_is_ours() {
	[ -f "$1" ] && [ ! -L "$1" ] && is_listed "file $(check_value "$1") $1"
}

# ---- the account -------------------------------------------------------------

# In the words of "id" and /etc/group, because getent(1) is not everywhere.
group_exists() {
	if have getent; then
		getent group "$ACCOUNT" >/dev/null
	else
		grep -q "^$ACCOUNT:" /etc/group
	fi
}
user_exists() { id -u "$ACCOUNT" >/dev/null 2>&1; }

# Why the account that is there cannot be used; nothing if all is well.
account_problem() {
	user_exists || return 0
	if [ "$(id -u "$ACCOUNT")" = 0 ]; then
		say "the user $ACCOUNT is root by another name"
	elif [ "$(id -gn "$ACCOUNT")" != "$ACCOUNT" ]; then
		say "the user $ACCOUNT exists, and $ACCOUNT is not its primary group"
	fi
}

account_make_by_hand() {
	shell=/bin/false
	for nologin in /usr/sbin/nologin /sbin/nologin; do
		[ ! -x "$nologin" ] || shell=$nologin
	done
	if have useradd && have groupadd; then
		group_exists || groupadd --system "$ACCOUNT" || return 1
		user_exists || useradd --system --gid "$ACCOUNT" --no-create-home \
			--home-dir /nonexistent --shell "$shell" --comment 'postbag mail queue' "$ACCOUNT"
	elif have adduser && have addgroup; then # busybox
		group_exists || addgroup -S "$ACCOUNT" || return 1
		user_exists || adduser -S -D -H -h /nonexistent -s "$shell" -G "$ACCOUNT" \
			-g 'postbag mail queue' "$ACCOUNT"
	else
		return 1
	fi
}

account_make() { # SYSUSERS-FILE
	if have systemd-sysusers && systemd-sysusers "$1"; then
		:
	else
		account_make_by_hand || :
	fi
	if ! user_exists || ! group_exists || [ -n "$(account_problem)" ]; then
		die "nothing is installed: cannot create user and group $ACCOUNT; create them, then try again"
	fi
}

# 0 if neither is there any more.
account_remove() {
	for remover in userdel deluser; do
		! user_exists || ! have $remover || $remover "$ACCOUNT" || :
	done
	# some take the group with the user
	for remover in groupdel delgroup; do
		! group_exists || ! have $remover || $remover "$ACCOUNT" || :
	done
	! user_exists && ! group_exists
}

# ---- the manifest --------------------------------------------------------------

# Removes what an older manifest lists and a newer one does not; with /dev/null as
# the newer one: everything.  What has been changed or replaced since stays.
remove_listed() { # OLDER NEWER
	while read -r kind rest; do
		case $kind in
		file)
			path=${rest#* }
			if ! is_there "$path" || sed 's/^file [0-9a-f]* //' "$2" | grep -qxF -e "$path"; then
				:
			elif file_is_ours "$path"; then
				rm -f "$path"
			else
				say "$path has been changed since it was installed, and stays"
			fi
			;;
		link)
			if ! grep -qxF -e "link $rest" "$2" && link_is_ours "$rest"; then
				rm -f "$rest"
			fi
			;;
		esac
	done <"$1"
}
