/*
 * Any octets as a message: the header that goes out has no blind copies, whole
 * lines, and each field that must be there once; its own header, read again, has
 * the same fields; and it does not matter in which pieces the octets arrive.
 */
#include "tests/fuzz/fuzz.h"

#include <sys/socket.h>

#include "sendmail/complete.h"
#include "sendmail/header.h"

static const struct identity identity = { .uid = 1000,
	.user = "joe",
	.full_name = "Joe",
	.hostname = "host.example",
	.domain = "dom.example" };

static char mapped_name[] = "root", mapped_address[] = "web1@prov.example";
static struct settings_map maps[] = { { mapped_name, mapped_address } };
static const struct settings settings = { .maps = maps, .map_count = 1 };

/* Every line ends in CRLF; none is empty. */
static void
check_lines(const struct buf *b)
{
	const char *s = b->data, *end = b->data + b->len;

	while (s < end) {
		const char *lf = memchr(s, '\n', (size_t)(end - s));

		CHECK(lf != NULL && lf - s >= 2 && lf[-1] == '\r');
		s = lf + 1;
	}
}

static void
check_fields(const struct header *h)
{
	CHECK(header_find(h, "Bcc") == NULL);
	CHECK(header_find(h, "Resent-Bcc") == NULL);
	CHECK(header_find(h, "Return-Path") == NULL);
	CHECK(header_find(h, "Date") != NULL);
	CHECK(header_find(h, "From") != NULL);
	CHECK(header_find(h, "Message-ID") != NULL);
	CHECK(header_find(h, "To") != NULL || header_find(h, "Cc") != NULL);
}

/* The fields lie one behind the other and fill the text. */
static void
check_places(const struct header *h)
{
	size_t at = 0;

	for (size_t i = 0; i < h->count; i++) {
		const struct field *f = &h->fields[i];

		CHECK(f->start == at && f->len >= 3 && f->name_len > 0);
		CHECK(f->value > f->start + f->name_len && f->value <= f->start + f->len - 2);
		CHECK(h->text.data[f->value - 1] == ':');
		at += f->len;
	}
	CHECK(at == h->text.len);
}

/* The input as up to 100 packets, each of which is a read of its own. */
static int
packets(const uint8_t *data, size_t size)
{
	size_t piece = size > 0 ? 1U + data[0] % 16 : 1;
	int fds[2], room = 1 << 20;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0);
	CHECK(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0);
	if (piece < size / 100)
		piece = size / 100;
	for (size_t at = 0; at < size; at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		CHECK(send(fds[1], data + at, n, 0) == (ssize_t)n);
	}
	close(fds[1]);
	return fds[0];
}

/* The whole message as it goes into the spool, less the completion. */
static void
gather(int fd, int ignore_dots, struct buf *b)
{
	struct header h;
	struct input in;
	struct piece p;
	int r;

	CHECK(input_init(&in, fd, ignore_dots) == 0);
	CHECK((r = header_read(&h, &in, &p)) >= 0);
	buf_append(b, buf_string(&h.text), h.text.len);
	buf_add_string(b, "\n\n");
	for (; r > 0 || input_next(&in, &p) > 0; r = 0) {
		buf_append(b, p.data, p.len);
		if (p.ends_line)
			buf_add_char(b, '\n');
	}
	CHECK(!b->failed);
	header_free(&h);
	input_fini(&in);
	close(fd);
}

static void
check_pieces(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT(64 << 20), pieces = BUF_INIT(64 << 20);

	gather(memory_file(data, size), size % 2 == 0, &whole);
	gather(packets(data, size), size % 2 == 0, &pieces);
	CHECK(whole.len == pieces.len && memcmp(whole.data, pieces.data, whole.len) == 0);
	buf_free(&whole);
	buf_free(&pieces);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char sender[] = "joe@dom.example";
	struct envelope e = { .sender = sender, .time = 1763912345123456 };
	struct completion c = { .settings = &settings,
		.identity = &identity,
		.envelope = &e,
		.queue_id = "0abcdefghijk" };
	struct buf out = BUF_INIT(64 << 20);
	struct header h, again;
	struct input in;
	struct piece p;
	int fd;

	check_pieces(data, size);
	fd = memory_file(data, size);
	CHECK(input_init(&in, fd, size % 2 == 0) == 0);
	CHECK(header_read(&h, &in, &p) >= 0);
	check_places(&h);
	CHECK(complete_header(&h, &c, &out) == 0);
	check_lines(&out);
	while (input_next(&in, &p) > 0)
		CHECK(!p.ends_line || memchr(p.data, '\n', p.len) == NULL);
	input_fini(&in);
	close(fd);

	fd = memory_file(out.data, out.len);
	CHECK(input_init(&in, fd, true) == 0);
	CHECK(header_read(&again, &in, &p) == 0);
	check_places(&again);
	check_fields(&again);
	CHECK(again.text.len == out.len && memcmp(again.text.data, out.data, out.len) == 0);
	input_fini(&in);
	close(fd);
	header_free(&h);
	header_free(&again);
	buf_free(&out);
	return 0;
}
