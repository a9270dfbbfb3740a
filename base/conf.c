/*
 * Lines are cut in place: name and value point into the text.
 */
#include "base/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

int
conf_load(const char *path, struct buf *text)
{
	int fd = file_open_regular(AT_FDCWD, path, 0);
	int r, saved;

	if (fd < 0)
		return -1;
	*text = BUF_INIT(CONF_FILE_MAX);
	r = file_read_all(fd, text);
	saved = errno;
	if (r == 0 && text->len > 0 && memchr(text->data, '\0', text->len) != NULL) {
		r = -1;
		saved = EILSEQ;
	}
	close(fd);
	if (r < 0)
		buf_free(text);
	errno = saved;
	return r;
}

void
conf_reader_init(struct conf_reader *r, struct buf *text)
{
	*r = (struct conf_reader){ .next = text->data };
	if (text->len >= 3 && memcmp(text->data, "\xef\xbb\xbf", 3) == 0)
		r->next += 3;
}

static char *
skip_blanks(char *s)
{
	return s + strspn(s, " \t");
}

/* Ends an unquoted value before a comment and trailing blanks. */
static void
plain_value_end(char *value)
{
	char *end = value;

	if (*value == '#') {
		*value = '\0';
		return;
	}
	for (char *s = value; *s != '\0'; s++) {
		if (*s == '#' && (s[-1] == ' ' || s[-1] == '\t'))
			break;
		if (*s != ' ' && *s != '\t')
			end = s + 1;
	}
	*end = '\0';
}

/* Unquotes in place; NULL if the quote does not end, or more follows it. */
static char *
quoted_value(char *s)
{
	char *value = s, *to = s;

	for (s++; *s != '"'; s++) {
		if (*s == '\\' && (s[1] == '"' || s[1] == '\\'))
			s++;
		if (*s == '\0')
			return NULL;
		*to++ = *s;
	}
	s = skip_blanks(s + 1);
	if (*s != '\0' && *s != '#')
		return NULL;
	*to = '\0';
	return value;
}

static bool
has_control(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f)
			return true;
	return false;
}

int
conf_reader_next(struct conf_reader *r, struct conf_line *line, const char **error)
{
	while (r->next != NULL && *r->next != '\0') {
		char *s = r->next, *end = strchrnul(s, '\n');
		size_t len = (size_t)(end - s);

		r->next = *end == '\0' ? end : end + 1;
		r->number++;
		line->number = r->number;
		*end = '\0';
		if (len > 0 && s[len - 1] == '\r')
			s[--len] = '\0';
		if (len > CONF_LINE_MAX) {
			*error = "the line is longer than 16K";
			return -1;
		}
		if (has_control(s, len)) {
			*error = "the line contains a control character";
			return -1;
		}
		s = skip_blanks(s);
		if (*s == '\0' || *s == '#')
			continue;
		line->name = s;
		s += strcspn(s, " \t");
		if (*s != '\0')
			*s++ = '\0';
		line->value = skip_blanks(s);
		if (*line->value != '"') {
			plain_value_end(line->value);
		} else if ((line->value = quoted_value(line->value)) == NULL) {
			*error = "the closing quote is missing, or something follows it";
			return -1;
		}
		return 1;
	}
	return 0;
}
