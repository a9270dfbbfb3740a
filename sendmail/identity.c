/*
 * A user name that could not stand in an address is replaced by the uid, so that
 * every submitter has a sender address.
 */
#include "sendmail/identity.h"

#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define PHRASE_MAX 128

static bool
is_usable(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > 64)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && strchr("._-+$", name[i]) == NULL)
			return false;
	return true;
}

/* The first field of GECOS; "&" stands for the user's name, capitalised. */
static void
full_name_set(struct identity *id, const char *gecos)
{
	/* in place: without memory half a name would come out */
	struct buf b = { .data = id->full_name,
		.size = sizeof(id->full_name),
		.max = sizeof(id->full_name) - 1 };

	for (; *gecos != '\0' && *gecos != ','; gecos++) {
		if (*gecos == '&') {
			buf_add_char(&b, (char)toupper((unsigned char)id->user[0]));
			buf_add_string(&b, id->user + 1);
		} else {
			buf_add_char(&b, *gecos);
		}
	}
}

/* The account's line in /etc/passwd, where it nearly always is: the resolver's
 * switch costs more than all else that starts this program. */
static const struct passwd *
passwd_find(uid_t uid)
{
	FILE *f = fopen("/etc/passwd", "re");
	const struct passwd *pw = NULL;

	if (f == NULL)
		return NULL;
	while ((pw = fgetpwent(f)) != NULL && pw->pw_uid != uid)
		;
	fclose(f);
	return pw;
}

int
identity_init(struct identity *id, const struct settings *s)
{
	const struct passwd *pw;

	*id = (struct identity){ .uid = getuid() };
	pw = passwd_find(id->uid);
	errno = 0;
	if (pw == NULL)
		pw = getpwuid(id->uid);
	/* other values may stand for "no such account" */
	if (pw == NULL && (errno == EIO || errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return -1;
	if (pw != NULL && is_usable(pw->pw_name)) {
		snprintf(id->user, sizeof(id->user), "%s", pw->pw_name);
		full_name_set(id, pw->pw_gecos == NULL ? "" : pw->pw_gecos);
	} else {
		snprintf(id->user, sizeof(id->user), "uid-%lu", (unsigned long)id->uid);
	}
	host_name(s, id->hostname);
	host_domain(s, id->domain);
	return 0;
}

static bool
is_atoms(const char *s)
{
	for (; *s != '\0'; s++)
		if (!isalnum((unsigned char)*s) && strchr("!#$%&'*+-/=?^_`{|}~ ", *s) == NULL)
			return false;
	return true;
}

static void
quoted_add(struct buf *b, const char *s)
{
	buf_add_char(b, '"');
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			buf_add_char(b, '\\');
		buf_add_char(b, *s);
	}
	buf_add_char(b, '"');
}

/* RFC 2047 section 2: each word at most 75 characters: up to 15 octets, 3
 * characters each, fit beside the frame. */
static void
encoded_add(struct buf *b, const char *s)
{
	size_t left = strlen(s);
	bool utf8 = text_is_utf8(s, left);

	while (left > 0) {
		size_t taken = 0;

		buf_add_string(b, utf8 ? "=?utf-8?Q?" : "=?unknown-8bit?Q?");
		while (left > 0 && taken < 12) {
			size_t n = utf8 ? text_utf8_length(s, left) : 1;

			for (size_t i = 0; i < n; i++) {
				unsigned char c = (unsigned char)s[i];

				if (isalnum(c))
					buf_add_char(b, (char)c);
				else
					buf_addf(b, "=%02X", c);
			}
			s += n;
			left -= n;
			taken += n;
		}
		buf_add_string(b, left > 0 ? "?= " : "?=");
	}
}

void
identity_add_phrase(struct buf *b, const char *name)
{
	char clean[PHRASE_MAX + 1];
	size_t n = 0, whole = strlen(name);
	bool utf8 = text_is_utf8(name, whole);

	while (*name != '\0') {
		size_t step = utf8 ? text_utf8_length(name, whole) : 1;

		if (n + step > PHRASE_MAX)
			break;
		memcpy(clean + n, name, step);
		if ((unsigned char)clean[n] < ' ' || clean[n] == 0x7f)
			clean[n] = ' ';
		n += step;
		name += step;
		whole -= step;
	}
	clean[n] = '\0';
	if (!text_is_ascii(clean, n))
		encoded_add(b, clean);
	else if (is_atoms(clean))
		buf_add_string(b, clean);
	else
		quoted_add(b, clean);
}
