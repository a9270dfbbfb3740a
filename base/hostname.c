/*
 * The files are read here, not through the resolver, so that a program that is
 * started a thousand times a minute opens one small file and never waits for a
 * name server.
 */
#include "base/hostname.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"

#define FILE_OCTETS_MAX (1 << 20)

/* Takes a name of len octets if it can stand in a header and an address. */
static bool
name_copy(char *dst, const char *src, size_t len)
{
	while (len > 0 && src[len - 1] == '.')
		len--;
	if (len == 0 || len >= HOSTNAME_SIZE || src[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)src[i];

		if (c < 0x80 && !isalnum(c) && c != '-' && c != '_' && c != '.')
			return false;
	}
	for (size_t i = 0; i < len; i++)
		dst[i] = (unsigned char)src[i] < 0x80 ? (char)tolower(src[i]) : src[i];
	dst[len] = '\0';
	return true;
}

static bool
file_load(const char *path, struct buf *b)
{
	int fd = file_open_regular(AT_FDCWD, path, 0);
	int r;

	if (fd < 0)
		return false;
	*b = BUF_INIT(FILE_OCTETS_MAX);
	r = file_read_all(fd, b);
	close(fd);
	if (r < 0)
		buf_free(b);
	return r == 0 && b->len > 0;
}

/* Does the line of /etc/hosts name host?  Then copies its first dotted name. */
static bool
hosts_line_match(char *line, const char *host, char *dst)
{
	const char *dotted = NULL;
	char *save = NULL, *word;
	bool named = false;

	line[strcspn(line, "#")] = '\0';
	word = strtok_r(line, " \t\r", &save); /* the address */
	while (word != NULL && (word = strtok_r(NULL, " \t\r", &save)) != NULL) {
		if (strcasecmp(word, host) == 0)
			named = true;
		if (dotted == NULL && strchr(word, '.') != NULL)
			dotted = word;
	}
	return named && dotted != NULL && name_copy(dst, dotted, strlen(dotted));
}

static bool
hosts_lookup(const char *host, char *dst)
{
	struct buf b = BUF_INIT(0);
	char *save = NULL, *line;
	bool found = false;

	if (!file_load("/etc/hosts", &b))
		return false;
	for (line = strtok_r(b.data, "\n", &save); line != NULL && !found;
	     line = strtok_r(NULL, "\n", &save))
		found = hosts_line_match(line, host, dst);
	buf_free(&b);
	return found;
}

char *
host_name(const struct settings *s, char dst[static HOSTNAME_SIZE])
{
	char raw[HOSTNAME_SIZE] = "";

	if (s->hostname != NULL && name_copy(dst, s->hostname, strlen(s->hostname)))
		return dst;
	if (gethostname(raw, sizeof(raw) - 1) < 0 || !name_copy(dst, raw, strlen(raw)))
		name_copy(dst, "localhost", 9);
	else if (strchr(dst, '.') == NULL)
		hosts_lookup(raw, dst);
	return dst;
}

char *
host_domain(const struct settings *s, char dst[static HOSTNAME_SIZE])
{
	struct buf b = BUF_INIT(0);
	bool found;

	if (s->domain != NULL && name_copy(dst, s->domain, strlen(s->domain)))
		return dst;
	found =
	    file_load("/etc/mailname", &b) && name_copy(dst, b.data, strcspn(b.data, " \t\r\n"));
	buf_free(&b);
	return found ? dst : host_name(s, dst);
}
