/*
 * Fills a spool quickly: fill DIRECTORY COUNT [deferred] puts COUNT messages there.
 * One is submitted; the others are copies of its file under names of their own, not
 * synced.  With "deferred" the journal says of each that it was tried and deferred an
 * hour ago, so that it is due again.
 */
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/number.h"
#include "spool/journal.h"
#include "spool/spool.h"

#define COMMIT_EVERY 10000

static void
journal_ignore(void *context, const struct journal_record *r, off_t at)
{
	(void)context;
	(void)r;
	(void)at;
}

static int
message_submit(struct spool *s, struct queue_name *name)
{
	static const char content[] = "Subject: backlog\r\nTo: a@example.test\r\n\r\n"
				      "one of many\r\n";
	struct message_writer w = { .fd = -1 };
	struct envelope e;
	int r = -1;

	envelope_init(&e);
	e.uid = getuid();
	e.time = clock_real();
	if (envelope_set_sender(&e, "alice@example.test") == 0 &&
	    envelope_add_recipient(&e, "a@example.test", 0, NULL) == 0 &&
	    message_begin(&w, s, &e) == 0 && message_write(&w, content, sizeof(content) - 1) == 0)
		r = message_commit(&w);
	*name = w.name;
	envelope_free(&e);
	return r;
}

static int
file_load(int queue, const char *name, struct buf *b)
{
	int fd = openat(queue, name, O_RDONLY | O_CLOEXEC), r;

	*b = BUF_INIT(10000);
	r = fd < 0 ? -1 : file_read_all(fd, b);
	close(fd);
	return r;
}

static int
file_copy(int queue, const struct buf *b, struct queue_name *name)
{
	int fd = -1, r = -1;

	if (name_make(name) == 0)
		fd = openat(queue, name->text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0440);
	if (fd >= 0)
		r = file_write(fd, b->data, b->len);
	close(fd);
	return r;
}

static void
deferral_record(struct journal *j, const char *name)
{
	struct journal_record r = { .time = clock_real() - (int64_t)USEC_PER_HOUR,
		.name = name,
		.recipient = JOURNAL_ALL,
		.event = EVENT_DOUBT,
		.text = "" };

	journal_append(j, &r);
	r.event = EVENT_DEFERRED;
	r.attempts = 1;
	r.pause = 60000;
	r.code = 451;
	r.text = "451 4.7.1 try again later";
	journal_append(j, &r);
}

static int
fill(struct spool *s, int queue, struct journal *j, uint64_t count)
{
	struct queue_name name;
	struct buf b;
	int r = 0;

	if (message_submit(s, &name) < 0 || file_load(queue, name.text, &b) < 0)
		return -1;
	for (uint64_t i = 1; r == 0 && i <= count; i++) {
		if (i > 1)
			r = file_copy(queue, &b, &name);
		if (j->fd < 0)
			continue;
		deferral_record(j, name.text);
		if (i % COMMIT_EVERY == 0 || i == count)
			r |= journal_commit(j, false);
	}
	buf_free(&b);
	return r;
}

int
main(int argc, char **argv)
{
	const struct passwd *pw = getpwuid(geteuid());
	struct journal j = { .fd = -1 };
	struct spool s;
	uint64_t count;
	size_t damaged;
	int queue = -1, state = -1, r = -1;

	if (argc < 3 || pw == NULL || number_parse(argv[2], 1, UINT32_MAX, &count) < 0)
		return 2;
	umask(0);
	if (spool_open(&s, argv[1], pw->pw_name, 1) == 0 && (queue = spool_open_queue(&s)) >= 0 &&
	    (argc == 3 || ((state = spool_open_state(&s)) >= 0 &&
			      journal_open(&j, state, journal_ignore, NULL, &damaged) == 0)))
		r = fill(&s, queue, &j, count);
	if (r < 0)
		perror(*s.problem != '\0' ? s.problem : "fill");
	journal_close(&j);
	spool_close(&s);
	return r < 0;
}
