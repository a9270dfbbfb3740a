/*
 * Writing a message: O_TMPFILE, write, fchmod, linkat, fsync.  The order is the
 * point: a file that is linked before its fsync() is made durable together with
 * its name, with one flush, and a submitter that is killed leaves nothing.  Where
 * a file system cannot do that, the message is written under a dot name, locked
 * against the sweeper, and renamed.
 *
 * From message_commit()'s return on, the queue owns the message.
 */
#include "spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "spool/format.h"

#define OUT_OCTETS ((64 << 10) - 1) /* and the NUL that a buffer keeps */
#define RESERVE_DEFAULT (64 << 20)

/* Errors that another way of writing does not cure. */
static bool
is_final(int error)
{
	return error == ENOSPC || error == EDQUOT || error == EIO;
}

static int
space_check(struct spool *s)
{
	struct statvfs fs;
	uint64_t free_octets, reserve = s->reserve;

	if (fstatvfs(s->queue, &fs) < 0)
		return spool_fail(s, "examine the file system of", "queue");
	free_octets = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (reserve == 0) {
		reserve = (uint64_t)fs.f_blocks * fs.f_frsize / 20;
		if (reserve > RESERVE_DEFAULT)
			reserve = RESERVE_DEFAULT;
	}
	/* some file systems (btrfs) count no inodes */
	if (free_octets >= reserve && (fs.f_files == 0 || fs.f_favail > 0))
		return 0;
	snprintf(s->problem, sizeof(s->problem),
	    "no space for a message in %s/queue: %llu octets and %llu inodes are free, and the "
	    "setting spool_reserve keeps %llu octets: make room, or lower it",
	    s->directory, (unsigned long long)free_octets, (unsigned long long)fs.f_favail,
	    (unsigned long long)reserve);
	errno = ENOSPC;
	return -1;
}

/* A file under a dot name, for file systems without O_TMPFILE. */
static int
temporary_create(struct message_writer *w)
{
	struct queue_name name;

	if (name_make(&name) < 0)
		return -1;
	snprintf(w->temporary, sizeof(w->temporary), ".%s", name.text);
	w->fd = openat(w->spool->queue, w->temporary,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (w->fd < 0) {
		w->temporary[0] = '\0';
		return -1;
	}
	flock(w->fd, LOCK_EX | LOCK_NB);
	/* relayd must be able to open it, to see whether it is still locked */
	return fchmod(w->fd, 0640);
}

/* The daemon, who owns queue/, reads another's file through its group.  Root and
 * the members of that group can give it; whoever can do neither must not leave a
 * file that is never read. */
static int
group_set(struct message_writer *w)
{
	struct stat queue, file;

	if (fstat(w->spool->queue, &queue) < 0 || fstat(w->fd, &file) < 0)
		return -1;
	if (file.st_gid == queue.st_gid || file.st_uid == queue.st_uid)
		return 0;
	return fchown(w->fd, (uid_t)-1, queue.st_gid);
}

int
message_begin(struct message_writer *w, struct spool *s, const struct envelope *e)
{
	struct buf lines = BUF_INIT(ENVELOPE_OCTETS_MAX);
	char head[FORMAT_HEAD_LEN];
	int r = -1;

	*w = (struct message_writer){ .spool = s, .fd = -1, .out = BUF_INIT(OUT_OCTETS) };
	if (space_check(s) < 0)
		return -1;
	if (name_make(&w->name) < 0)
		return spool_fail(s, "make a name for a file in", "queue");
	w->fd = openat(s->queue, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (w->fd < 0 && (is_final(errno) || temporary_create(w) < 0))
		return spool_fail(s, "create a file in", "queue");
	if (group_set(w) < 0)
		return spool_fail(s, "set the group of a file in", "queue");
	if (envelope_format(e, &lines) < 0 || buf_add_char(&lines, '\n') < 0) {
		spool_fail(s, "hold the envelope of a message for", "queue");
		goto out;
	}
	for (size_t i = 0; i < e->recipient_count; i++)
		for (const char *c = e->recipients[i].address; *c != '\0'; c++)
			w->flags |= (unsigned char)*c >= 0x80 ? MESSAGE_SMTPUTF8 : 0;
	for (const char *c = e->sender; *c != '\0'; c++)
		w->flags |= (unsigned char)*c >= 0x80 ? MESSAGE_SMTPUTF8 : 0;
	memset(head, ' ', sizeof(head));
	w->crc = crc32c(0, lines.data, lines.len);
	if (file_write(w->fd, head, sizeof(head)) < 0 ||
	    file_write(w->fd, lines.data, lines.len) < 0)
		spool_fail(s, "write a file in", "queue");
	else
		r = 0;
out:
	buf_free(&lines);
	return r;
}

static int
out_flush(struct message_writer *w)
{
	if (file_write(w->fd, buf_string(&w->out), w->out.len) < 0)
		return spool_fail(w->spool, "write a file in", "queue");
	buf_reset(&w->out);
	return 0;
}

/* What the wire needs to know of the content: its longest line, 8-bit octets. */
static void
content_measure(struct message_writer *w, const char *s, size_t len)
{
	unsigned char high = 0;

	for (size_t i = 0; i < len; i++)
		high |= (unsigned char)s[i];
	if (high & 0x80)
		w->flags |= MESSAGE_8BIT;
	while (len > 0) {
		const char *end = memchr(s, '\n', len);
		size_t n = end == NULL ? len : (size_t)(end - s) + 1;

		w->line += n;
		if (w->line > w->longest + 2)
			w->longest = w->line - 2;
		if (end != NULL)
			w->line = 0;
		s += n;
		len -= n;
	}
}

int
message_write(struct message_writer *w, const void *content, size_t len)
{
	const char *s = content;

	content_measure(w, s, len);
	w->crc = crc32c(w->crc, s, len);
	w->length += len;
	while (len > 0) {
		size_t room = OUT_OCTETS - w->out.len, n = len < room ? len : room;

		if (buf_append(&w->out, s, n) < 0)
			return spool_fail(w->spool, "buffer a message for", "queue");
		if (w->out.len == OUT_OCTETS && out_flush(w) < 0)
			return -1;
		s += n;
		len -= n;
	}
	return 0;
}

static int
head_write(struct message_writer *w)
{
	char head[FORMAT_HEAD_LEN + 1];

	format_head_write(
	    &(struct format_head){
		.crc = w->crc, .length = w->length, .longest = w->longest, .flags = w->flags },
	    head);
	if (lseek(w->fd, 0, SEEK_SET) < 0 || file_write(w->fd, head, FORMAT_HEAD_LEN) < 0)
		return -1;
	return fchmod(w->fd, 0440);
}

/* The linkless file could not be linked (no /proc, overlayfs): its octets go
 * into one with a dot name. */
static int
temporary_copy(struct message_writer *w)
{
	char chunk[16384];
	int from = w->fd, r = -1;
	ssize_t n;

	if (lseek(from, 0, SEEK_SET) < 0)
		return -1;
	w->fd = -1;
	if (temporary_create(w) == 0 && group_set(w) == 0) {
		while ((n = file_read(from, chunk, sizeof(chunk))) > 0)
			if (file_write(w->fd, chunk, (size_t)n) < 0)
				break;
		r = n == 0 ? fchmod(w->fd, 0440) : -1;
	}
	close(from);
	return r;
}

static int
name_give(struct message_writer *w)
{
	char self[64];

	if (w->temporary[0] == '\0') {
		snprintf(self, sizeof(self), "/proc/self/fd/%d", w->fd);
		if (linkat(AT_FDCWD, self, w->spool->queue, w->name.text, AT_SYMLINK_FOLLOW) == 0)
			return 0;
		if (is_final(errno) || temporary_copy(w) < 0)
			return -1;
	}
	if (renameat2(w->spool->queue, w->temporary, w->spool->queue, w->name.text,
		RENAME_NOREPLACE) == 0 ||
	    (errno == EINVAL &&
		renameat(w->spool->queue, w->temporary, w->spool->queue, w->name.text) == 0)) {
		w->temporary[0] = '\0';
		return 0;
	}
	return -1;
}

/* The file with its name, then the directory where this process may open it. */
static int
durable_make(struct message_writer *w)
{
	int dir, r;

	if (fsync(w->fd) < 0)
		return -1;
	dir = openat(w->spool->queue, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return 0;
	r = fsync(dir);
	close(dir);
	return r;
}

static int
commit(struct message_writer *w)
{
	if (out_flush(w) < 0)
		return -1;
	if (head_write(w) < 0)
		return spool_fail(w->spool, "write a file in", "queue");
	if (name_give(w) < 0)
		return spool_fail(w->spool, "name a file in", "queue");
	if (durable_make(w) < 0) {
		/* never retried: the kernel may have dropped the pages already */
		spool_fail(w->spool, "sync a file in", "queue");
		unlinkat(w->spool->queue, w->name.text, 0);
		return -1;
	}
	return 0;
}

int
message_commit(struct message_writer *w)
{
	int r = commit(w), saved = errno;

	message_abort(w);
	errno = saved;
	return r;
}

void
message_abort(struct message_writer *w)
{
	if (w->temporary[0] != '\0')
		unlinkat(w->spool->queue, w->temporary, 0);
	w->temporary[0] = '\0';
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	buf_free(&w->out);
}
