/*
 * The command loop: reads a command, asks the rules, calls the command's function.  Replies and
 * faults are done here, so that every octet the client sees passes one of two functions and the
 * transcript cannot miss one.
 */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SESSION_PARTIES_MAX = 1 << 20, SESSION_ENVELOPE_MAX = 1 << 22 };

struct session *
session_new(struct server *server, int fd, unsigned number)
{
	struct session *session = malloc(sizeof *session);

	if (session == NULL)
		return NULL;
	memset(session, 0, offsetof(struct session, stream));
	session->server = server;
	session->number = number;
	session->envelope.cap = SESSION_ENVELOPE_MAX;
	session->parties.cap = SESSION_PARTIES_MAX;
	session->content.store = &server->store;
	stream_init(&session->stream, fd, server->options.delay, &server->record.round_trips);
	return session;
}

void
session_free(struct session *session)
{
	session_reset(session);
	text_free(&session->envelope);
	text_free(&session->parties);
	stream_fini(&session->stream);
	free(session);
}

void
session_reset(struct session *session)
{
	content_abandon(&session->content);
	session->in_transaction = session->utf8 = false;
	session->chunking = session->chunk_failed = false;
	session->recipients = 0;
	text_truncate(&session->envelope, 0);
	text_truncate(&session->parties, 0);
}

bool
session_offers(const struct session *session, enum options_extension extension)
{
	return (session->server->options.extensions & (unsigned)extension) != 0;
}

/* One line of a reply: "250-text" or "250 text". */
static void
put_reply_line(struct session *session, unsigned code, char mark, const char *enhanced,
    const char *text, size_t length)
{
	struct stream *stream = &session->stream;
	char start[32];
	int n = snprintf(start, sizeof start, "%03u%c%s%s", code, mark, enhanced,
	    *enhanced != '\0' ? " " : "");

	stream_put(stream, start, (size_t)n);
	stream_put(stream, text, length);
	stream_put(stream, "\r\n", 2);
	if (session->server->record.fd != -1) {
		char line[1024];
		n = snprintf(line, sizeof line, "%s%.*s", start,
		    (int)(length < 900 ? length : 900), text);
		record_line(&session->server->record, session->number, 'S', line, (size_t)n);
	}
}

static void
dribble_if_told(struct session *session)
{
	if (session->dribbling)
		stream_dribble(&session->stream, session->dribble);
	session->dribbling = false;
}

void
session_reply(struct session *session, unsigned code, const char *enhanced, const char *text)
{
	if (enhanced == NULL || !session_offers(session, OPTIONS_ENHANCEDSTATUSCODES))
		enhanced = "";
	for (;;) {
		const char *end = strchr(text, '\n');
		if (end == NULL)
			break;
		put_reply_line(session, code, '-', enhanced, text, (size_t)(end - text));
		text = end + 1;
	}
	put_reply_line(session, code, ' ', enhanced, text, strlen(text));
	dribble_if_told(session);
}

void
session_refuse(struct session *session, unsigned code, const char *enhanced, const char *text)
{
	session_reply(session, code, enhanced, text);
	session->over = true;
}

bool
session_fault(struct session *session, const struct rules_verdict *verdict, const char *where)
{
	if (verdict->action == RULES_NONE)
		return false;
	record_note(&session->server->record, session->number, "rule: %s at %s",
	    rules_action_name(verdict->action), where);
	switch (verdict->action) {
	case RULES_DELAY:
		stream_flush(&session->stream);
		stream_sleep(verdict->milliseconds);
		return false;
	case RULES_DRIBBLE:
		stream_flush(&session->stream);
		session->dribbling = true;
		session->dribble = verdict->milliseconds;
		return false;
	case RULES_REPLY:
		session_reply(session, verdict->code, NULL, verdict->text != NULL ? verdict->text : "");
		session->over = verdict->code == 421;
		return true;
	case RULES_RAW:
		stream_put(&session->stream, verdict->text, verdict->length);
		record_line(&session->server->record, session->number, 'S', verdict->text,
		    verdict->length);
		return true;
	case RULES_STALL:
		stream_hold(&session->stream, strcmp(where, "content") != 0);
		break;
	case RULES_RESET:
		session->end = SESSION_RESET;
		session->over = true;
		return true;
	case RULES_DROP:
	case RULES_ACCEPT_THEN_DROP:
	case RULES_NONE:
		break;
	}
	session->end = SESSION_DROP;
	session->over = true;
	return true;
}

static void
command_rset(struct session *session, char *arguments)
{
	(void)arguments;
	session_reset(session);
	session_reply(session, 250, "2.0.0", "ok");
}

static void
command_noop(struct session *session, char *arguments)
{
	(void)arguments;
	session_reply(session, 250, "2.0.0", "ok");
}

static void
command_quit(struct session *session, char *arguments)
{
	(void)arguments;
	session_refuse(session, 221, "2.0.0", "bye");
}

static void
command_vrfy(struct session *session, char *arguments)
{
	(void)arguments;
	session_reply(session, 252, "2.5.0", "send it and see");
}

static void
command_help(struct session *session, char *arguments)
{
	(void)arguments;
	session_reply(session, 214, "2.0.0", "a test smarthost; see its --help");
}

static const struct command {
	const char *name;
	void (*run)(struct session *session, char *arguments);
} commands[] = {
	{ "MAIL", mail_mail },
	{ "RCPT", mail_rcpt },
	{ "BDAT", mail_bdat },
	{ "DATA", mail_data },
	{ "RSET", command_rset },
	{ "NOOP", command_noop },
	{ "EHLO", hello_ehlo },
	{ "HELO", hello_helo },
	{ "STARTTLS", hello_starttls },
	{ "AUTH", hello_auth },
	{ "QUIT", command_quit },
	{ "VRFY", command_vrfy },
	{ "HELP", command_help },
};

static const struct command *
find_command(const char *line, size_t length)
{
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (strlen(commands[i].name) == length &&
		    strncasecmp(commands[i].name, line, length) == 0)
			return &commands[i];
	return NULL;
}

/* The command as the transcript shows it: without credentials. */
static void
record_command(struct session *session, size_t length)
{
	struct record *record = &session->server->record;
	const char *line = session->line;
	char shown[64];

	if (record->fd == -1)
		return;
	if (strncasecmp(line, "AUTH ", 5) == 0) {
		size_t mechanism = strcspn(line + 5, " ");
		if (line[5 + mechanism] != '\0') {
			int n = snprintf(shown, sizeof shown, "%.*s (hidden)",
			    (int)(5 + (mechanism < 40 ? mechanism : 40)), line);
			record_line(record, session->number, 'C', shown, (size_t)n);
			return;
		}
	}
	record_line(record, session->number, 'C', line, length);
}

/* Cuts the line end off; a reason when the line is none that --strict allows. */
static const char *
trim_command(struct session *session, size_t *length)
{
	char *line = session->line;
	size_t n = *length;
	bool with_cr = n > 1 && line[n - 2] == '\r';
	bool strict = session->server->options.strict;
	const char *fault = NULL;

	if (strict && n > CONTENT_LINE_MAX && strncasecmp(line, "AUTH ", 5) != 0)
		fault = "line too long";
	n -= with_cr ? 2 : 1;
	line[n] = '\0';
	*length = n;
	if (strict && !with_cr)
		fault = "bare LF";
	if (strict && memchr(line, '\r', n) != NULL)
		fault = "bare CR";
	if (memchr(line, '\0', n) != NULL)
		fault = "NUL";
	return fault;
}

/* Did the client send ahead what it was not allowed to? */
static bool
sent_ahead(struct session *session)
{
	if (!session->server->options.strict || session->may_pipeline ||
	    !stream_has_input(&session->stream))
		return false;
	session_refuse(session, 554, "5.5.0", "commands sent ahead without PIPELINING");
	return true;
}

static void
run_command(struct session *session)
{
	struct server *server = session->server;
	size_t length = strcspn(session->line, " ");
	const struct command *command = find_command(session->line, length);
	char *arguments = session->line + length;
	bool is_bdat = command != NULL && command->run == mail_bdat;

	if (!is_bdat && sent_ahead(session))
		return;
	arguments += strspn(arguments, " ");
	const char *where = command != NULL ? command->name : "command";
	struct rules_verdict verdict = rules_ask(&server->rules, where, true, session->line);
	if (is_bdat && (verdict.action == RULES_REPLY || verdict.action == RULES_RAW))
		mail_skip_chunk(session, arguments);
	if (!session_fault(session, &verdict, where)) {
		if (command != NULL)
			command->run(session, arguments);
		else
			session_reply(session, 500, "5.5.1", "command unknown");
	}
	rules_verdict_free(&verdict);
	if (is_bdat && !session->over)
		(void)sent_ahead(session);
}

static void
read_command(struct session *session)
{
	struct record *record = &session->server->record;
	size_t length = 0;
	enum stream_line result = stream_read_line(&session->stream, session->line,
	    sizeof session->line, &length);
	const char *fault = "line too long";

	if (result == STREAM_LINE_CLOSED) {
		session->over = true;
		return;
	}
	session->commands++;
	atomic_fetch_add_explicit(&record->commands, 1, memory_order_relaxed);
	if (result == STREAM_LINE) {
		fault = trim_command(session, &length);
		record_command(session, length);
	} else {
		record_line(record, session->number, 'C', "(too long a line)", 17);
	}
	if (fault == NULL)
		run_command(session);
	else
		session_reply(session, 500, "5.5.2", fault);
	dribble_if_told(session);
}

static void
greet(struct session *session)
{
	struct rules_verdict verdict = rules_ask(&session->server->rules, "banner", false, "");

	if (!session_fault(session, &verdict, "banner") && !sent_ahead(session))
		session_reply(session, 220, NULL, "mail.example.test ESMTP test smarthost");
	rules_verdict_free(&verdict);
}

void
session_run(struct session *session)
{
	struct record *record = &session->server->record;

	if (!session->server->options.implicit_tls || hello_handshake(session))
		greet(session);
	while (!session->over)
		read_command(session);
	stream_flush(&session->stream);
	record_note(record, session->number,
	    "closed: %llu commands, %llu messages, %llu round trips",
	    (unsigned long long)session->commands, (unsigned long long)session->messages,
	    (unsigned long long)session->stream.round_trips);
	switch (session->end) {
	case SESSION_FINISH:
		stream_finish(&session->stream);
		break;
	case SESSION_DROP:
		stream_drop(&session->stream);
		break;
	case SESSION_RESET:
		stream_reset(&session->stream);
		break;
	}
}
