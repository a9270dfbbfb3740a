#!/bin/sh
# install.sh: what "make install" does; see README.md.
#
# By root into the running system (no DESTDIR) it makes a host that can send mail:
# account, spool, set-gid program.  Otherwise it only puts files in place, as the
# build of a package needs it.  All is checked first, so that an installation that
# cannot be finished changes nothing.
set -eu
# shellcheck source=dist/host.sh
. "$(dirname "$0")/host.sh"

STAGE=$(mktemp -d "${TMPDIR:-/tmp}/postbag-install.XXXXXX")
new= # a file that is being written
trap 'rm -rf "$STAGE" ${new:+"$new"}' EXIT
trap 'exit 1' HUP INT TERM
PLAN=$STAGE/plan # MODE SOURCE TARGET, separated by tabs
LINKS=$STAGE/links
TAB=$(printf '\t')
: >"$PLAN"
: >"$LINKS"

# ---- the plan ----------------------------------------------------------------

literal() { printf '%s\n' "$1" | sed 's/[&|\\]/\\&/g'; }

# Manual and units state the directories that were chosen, as the programs do.  In
# two steps, so that no directory that was put in is taken for one to replace.
paths_script() {
	cat <<-END
		s|/usr/local/libexec/postbag|@1@|g
		s|/usr/local/share/doc/postbag|@2@|g
		s|/usr/local/lib/systemd/system|@3@|g
		s|/usr/local/sbin|@4@|g
		s|/var/spool/postbag|@5@|g
		s|/run/postbag|@6@|g
		s|/etc/postbag|@7@|g
		s|@1@|$(literal "$LIBEXECDIR")|g
		s|@2@|$(literal "$DOCDIR")|g
		s|@3@|$(literal "$UNITDIR")|g
		s|@4@|$(literal "$SBINDIR")|g
		s|@5@|$(literal "$SPOOLDIR")|g
		s|@6@|$(literal "$RUNDIR")|g
		s|@7@|$(literal "$SYSCONFDIR")/postbag|g
	END
	# systemd makes directories in /run; another place must be there already
	case $RUNDIR in
	/run/?* | /var/run/?*) say "s|^RuntimeDirectory=.*|RuntimeDirectory=$(literal "${RUNDIR#*/run/}")|" ;;
	*) say "s|^RuntimeDirectory=.*|ReadWritePaths=$(literal "$RUNDIR")|" ;;
	esac
}

plan() { # MODE SOURCE TARGET
	printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$PLAN"
}

# A copy of the file with its paths replaced.
plan_text() { # SOURCE DIRECTORY
	mkdir -p "$STAGE/text/${1%/*}"
	sed -f "$STAGE/paths" "$1" >"$STAGE/text/$1"
	plan 0644 "$STAGE/text/$1" "$2/${1##*/}"
}

same_place() { # PATH PATH: also where /usr/sbin is a link to /usr/bin
	[ "${1##*/}" = "${2##*/}" ] || return 1
	[ "$1" != "$2" ] || return 0
	a=$(cd "$DESTDIR${1%/*}" 2>/dev/null && pwd -P) || return 1
	b=$(cd "$DESTDIR${2%/*}" 2>/dev/null && pwd -P) || return 1
	[ "$a" = "$b" ]
}

plan_link() { # PATH
	! same_place "$1" "$SBINDIR/sendmail" || return 0
	while read -r other; do
		! same_place "$1" "$other" || return 0
	done <"$LINKS"
	say "$1" >>"$LINKS"
}

# Units are of use where systemd is; a package has them always.
wants_units() {
	[ -n "$DESTDIR" ] || [ -d /usr/lib/systemd/system ] || [ -d /lib/systemd/system ]
}

plan_all() {
	paths_script >"$STAGE/paths"
	for program in sendmail relayd spoolctl; do
		plan 0755 "$BUILD/$program" "$SBINDIR/$program"
	done
	plan 0755 "$BUILD/relayd-session" "$LIBEXECDIR/relayd-session"
	for page in man/*.[158]; do
		plan_text "$page" "$MANDIR/man${page##*.}"
	done
	for example in dist/examples/*.conf; do
		plan 0644 "$example" "$DOCDIR/examples/${example##*/}"
	done
	plan 0644 dist/completions/spoolctl.bash "$COMPLETIONDIR/spoolctl"
	plan_text dist/sysusers.d/postbag.conf "$SYSUSERSDIR"
	plan_text dist/tmpfiles.d/postbag.conf "$TMPFILESDIR"
	if wants_units; then
		for unit in dist/systemd/*; do
			plan_text "$unit" "$UNITDIR"
		done
	fi
	plan_link "$BINDIR/mailq"
	plan_link "$BINDIR/newaliases"
	# programs call sendmail and mailq by these names, whatever PREFIX is
	if [ -n "$DESTDIR" ] || on_host; then
		plan_link /usr/sbin/sendmail
		plan_link "$LIBDIR/sendmail"
		plan_link /usr/bin/mailq
		plan_link /usr/bin/newaliases
	fi
}

# ---- the check ------------------------------------------------------------------

package_of() { # FILE
	if have dpkg-query; then
		owner=$(dpkg-query -S "$1" 2>/dev/null | sed -n '1s/: .*//p')
	elif have rpm; then
		owner=$(rpm -qf "$1" 2>/dev/null) || owner=
	else
		owner=
	fi
	[ -z "$owner" ] || printf ' (of %s)' "$owner"
}

in_the_way() { # FILE
	if [ -L "$1" ]; then
		say "$1 -> $(readlink "$1")$(package_of "$1")"
	else
		say "$1$(package_of "$1")"
	fi
}

# Files of others where ours would go.  The same bytes are nobody's loss, and a link
# of the administrator's that leads to our program serves as well.
conflicts() {
	while IFS=$TAB read -r mode source target; do
		if is_there "$target" && ! file_is_ours "$target" &&
			{ [ -L "$target" ] || ! cmp -s "$source" "$target"; }; then
			in_the_way "$target"
		fi
	done <"$PLAN"
	while read -r link; do
		if is_there "$link" && ! link_leads_to_us "$link"; then
			in_the_way "$link"
		fi
	done <"$LINKS"
}
link_leads_to_us() {
	if link_is_ours "$1"; then
		return 0
	fi
	ours=$(readlink -f "$SBINDIR/sendmail") && [ -L "$1" ] && [ "$(readlink -f "$1")" = "$ours" ]
}

check_sources() {
	while IFS=$TAB read -r mode source target; do
		[ -r "$source" ] || die "nothing is installed: $source is not there; run make first"
	done <"$PLAN"
}

all_targets() {
	cut -f 3 "$PLAN"
	cat "$LINKS"
	say "$MANIFEST"
	say "$SYSCONFDIR/postbag/."
	say "$SPOOLDIR/."
}

check_directories() {
	all_targets | while read -r target; do
		[ ! -d "$DESTDIR$target" ] || [ -z "${target##*/.}" ] || die "$DESTDIR$target is a directory"
		directory=$DESTDIR${target%/*}
		until is_there "$directory"; do
			directory=${directory%/*}
			directory=${directory:-/}
		done
		if [ ! -d "$directory" ] || [ ! -w "$directory" ]; then
			die "nothing is installed: cannot write to $directory; install as root, or" \
				"choose other directories (make help)"
		fi
	done
}

# Its mode and owner are changed, and relayd may write to all of it.
check_spool() {
	[ -d "$SPOOLDIR" ] || return 0
	others=$(find "$SPOOLDIR/." ! -name . -prune ! -name '.*' ! -name queue ! -name state \
		! -name lost+found -print | sed -n 1p)
	[ -z "$others" ] || die "nothing is installed: SPOOLDIR is $SPOOLDIR, where others keep" \
		"something (such as ${others##*/}); choose a directory for postbag alone"
}

check_conflicts() {
	conflicts >"$STAGE/conflicts"
	[ -s "$STAGE/conflicts" ] || return 0
	if [ "$FORCE" = 1 ]; then
		sed 's/^/replacing /' "$STAGE/conflicts"
		return 0
	fi
	{
		say "install.sh: nothing is installed, because these files are not postbag's, or have"
		say "been changed since it was installed:"
		sed 's/^/  /' "$STAGE/conflicts"
		say "Remove the mail system that they belong to, or move them away (with dpkg:"
		say "\"dpkg-divert --local --rename --add FILE\"), then run \"make install\" again; or"
		say "replace them for good: \"make install FORCE=1\"."
	} >&2
	exit 1
}

check() {
	check_sources
	check_directories
	[ -z "$DESTDIR" ] || return 0 # whoever fills it knows what is in it
	check_conflicts
	if on_host; then
		check_spool
		problem=$(account_problem)
		[ -z "$problem" ] || die "nothing is installed: $problem; make it an account for postbag alone"
	fi
}

# ---- the deed ---------------------------------------------------------------------

manifest_write() {
	while IFS=$TAB read -r mode source target; do
		say "file $(check_value "$source") $target"
	done <"$PLAN" >"$STAGE/manifest"
	sed 's/^/link /' "$LINKS" >>"$STAGE/manifest"
	{
		[ ! -f "$MANIFEST" ] || sed -n '/^directory /p' "$MANIFEST"
		all_targets | while read -r target; do
			directory=${target%/*}
			until is_there "$directory/"; do
				say "directory $directory"
				directory=${directory%/*}
			done
		done
	} | sort -u >>"$STAGE/manifest"
	cp "$STAGE/manifest" "$STAGE/both"
	: >"$STAGE/old"
	if [ -f "$MANIFEST" ]; then
		cat "$MANIFEST" >"$STAGE/old"
		cat "$MANIFEST" >>"$STAGE/both"
	fi
	# both until all is done: if we are stopped half-way, all of it is still ours
	put 0644 "$STAGE/both" "$MANIFEST"
}

# By rename: a program that is running stays whole, and nothing is written through a
# link.
put() { # MODE SOURCE TARGET [GROUP]
	mkdir -p "$DESTDIR${3%/*}"
	new=$DESTDIR$3.postbag-new
	rm -f "$new"
	cp "$2" "$new"
	if on_host; then
		chown 0:"${4:-0}" "$new"
	fi
	chmod "$1" "$new"
	mv -f "$new" "$DESTDIR$3"
}

put_link() { # PATH
	# one that the administrator made in a way of his own serves as well
	if [ -z "$DESTDIR" ] && link_leads_to_us "$1"; then
		return 0
	fi
	mkdir -p "$DESTDIR${1%/*}"
	rm -f "$DESTDIR$1"
	ln -s "$SBINDIR/sendmail" "$DESTDIR$1"
}

put_all() {
	while IFS=$TAB read -r mode source target; do
		# mv would follow a link to a directory
		[ ! -L "$DESTDIR$target" ] || rm -f "$DESTDIR$target"
		if on_host && [ "$target" = "$SBINDIR/sendmail" ]; then
			put 2755 "$source" "$target" "$ACCOUNT"
		else
			put "$mode" "$source" "$target"
		fi
	done <"$PLAN"
	while read -r link; do
		put_link "$link"
	done <"$LINKS"
}

directory_settle() { # MODE OWNER DIRECTORY
	[ ! -L "$3" ] || die "$3 is a symbolic link"
	[ -d "$3" ] || mkdir -m 0700 "$3"
	chown "$2" "$3"
	chmod "$1" "$3"
}

spool_make() {
	if have systemd-tmpfiles && systemd-tmpfiles --create "$TMPFILESDIR/postbag.conf"; then
		return 0
	fi
	# first the one that only root can then change
	mkdir -p "${SPOOLDIR%/*}"
	directory_settle 0711 0:0 "$SPOOLDIR"
	directory_settle 1730 "$ACCOUNT:$ACCOUNT" "$SPOOLDIR/queue"
	directory_settle 0700 "$ACCOUNT:$ACCOUNT" "$SPOOLDIR/state"
}

advise() {
	start="run $SBINDIR/relayd as root: it stays in the foreground, for any service manager"
	restart="restart relayd: until then the old one runs on"
	if [ -d /run/systemd/system ]; then
		start="systemctl daemon-reload && systemctl enable --now relayd"
		restart="systemctl daemon-reload && systemctl restart relayd"
	fi
	if [ -e "$SYSCONFDIR/postbag/postbag.conf" ]; then
		say "Installed.  Next: $restart"
		return 0
	fi
	say "Installed.  Next: 1. write $SYSCONFDIR/postbag/postbag.conf (examples: $DOCDIR/examples)"
	say "2. install -m 0400 -o $ACCOUNT /dev/null $SYSCONFDIR/postbag/password, write the password into it"
	say "3. $SBINDIR/relayd -n   checks the configuration"
	say "4. $start"
}

BUILD=${BUILD%/}
plan_all
check
if on_host; then
	account_make "$STAGE/text/dist/sysusers.d/postbag.conf"
fi
[ -n "$DESTDIR" ] || manifest_write
mkdir -p "$DESTDIR$SYSCONFDIR/postbag"
put_all
if on_host; then
	spool_make
else
	mkdir -p "$DESTDIR$SPOOLDIR"
	chmod 0711 "$DESTDIR$SPOOLDIR"
fi
if [ -z "$DESTDIR" ]; then
	remove_listed "$STAGE/old" "$STAGE/manifest"
	put 0644 "$STAGE/manifest" "$MANIFEST"
fi
if on_host; then
	advise
fi
