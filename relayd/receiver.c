/*
 * One receiver: a message file comes over the socket, its head, its envelope and its
 * content are checked like those of any file in queue/, and it is written anew with
 * what the kernel says of its submitter.  The answer is ok when it is durable.
 *
 * Everything that is read here was written by whoever may connect, that is by
 * anybody.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/log.h"
#include "base/number.h"
#include "relayd/receivers.h"
#include "spool/control.h"
#include "spool/format.h"

#define QUEUE (STDERR_FILENO + 1)
#define CHUNK (64 << 10)
#define SILENCE 30 /* seconds without an octet end it */
#define NAME_AGE_MAX ((int64_t)(36 * USEC_PER_HOUR))

struct receiver {
	const char *name;
	uint64_t length; /* of the file */
	uint64_t uid, max_message_size;

	struct spool spool;
	struct message_writer writer;
	struct message stated; /* what the head says; without a file */
	uint64_t read;         /* octets of the file so far */
	uint32_t crc;
	struct buf in; /* read, and not used yet */
	char last;     /* octet of the content so far */
};

/* The answer to a message that is not taken. */
__attribute__((format(printf, 3, 4))) static int
refuse(const struct receiver *r, int code, const char *fmt, ...)
{
	char why[1000], line[1100];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	log_warn("submission from uid=%lu refused: %s", (unsigned long)r->uid, why);
	snprintf(line, sizeof(line), "error %d %s\n", code, why);
	file_write(STDIN_FILENO, line, strlen(line));
	return -1;
}

static int
malformed(const struct receiver *r, const char *what)
{
	return refuse(r, EX_DATAERR, "the message file is malformed: %s", what);
}

/* Reads on: at least one octet more is in r->in.  -1, answered, if none comes. */
static int
more(struct receiver *r)
{
	uint64_t left = r->length - r->read;
	size_t want = left < CHUNK ? (size_t)left : CHUNK;
	char *to = want == 0 ? NULL : buf_reserve(&r->in, want);
	ssize_t n = to == NULL ? 0 : file_read(STDIN_FILENO, to, want);

	if (want == 0)
		return malformed(r, "it is shorter than it says");
	if (n <= 0)
		return refuse(r, EX_TEMPFAIL, "the message did not come to its end");
	buf_added(&r->in, (size_t)n);
	r->read += (uint64_t)n;
	return 0;
}

static int
head_take(struct receiver *r)
{
	struct format_head h;

	while (r->in.len < FORMAT_HEAD_LEN)
		if (more(r) < 0)
			return -1;
	if (format_head_read(&h, r->in.data) != 0)
		return malformed(r, "its first lines");
	buf_consume(&r->in, FORMAT_HEAD_LEN);
	r->stated = (struct message){
		.fd = -1, .crc = h.crc, .length = h.length, .longest = h.longest, .flags = h.flags
	};
	if (r->max_message_size != 0 && h.length > r->max_message_size)
		return refuse(r, EX_DATAERR,
		    "the message is larger than max_message_size (%llu octets)",
		    (unsigned long long)r->max_message_size);
	return 0;
}

static int
envelope_take(struct receiver *r, struct envelope *e)
{
	const char *end, *error;
	size_t searched = 0, len;

	while ((end = memmem(buf_string(&r->in) + searched, r->in.len - searched, "\n\n", 2)) ==
	       NULL) {
		searched = r->in.len > 0 ? r->in.len - 1 : 0;
		if (r->in.len > ENVELOPE_OCTETS_MAX)
			return malformed(r, "its envelope does not end");
		if (more(r) < 0)
			return -1;
	}
	len = (size_t)(end - r->in.data) + 1;
	if (envelope_parse(e, r->in.data, len, &error) < 0)
		return malformed(r, error);
	r->crc = crc32c(0, r->in.data, len + 1);
	buf_consume(&r->in, len + 1);
	if (r->read - r->in.len + r->stated.length != r->length)
		return malformed(r, "its size is not the one that it states");
	e->uid = (uint32_t)r->uid;
	e->time = clock_real();
	return 0;
}

static int
spool_refuse(const struct receiver *r)
{
	return refuse(r, EX_TEMPFAIL, "%s", r->spool.problem);
}

static int
content_take(struct receiver *r)
{
	uint64_t left = r->stated.length;

	r->last = '\n';
	while (left > 0) {
		size_t n;

		if (r->in.len == 0 && more(r) < 0)
			return -1;
		n = r->in.len < left ? r->in.len : (size_t)left;
		r->crc = crc32c(r->crc, r->in.data, n);
		if (!format_is_lines(r->last, r->in.data, n))
			return malformed(r, "a line does not end in CRLF");
		r->last = r->in.data[n - 1];
		if (message_write(&r->writer, r->in.data, n) < 0)
			return spool_refuse(r);
		buf_consume(&r->in, n);
		left -= n;
	}
	if (r->stated.length == 0 || r->last != '\n')
		return malformed(r, "its last line does not end");
	if (!message_check_end(&r->stated, r->crc))
		return malformed(r, "its check value does not fit");
	return 0;
}

/* The queue ID stands in the header already, so the name is the submitter's; but not
 * one that lies about its age. */
static int
name_take(struct receiver *r)
{
	int64_t age;

	if (!name_is_valid(r->name))
		return malformed(r, "its name");
	age = clock_real() - name_time(r->name);
	if (age < -(int64_t)USEC_PER_MIN || age > NAME_AGE_MAX)
		return refuse(r, EX_TEMPFAIL, "the name of the message is not of today");
	memcpy(r->writer.name.text, r->name, NAME_LEN + 1);
	return 0;
}

static int
receive(struct receiver *r, struct envelope *e)
{
	if (head_take(r) < 0 || envelope_take(r, e) < 0)
		return -1;
	r->spool.announced = r->length;
	if (message_begin(&r->writer, &r->spool, e) < 0)
		return spool_refuse(r);
	r->writer.flags |= r->stated.flags & MESSAGE_SMTPUTF8;
	if (name_take(r) < 0 || content_take(r) < 0)
		return -1;
	if (message_commit(&r->writer) < 0)
		return spool_refuse(r);
	log_info("%.*s: status=accepted uid=%lu from=<%s> size=%llu recipients=%zu", QUEUE_ID_LEN,
	    r->name, (unsigned long)r->uid, e->sender, (unsigned long long)r->stated.length,
	    e->recipient_count);
	return file_write(STDIN_FILENO, "ok\n" CONTROL_END, strlen("ok\n" CONTROL_END));
}

static void
limits_set(void)
{
	const struct timeval silence = { .tv_sec = SILENCE };
	const struct rlimit none = { 0, 0 }, few = { 16, 16 };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
	setrlimit(RLIMIT_NPROC, &none);
	setrlimit(RLIMIT_NOFILE, &few);
	setsockopt(STDIN_FILENO, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence));
	setsockopt(STDIN_FILENO, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence));
	file_set_nonblocking(STDIN_FILENO, 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	/* a stop of relayd lets a message that is on its way arrive */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
}

int
receiver_main(int argc, char **argv)
{
	static struct receiver r = { .spool = { .dir = -1, .queue = QUEUE },
		.writer = { .fd = -1 },
		.in = { .max = ENVELOPE_OCTETS_MAX + 2 * CHUNK } };
	struct envelope e;
	int code;

	if (argc < 8 || number_parse(argv[4], 0, UINT32_MAX, &r.uid) < 0 ||
	    number_parse(argv[5], 0, INT64_MAX, &r.max_message_size) < 0 ||
	    number_parse(argv[6], 0, INT64_MAX, &r.spool.reserve) < 0)
		return EX_USAGE;
	if (argc == 8)
		log_to_syslog("relayd");
	r.name = argv[2];
	snprintf(r.spool.directory, sizeof(r.spool.directory), "%s", argv[7]);
	limits_set();
	envelope_init(&e);
	/* the name and this are the submitter's words */
	if (number_parse(argv[3], 0, INT64_MAX, &r.length) < 0)
		code = malformed(&r, "its length is not a number");
	else
		code = receive(&r, &e);
	message_abort(&r.writer);
	envelope_free(&e);
	buf_free(&r.in);
	return code < 0 ? EX_TEMPFAIL : 0;
}
