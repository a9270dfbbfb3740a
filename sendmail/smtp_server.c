/*
 * Told from top to bottom: a line is read, understood, carried out and answered, then
 * the next.  Content is read within the command that announces it, so nothing of it
 * is ever taken for a command; where that could not be told apart, the session ends.
 */
#include "sendmail/smtp_server.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/number.h"
#include "sendmail/smtp_session.h"

#define TIMEOUT (5 * USEC_PER_MIN) /* RFC 5321 section 4.5.3.2.7 */
#define ERRORS_MAX 100
#define ERRORS_IN_ROW_MAX 20

void
smtp_session_close(struct smtp_session *s, const char *status, const char *why)
{
	smtp_reply(&s->channel, 421, status, "%s %s", s->setup->identity->hostname, why);
	s->ended = true;
	s->code = EX_TEMPFAIL;
	if (log_is_syslog())
		log_warn("SMTP session ended: %s", why);
}

void
smtp_session_error(struct smtp_session *s, int code, const char *status, const char *text)
{
	s->errors++;
	s->errors_in_row++;
	if (s->errors >= ERRORS_MAX || s->errors_in_row >= ERRORS_IN_ROW_MAX)
		smtp_session_close(s, "4.7.0", "too many errors");
	else
		smtp_reply(&s->channel, code, status, "%s", text);
}

/* A line that is no command.  If it announces a chunk, that cannot be told from the
 * commands behind it. */
static void
line_refuse(struct smtp_session *s, enum smtp_line kind)
{
	const char *start = buf_string(&s->line);

	start += strspn(start, " ");
	if (strncasecmp(start, "BDAT", 4) == 0)
		smtp_session_close(s, "4.7.0", "the size of a chunk cannot be understood");
	else if (kind == SMTP_LINE_LONG)
		smtp_session_error(s, 500, "5.5.2", "the line is longer than 2048 octets");
	else if (kind == SMTP_LINE_BARE_LF)
		smtp_session_error(s, 500, "5.5.2", "a line must end in CR LF, as the first did");
	else
		smtp_session_error(s, 501, "5.5.2", "a command has no control characters");
}

bool
smtp_session_read(struct smtp_session *s)
{
	while (!s->ended) {
		enum smtp_line kind = smtp_channel_line(&s->channel, &s->line);

		if (kind == SMTP_LINE) {
			s->command = smtp_command_parse(s->line.data);
			return true;
		}
		if (kind != SMTP_LINE_NONE) {
			line_refuse(s, kind);
			continue;
		}
		if (s->channel.state == CHANNEL_TIMED_OUT)
			smtp_session_close(s, "4.4.2", "nothing came for too long");
		/* whoever leaves between two messages has all that he was promised */
		else if (s->transaction.open || s->channel.state == CHANNEL_BROKEN)
			s->code = EX_TEMPFAIL;
		s->ended = true;
	}
	return false;
}

static void
greet(struct smtp_session *s, bool extended)
{
	const struct settings *settings = s->setup->settings;
	const char *name = s->command.argument;
	char size[40] = "SIZE";

	if (*name == '\0') {
		smtp_session_error(s, 501, "5.5.4", "a host name is missing");
		return;
	}
	/* RFC 5321 section 4.1.4: as if by RSET */
	smtp_transaction_end(s);
	s->extended = extended;
	s->helo[0] = '\0';
	if (smtp_is_host_name(name))
		snprintf(s->helo, sizeof(s->helo), "%s", name);
	if (!extended) {
		smtp_reply(&s->channel, 250, NULL, "%s", s->setup->identity->hostname);
		return;
	}
	if (settings->max_message_size > 0)
		snprintf(size, sizeof(size), "SIZE %llu",
		    (unsigned long long)settings->max_message_size);
	smtp_reply_more(&s->channel, 250, s->setup->identity->hostname);
	smtp_reply_more(&s->channel, 250, "PIPELINING");
	smtp_reply_more(&s->channel, 250, "8BITMIME");
	smtp_reply_more(&s->channel, 250, "SMTPUTF8");
	smtp_reply_more(&s->channel, 250, size);
	smtp_reply_more(&s->channel, 250, "DSN");
	smtp_reply_more(&s->channel, 250, "ENHANCEDSTATUSCODES");
	smtp_reply_more(&s->channel, 250, "CHUNKING");
	smtp_reply(&s->channel, 250, NULL, "HELP");
}

static void
command_execute(struct smtp_session *s)
{
	switch (s->command.verb) {
	case VERB_HELO:
		greet(s, false);
		break;
	case VERB_EHLO:
		greet(s, true);
		break;
	case VERB_MAIL:
		smtp_transaction_mail(s);
		break;
	case VERB_RCPT:
		smtp_transaction_rcpt(s);
		break;
	case VERB_DATA:
		smtp_transaction_data(s);
		break;
	case VERB_BDAT:
		smtp_transaction_bdat(s);
		break;
	case VERB_RSET:
		smtp_transaction_end(s);
		smtp_reply(&s->channel, 250, "2.0.0", "forgotten");
		break;
	case VERB_NOOP:
		smtp_reply(&s->channel, 250, "2.0.0", "done");
		break;
	case VERB_VRFY:
		smtp_reply(&s->channel, 252, "2.0.0", "not verified; RCPT says what is taken");
		break;
	case VERB_HELP:
		smtp_reply(&s->channel, 214, "2.0.0", "see sendmail(8)");
		break;
	case VERB_QUIT:
		smtp_transaction_end(s);
		smtp_reply(&s->channel, 221, "2.0.0", "%s closes the connection",
		    s->setup->identity->hostname);
		s->ended = true;
		break;
	case VERB_REFUSED:
		smtp_session_error(s, 502, "5.5.1", "the command is not to be had here");
		break;
	default:
		smtp_session_error(s, 500, "5.5.1", "unknown command");
		break;
	}
}

/* RFC 5321 section 4.1.1: these have no argument. */
static bool
takes_argument(enum smtp_verb verb)
{
	return verb != VERB_DATA && verb != VERB_RSET && verb != VERB_QUIT;
}

void
smtp_session_execute(struct smtp_session *s)
{
	unsigned before = s->errors;

	if (!takes_argument(s->command.verb) && *s->command.argument != '\0')
		smtp_session_error(s, 501, "5.5.4", "the command has no argument");
	else
		command_execute(s);
	if (s->errors == before)
		s->errors_in_row = 0;
}

static void
converse(struct smtp_session *s)
{
	smtp_reply(&s->channel, 220, NULL, "%s ESMTP postbag", s->setup->identity->hostname);
	while (s->pending || smtp_session_read(s)) {
		s->pending = false;
		smtp_session_execute(s);
	}
	smtp_transaction_end(s);
	smtp_channel_flush(&s->channel);
}

int
smtp_serve(const struct smtp_setup *setup)
{
	struct smtp_session s = { .setup = setup, .line = BUF_INIT(SMTP_LINE_MAX) };

	smtp_peer_find(&s.peer, setup->in, setup->identity->uid);
	if (buf_reserve(&s.line, SMTP_LINE_MAX) == NULL)
		return EX_TEMPFAIL;
	if (smtp_channel_init(&s.channel, setup->in, setup->out, setup->timeout) < 0) {
		buf_free(&s.line);
		return EX_TEMPFAIL;
	}
	if (s.peer.served) {
		converse(&s);
	} else {
		smtp_reply(&s.channel, 554, "5.7.1", "only programs of this host are served");
		smtp_channel_flush(&s.channel);
		log_warn("SMTP connection from %s refused: it is not of this host", s.peer.text);
		s.code = EX_NOPERM;
	}
	smtp_channel_fini(&s.channel);
	buf_free(&s.line);
	return s.code;
}

int
smtp_server_refuse(const char *why)
{
	struct smtp_channel c;

	if (smtp_channel_init(&c, STDIN_FILENO, STDOUT_FILENO, TIMEOUT) == 0) {
		smtp_reply(&c, 421, NULL, "no service: %s", why);
		smtp_channel_flush(&c);
		smtp_channel_fini(&c);
	}
	return EX_TEMPFAIL;
}

int
smtp_server_run(const struct settings *settings, const struct options *o)
{
	struct identity identity;
	struct smtp_setup setup = { .settings = settings,
		.identity = &identity,
		.rights = o->rights,
		.in = STDIN_FILENO,
		.out = STDOUT_FILENO,
		.timeout = o->read_timeout > 0 ? o->read_timeout : TIMEOUT,
		.no_aliases = o->no_aliases };

	if (identity_init(&identity, settings) < 0)
		return smtp_server_refuse("cannot look up who submits");
	return smtp_serve(&setup);
}
