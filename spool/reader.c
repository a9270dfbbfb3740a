/*
 * Reading a message.  Any local user can put a file into queue/, so everything
 * is checked: what kind of file it is, its length
 * against its size, each envelope line, and at the end the check value.
 */
#include "spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "spool/format.h"

#define CHUNK 16384

static enum message_status
corrupt(struct message *m, const char *why)
{
	m->error = why;
	return MESSAGE_CORRUPT;
}

/* Reads on until the empty line that ends the envelope. */
static enum message_status
envelope_load(struct message *m, struct buf *text)
{
	const char *end = NULL;
	size_t searched = 0;

	while (end == NULL) {
		char *to = buf_reserve(text, CHUNK);
		ssize_t n = to == NULL ? 0 : file_read(m->fd, to, CHUNK);

		if (n < 0)
			return MESSAGE_ERROR;
		if (n == 0)
			return corrupt(m, "its envelope does not end");
		buf_added(text, (size_t)n);
		end = memmem(text->data + searched, text->len - searched, "\n\n", 2);
		searched = text->len - 1;
	}
	m->content = (off_t)FORMAT_HEAD_LEN + (end - text->data) + 2;
	buf_truncate(text, (size_t)(end - text->data) + 1);
	return MESSAGE_OK;
}

static enum message_status
parse(struct message *m, const struct stat *st)
{
	char head[FORMAT_HEAD_LEN];
	struct buf text = BUF_INIT(ENVELOPE_OCTETS_MAX + CHUNK);
	struct format_head h;
	enum message_status status;
	ssize_t n = file_read_full(m->fd, head, sizeof(head));
	int r;

	if (n < 0)
		return MESSAGE_ERROR;
	if (n < (ssize_t)sizeof(head))
		return corrupt(m, "it is too short to be a message");
	r = format_head_read(&h, head);
	if (r != 0)
		return r > 0 ? MESSAGE_NEWER : corrupt(m, "its first lines are not a message's");
	m->crc = h.crc;
	m->length = h.length;
	m->longest = h.longest;
	m->flags = h.flags;
	status = envelope_load(m, &text);
	if (status == MESSAGE_OK &&
	    envelope_parse(&m->envelope, text.data, text.len, &m->error) < 0)
		status = errno == ENOMEM ? MESSAGE_ERROR : MESSAGE_CORRUPT;
	if (status == MESSAGE_OK &&
	    (h.length > INT64_MAX / 2 || m->content + (off_t)h.length != st->st_size))
		status = corrupt(m, "its size is not the one that it states");
	buf_free(&text);
	return status;
}

enum message_status
message_open_fd(struct message *m, int fd)
{
	struct stat st;

	*m = (struct message){ .fd = fd };
	envelope_init(&m->envelope);
	if (fstat(fd, &st) < 0)
		return MESSAGE_ERROR;
	if (!S_ISREG(st.st_mode))
		return corrupt(m, "it is not a regular file");
	if (lseek(fd, 0, SEEK_SET) < 0)
		return MESSAGE_ERROR;
	if (st.st_nlink > 1)
		return corrupt(m, "it has another name (a hard link)");
	if (st.st_size == 0)
		return MESSAGE_EMPTY;
	return parse(m, &st);
}

enum message_status
message_open(struct message *m, int queue_fd, const char *name)
{
	int fd;

	*m = (struct message){ .fd = -1 };
	envelope_init(&m->envelope);
	fd = openat(queue_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0)
		return message_open_fd(m, fd);
	if (errno == ENOENT)
		return MESSAGE_GONE;
	if (errno == ELOOP || errno == ENXIO)
		return corrupt(m, "it is not a regular file");
	if (errno == EACCES)
		return corrupt(m, "its owner and mode do not let relayd read it");
	return MESSAGE_ERROR;
}

void
message_close(struct message *m)
{
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
	envelope_free(&m->envelope);
}

int
message_check_begin(const struct message *m, uint32_t *crc)
{
	char chunk[CHUNK];
	off_t at = (off_t)FORMAT_HEAD_LEN;

	*crc = 0;
	while (at < m->content) {
		size_t want = m->content - at < CHUNK ? (size_t)(m->content - at) : CHUNK;
		ssize_t n = pread(m->fd, chunk, want, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? EIO : errno;
			return -1;
		}
		*crc = crc32c(*crc, chunk, (size_t)n);
		at += n;
	}
	return 0;
}

bool
message_check_end(const struct message *m, uint32_t crc)
{
	char head[FORMAT_HEAD_LEN + 1];
	struct format_head h = {
		.crc = crc, .length = m->length, .longest = m->longest, .flags = m->flags
	};
	struct format_head written;

	format_head_write(&h, head);
	return format_head_read(&written, head) == 0 && written.crc == m->crc;
}
