/*
 * A line is
 *
 *	CHECK TIME NAME RECIPIENT EVENT ATTEMPTS ELAPSED PAUSE CODE TEXT
 *
 * CHECK is the CRC-32C, in hexadecimal, of what follows it up to the line end.
 * All fields are always there, so that one pattern reads every line.
 *
 * A write that stops half-way is cut off again at once; so the file ends in a
 * whole line whenever relayd does not write.
 */
#include "spool/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/number.h"
#include "base/text.h"
#include "spool/name.h"
#include "spool/reserve.h"

#define LINE_MAX_OCTETS 1024
#define PENDING_MAX (64 << 20)
#define CHECK_LEN 9 /* with its blank */
#define READ_CHUNK (256 << 10)
#define RESERVE (1 << 20)

static const char *const event_names[] = {
	[EVENT_DOUBT] = "doubt",
	[EVENT_CLEAR] = "clear",
	[EVENT_DONE] = "done",
	[EVENT_DEFERRED] = "deferred",
	[EVENT_BOUNCED] = "bounced",
	[EVENT_DROPPED] = "dropped",
	[EVENT_HELD] = "held",
	[EVENT_FAILED] = "failed",
	[EVENT_CORRUPT] = "corrupt",
	[EVENT_WARNED] = "warned",
	[EVENT_RETRY] = "retry",
	[EVENT_REMOVED] = "removed",
};
#define EVENTS (sizeof(event_names) / sizeof(event_names[0]))

const char *
journal_event_name(enum journal_event event)
{
	return event_names[event];
}

static void
check_format(uint32_t check, char *to)
{
	for (int i = 0; i < 8; i++)
		to[i] = "0123456789abcdef"[check >> (28 - 4 * i) & 15];
}

static void
record_format(const struct journal_record *r, struct buf *b)
{
	char text[JOURNAL_TEXT_MAX + 1], recipient[16] = "*";
	size_t start = b->len;
	uint32_t check;

	text_copy_printable(text, sizeof(text), r->text, strlen(r->text));
	if (r->recipient != JOURNAL_ALL)
		snprintf(recipient, sizeof(recipient), "%ld", r->recipient);
	buf_addf(b, "00000000 %" PRId64 " %.*s %s %s %u %" PRIu64 " %" PRIu64 " %u %s\n", r->time,
	    NAME_LEN, r->name, recipient, event_names[r->event], r->attempts, r->elapsed, r->pause,
	    r->code, text);
	if (b->failed)
		return;
	check = crc32c(0, b->data + start + CHECK_LEN, b->len - start - CHECK_LEN - 1);
	check_format(check, b->data + start);
}

/* Cuts the next field off *s; NULL if there is none. */
static char *
field(char **s)
{
	char *start = *s, *end = start == NULL ? NULL : strchr(start, ' ');

	*s = end == NULL ? NULL : end + 1;
	if (end != NULL)
		*end = '\0';
	return start;
}

static bool
number_field(char **s, uint64_t max, uint64_t *value)
{
	const char *f = field(s);

	return f != NULL && number_parse(f, 0, max, value) == 0;
}

static bool
event_field(char **s, enum journal_event *event)
{
	const char *f = field(s);

	for (size_t i = 0; f != NULL && i < EVENTS; i++) {
		if (strcmp(f, event_names[i]) == 0) {
			*event = (enum journal_event)i;
			return true;
		}
	}
	return false;
}

/* Cuts line (of len octets, NUL-terminated) into *r. */
static bool
record_parse(char *line, size_t len, struct journal_record *r)
{
	char check[CHECK_LEN] = "........ ", *s = line + CHECK_LEN;
	const char *recipient;
	uint64_t time, number = 0, attempts, code;

	if (len < CHECK_LEN || strlen(line) != len)
		return false;
	check_format(crc32c(0, s, len - CHECK_LEN), check);
	if (memcmp(line, check, CHECK_LEN) != 0)
		return false;
	if (!number_field(&s, INT64_MAX, &time) || (r->name = field(&s)) == NULL ||
	    !name_is_valid(r->name) || (recipient = field(&s)) == NULL ||
	    (strcmp(recipient, "*") != 0 && number_parse(recipient, 0, 1 << 20, &number) < 0) ||
	    !event_field(&s, &r->event) || !number_field(&s, UINT32_MAX, &attempts) ||
	    !number_field(&s, UINT64_MAX / 1000, &r->elapsed) ||
	    !number_field(&s, UINT64_MAX / 1000, &r->pause) || !number_field(&s, 999, &code) ||
	    s == NULL)
		return false;
	r->time = (int64_t)time;
	r->recipient = *recipient == '*' ? JOURNAL_ALL : (long)number;
	r->attempts = (unsigned)attempts;
	r->code = (unsigned)code;
	r->text = s;
	return true;
}

/* Reads all lines of fd; *end is where the last whole line ends. */
static int
lines_read(int fd, journal_reader *reader, void *context, off_t *end, size_t *damaged)
{
	struct buf b = BUF_INIT(READ_CHUNK + LINE_MAX_OCTETS);
	struct journal_record r;
	off_t at = 0; /* of `line` */
	ssize_t n = 1;

	*end = 0;
	while (n > 0) {
		char *to = buf_reserve(&b, READ_CHUNK), *line, *stop;

		n = to == NULL ? -1 : file_read(fd, to, READ_CHUNK);
		if (n <= 0)
			break;
		buf_added(&b, (size_t)n);
		line = b.data;
		while ((stop = memchr(line, '\n', b.len - (size_t)(line - b.data))) != NULL) {
			*stop = '\0';
			if (record_parse(line, (size_t)(stop - line), &r))
				reader(context, &r, at);
			else
				++*damaged;
			at += stop + 1 - line;
			line = stop + 1;
			*end = at;
		}
		if (b.len - (size_t)(line - b.data) >= LINE_MAX_OCTETS) {
			/* no line is that long: skip what is there, up to a line end */
			++*damaged;
			at += (off_t)(b.len - (size_t)(line - b.data));
			line = b.data + b.len;
		}
		buf_consume(&b, (size_t)(line - b.data));
	}
	buf_free(&b);
	return n < 0 ? -1 : 0;
}

int
journal_read(int state, journal_reader *reader, void *context, size_t *damaged)
{
	int fd = openat(state, "journal", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	off_t end;
	int r;

	*damaged = 0;
	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	r = lines_read(fd, reader, context, &end, damaged);
	close(fd);
	return r;
}

int
journal_open(struct journal *j, int state, journal_reader *reader, void *context, size_t *damaged)
{
	struct stat st;
	off_t end;

	*j = (struct journal){ .state = state, .fd = -1, .pending = BUF_INIT(PENDING_MAX) };
	*damaged = 0;
	j->fd = openat(state, "journal", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (j->fd < 0)
		return -1;
	unlinkat(state, "journal.new", 0);
	if (lines_read(j->fd, reader, context, &end, damaged) < 0 || fstat(j->fd, &st) < 0 ||
	    (end < st.st_size && ftruncate(j->fd, end) < 0) || fsync(j->fd) < 0 ||
	    fsync(state) < 0) {
		int saved = errno;

		journal_close(j);
		errno = saved;
		return -1;
	}
	if (end == 0)
		reserve_prepare(j->fd);
	j->size = end;
	journal_reserve(j);
	return 0;
}

/* Half of it is left when it is made anew. */
bool
journal_reserve(struct journal *j)
{
	if (j->no_reserve || j->reserved - j->size >= RESERVE / 2)
		return true;
	if (reserve_make(j->fd, j->size, RESERVE) == 0)
		j->reserved = j->size + RESERVE;
	else
		j->no_reserve = errno == EOPNOTSUPP || errno == ENOSYS;
	return j->no_reserve || j->reserved - j->size >= RESERVE / 2;
}

void
journal_close(struct journal *j)
{
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
	buf_free(&j->pending);
}

int
journal_lock(int state)
{
	int fd = openat(state, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		fd = -1;
	}
	return fd;
}

off_t
journal_append(struct journal *j, const struct journal_record *r)
{
	off_t at = j->size + (off_t)j->pending.len;

	record_format(r, &j->pending);
	return at;
}

static int
journal_break(struct journal *j, int error)
{
	j->broken = true;
	j->error = error;
	errno = error;
	return -1;
}

/* All of it or nothing. */
static int
pending_write(struct journal *j)
{
	const char *s = j->pending.data;
	size_t done = 0;

	while (done < j->pending.len) {
		ssize_t n = pwrite(j->fd, s + done, j->pending.len - done, j->size + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int saved = n < 0 ? errno : EIO;

			/* a tail that stays is cut off at the next start */
			if (done > 0 && ftruncate(j->fd, j->size) < 0)
				saved = errno;
			/* with the tail goes what was reserved behind it */
			j->reserved = done > 0 ? j->size : j->reserved;
			errno = saved;
			return -1;
		}
		done += (size_t)n;
	}
	return 0;
}

int
journal_commit(struct journal *j, bool sync)
{
	if (j->broken) {
		errno = j->error;
		return -1;
	}
	if (j->pending.failed)
		return journal_break(j, ENOMEM);
	if (j->pending.len > 0) {
		if (pending_write(j) < 0)
			return journal_break(j, errno);
		j->size += (off_t)j->pending.len;
		j->unsynced = true;
		buf_reset(&j->pending);
		journal_reserve(j);
	}
	if (sync && fdatasync(j->fd) < 0)
		return journal_break(j, errno);
	if (sync)
		j->unsynced = false;
	return 0;
}

int
journal_replace_begin(const struct journal *j, struct journal *next)
{
	*next = (struct journal){ .state = j->state, .fd = -1, .pending = BUF_INIT(PENDING_MAX) };
	next->fd = openat(
	    j->state, "journal.new", O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (next->fd < 0)
		return -1;
	reserve_prepare(next->fd);
	journal_reserve(next);
	return 0;
}

void
journal_replace_cancel(struct journal *next)
{
	unlinkat(next->state, "journal.new", 0);
	journal_close(next);
}

int
journal_replace_end(struct journal *j, struct journal *next, int queue)
{
	if (journal_commit(next, true) < 0 || fsync(queue) < 0 ||
	    renameat(j->state, "journal.new", j->state, "journal") < 0) {
		int saved = errno;

		journal_replace_cancel(next);
		errno = saved;
		return -1;
	}
	journal_close(j);
	*j = *next;
	return fsync(j->state) < 0 ? journal_break(j, errno) : 0;
}

int
journal_read_at(int fd, off_t at, struct journal_record *r, struct buf *text)
{
	char *to, *end;
	ssize_t n;

	*text = BUF_INIT(LINE_MAX_OCTETS);
	to = buf_reserve(text, LINE_MAX_OCTETS);
	n = to == NULL ? -1 : pread(fd, to, LINE_MAX_OCTETS, at);
	if (n > 0 && (end = memchr(to, '\n', (size_t)n)) != NULL) {
		*end = '\0';
		if (record_parse(to, (size_t)(end - to), r))
			return 0;
	}
	buf_free(text);
	return -1;
}
