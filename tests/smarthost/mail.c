/*
 * The mail transaction: MAIL, RCPT, DATA, BDAT and what happens at the end of the content.
 * session->content is open only between the first octet awaited and finish_message(); every way
 * out passes session_reset().
 */
#include "session.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "params.h"

enum { MAIL_RECIPIENTS_MAX = 10000 };

static struct params_mail
allowed_parameters(const struct session *session)
{
	return (struct params_mail){
		.esmtp = session->extended,
		.has_size = session_offers(session, OPTIONS_SIZE),
		.has_8bitmime = session_offers(session, OPTIONS_8BITMIME),
		.has_smtputf8 = session_offers(session, OPTIONS_SMTPUTF8),
		.has_dsn = session_offers(session, OPTIONS_DSN),
		.has_auth = session->server->auth.context != NULL,
	};
}

static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text >= 0x80)
			return false;
	return true;
}

static void
refuse_parameters(struct session *session, unsigned code)
{
	session_reply(session, code, "5.5.4",
	    code == 555 ? "parameter not offered" : "parameter malformed");
}

/* Adds a line to the envelope and the path to the parties; false: too much of it. */
static bool
note_party(struct session *session, const char *word, const struct params_path *path)
{
	struct text_buffer *envelope = &session->envelope;
	struct text_buffer *parties = &session->parties;

	return text_append_string(envelope, word) &&
	    text_append(envelope, path->text, path->length) &&
	    (*path->parameters == '\0' || text_append_string(envelope, " ")) &&
	    text_append_string(envelope, path->parameters) && text_append_string(envelope, "\n") &&
	    (parties->length == 0 || text_append_string(parties, " ")) &&
	    text_append(parties, path->text, path->length);
}

/* Reasons to refuse MAIL that are not in its arguments. */
static bool
may_begin(struct session *session)
{
	struct server *server = session->server;

	if (atomic_load_explicit(&server->stopping, memory_order_relaxed))
		session_refuse(session, 421, "4.3.2", "going down");
	else if (!session->greeted)
		session_reply(session, 503, "5.5.1", "EHLO first");
	else if (server->auth.context != NULL && session->mechanism == NULL)
		session_reply(session, 530, "5.7.0", session->stream.tls == NULL &&
		    server->tls.available ? "STARTTLS and AUTH first" : "AUTH first");
	else if (session->in_transaction)
		session_reply(session, 503, "5.5.1", "MAIL was given already");
	else
		return true;
	return false;
}

void
mail_mail(struct session *session, char *arguments)
{
	struct params_mail mail = allowed_parameters(session);
	struct params_path path;

	if (!may_begin(session))
		return;
	if (!params_parse_path(arguments, "FROM:", &path)) {
		session_reply(session, 501, "5.5.4", "MAIL FROM:<address> is needed");
		return;
	}
	unsigned code = params_check_mail(path.parameters, &mail);
	if (code != 0) {
		refuse_parameters(session, code);
	} else if (mail.size > session->server->options.size) {
		session_reply(session, 552, "5.3.4", "message too big");
	} else if (session->server->options.strict && !mail.utf8 && !is_ascii(arguments)) {
		session_reply(session, 553, "5.6.7", "UTF-8 address without SMTPUTF8");
	} else {
		session_reset(session);
		(void)note_party(session, "from ", &path);
		session->in_transaction = true;
		session->utf8 = mail.utf8;
		session_reply(session, 250, "2.1.0", "ok");
	}
}

void
mail_rcpt(struct session *session, char *arguments)
{
	struct params_mail mail = allowed_parameters(session);
	struct params_path path;

	if (!session->in_transaction || session->chunking) {
		session_reply(session, 503, "5.5.1", "MAIL first");
		return;
	}
	if (!params_parse_path(arguments, "TO:", &path)) {
		session_reply(session, 501, "5.5.4", "RCPT TO:<address> is needed");
		return;
	}
	unsigned code = params_check_rcpt(path.parameters, &mail);
	size_t envelope = session->envelope.length;
	size_t parties = session->parties.length;
	if (code != 0) {
		refuse_parameters(session, code);
	} else if (path.length == 2) {
		session_reply(session, 501, "5.1.3", "the empty address is no recipient");
	} else if (session->server->options.strict && !session->utf8 && !is_ascii(arguments)) {
		session_reply(session, 553, "5.6.7", "UTF-8 address without SMTPUTF8");
	} else if (session->recipients == MAIL_RECIPIENTS_MAX ||
	    !note_party(session, "to ", &path)) {
		text_truncate(&session->envelope, envelope);
		text_truncate(&session->parties, parties);
		session_reply(session, 452, "4.5.3", "too many recipients");
	} else {
		session->recipients++;
		session_reply(session, 250, "2.1.5", "ok");
	}
}

/* Who authenticated and how it came, for the .env file. */
static void
note_connection(struct session *session)
{
	char line[512];
	char client[256];

	if (session->mechanism != NULL) {
		snprintf(line, sizeof line, "auth %s %s\n", session->server->auth.user,
		    session->mechanism);
		(void)text_append_string(&session->envelope, line);
	}
	if (session->stream.tls == NULL)
		return;
	snprintf(line, sizeof line, "tls %s\n", tls_version(session->stream.tls));
	(void)text_append_string(&session->envelope, line);
	if (tls_describe_client(session->stream.tls, client, sizeof client)) {
		snprintf(line, sizeof line, "client-certificate %s\n", client);
		(void)text_append_string(&session->envelope, line);
	}
}

/* For whoever measures how long that many messages take. */
static void
say_mark(unsigned long long count)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("message %llu accepted at %lld.%09ld\n", count, (long long)now.tv_sec, now.tv_nsec);
	fflush(stdout);
}

/* Takes responsibility; silent: without a reply. */
static void
accept_message(struct session *session, bool silent)
{
	struct server *server = session->server;
	struct record *record = &server->record;
	uint64_t enough = server->options.exit_after;
	unsigned long long ticket = atomic_fetch_add(&server->accepted, 1) + 1;
	unsigned number = 0;
	char text[64] = "accepted";

	if (enough != 0 && ticket > enough) {
		session_refuse(session, 421, "4.3.2", "going down");
		return;
	}
	if (session->content.file != NULL) {
		note_connection(session);
		int r = store_commit(&server->store, session->content.file,
		    text_string(&session->envelope), session->envelope.length, &number);
		session->content.file = NULL;
		if (r == -1) {
			atomic_fetch_sub(&server->accepted, 1);
			session_reply(session, 451, "4.3.0", "cannot store the message");
			return;
		}
		snprintf(text, sizeof text, "accepted as %06u", number);
	}
	session->messages++;
	atomic_fetch_add(&record->messages, 1);
	atomic_fetch_add(&record->octets, session->content.octets);
	if (ticket == server->options.mark)
		say_mark(ticket);
	if (!silent)
		session_reply(session, 250, "2.0.0", text);
	if (enough != 0 && ticket == enough) {
		stream_flush(&session->stream);
		server_stop(server);
	}
}

static void
conclude(struct session *session, bool silent)
{
	struct content *content = &session->content;
	char text[64];

	if (content_too_big(content)) {
		session_reply(session, 552, "5.3.4", "message too big");
	} else if (content->fault != NULL) {
		snprintf(text, sizeof text, "refused: %s", content->fault);
		session_reply(session, 550, "5.6.0", text);
	} else if (content->store_failed) {
		session_reply(session, 451, "4.3.0", "cannot store the message");
	} else {
		accept_message(session, silent);
	}
}

/* The whole content is here: rules, checks, acceptance, reply. */
static void
finish_message(struct session *session)
{
	struct rules_verdict verdict = rules_ask(&session->server->rules, "end", false,
	    text_string(&session->parties));

	content_end(&session->content);
	if (verdict.action == RULES_ACCEPT_THEN_DROP)
		conclude(session, true);
	if (!session_fault(session, &verdict, "end"))
		conclude(session, false);
	rules_verdict_free(&verdict);
	session_reset(session);
}

static void
record_content(struct session *session, uint64_t octets)
{
	char text[64];

	if (session->server->record.fd == -1)
		return;
	int n = snprintf(text, sizeof text, "(%llu octets of content)", (unsigned long long)octets);
	record_line(&session->server->record, session->number, 'C', text, (size_t)n);
}

/* Asks for the rules at `content`; true when the reply has been given (or all is over). */
static bool
content_fault(struct session *session)
{
	struct rules_verdict verdict = rules_ask(&session->server->rules, "content", false,
	    text_string(&session->parties));
	bool settled = session_fault(session, &verdict, "content");

	rules_verdict_free(&verdict);
	if (settled) {
		content_abandon(&session->content);
		session->content.discard = true;
		stream_flush(&session->stream);
	}
	return settled;
}

static void
begin_content(struct session *session)
{
	const struct options *options = &session->server->options;

	content_begin(&session->content, &session->server->store, options->size, options->strict);
}

void
mail_data(struct session *session, char *arguments)
{
	bool end = false;

	if (*arguments != '\0') {
		session_reply(session, 501, "5.5.4", "DATA takes no argument");
		return;
	}
	if (!session->in_transaction || session->chunking) {
		session_reply(session, 503, "5.5.1", session->chunking ? "BDAT was used" : "MAIL first");
		return;
	}
	if (session->recipients == 0) {
		session_reply(session, 554, "5.5.1", "no valid recipients");
		return;
	}
	session_reply(session, 354, NULL, "go ahead");
	begin_content(session);
	bool settled = content_fault(session);
	if (session->over)
		return;
	while (!end) {
		const unsigned char *bytes;
		size_t available = stream_peek(&session->stream, &bytes);
		if (available == 0 && !stream_fill(&session->stream)) {
			session->over = true;
			return;
		}
		size_t used = content_add_stuffed(&session->content, bytes, available, &end);
		stream_consume(&session->stream, used);
	}
	record_content(session, session->content.octets);
	if (settled)
		session_reset(session);
	else
		finish_message(session);
}

/* Takes size octets, into content or nowhere; false when the client left. */
static bool
take_chunk(struct session *session, uint64_t size, struct content *content)
{
	uint64_t left = size;

	while (left > 0) {
		const unsigned char *bytes;
		size_t available = stream_peek(&session->stream, &bytes);
		if (available == 0) {
			if (!stream_fill(&session->stream)) {
				session->over = true;
				return false;
			}
			continue;
		}
		if (available > left)
			available = (size_t)left;
		if (content != NULL)
			content_add(content, bytes, available);
		stream_consume(&session->stream, available);
		left -= available;
	}
	record_content(session, size);
	return true;
}

/* SIZE [LAST]; without a size the place of the next command is unknown and all is lost. */
static bool
parse_chunk(struct session *session, const char *arguments, uint64_t *size, bool *last)
{
	char digits[24];
	size_t n = strcspn(arguments, " ");

	if (n < sizeof digits) {
		memcpy(digits, arguments, n);
		digits[n] = '\0';
		arguments += n;
		arguments += strspn(arguments, " ");
		*last = strncasecmp(arguments, "LAST", 4) == 0;
		arguments += *last ? 4 : 0;
		arguments += strspn(arguments, " ");
		if (*arguments == '\0' && text_parse_number(digits, 0, UINT64_MAX, size))
			return true;
	}
	session_refuse(session, 501, "5.5.4", "BDAT needs a size and nothing else but LAST");
	return false;
}

void
mail_skip_chunk(struct session *session, char *arguments)
{
	uint64_t size;
	bool last;

	if (!parse_chunk(session, arguments, &size, &last))
		return;
	content_abandon(&session->content);
	session->chunk_failed = session->chunking = session->in_transaction;
	(void)take_chunk(session, size, NULL);
}

/* Throws the chunk away, then says why. */
static void
refuse_chunk(struct session *session, uint64_t size, unsigned code, const char *text)
{
	content_abandon(&session->content);
	session->chunk_failed = session->chunking = session->in_transaction;
	if (take_chunk(session, size, NULL))
		session_reply(session, code, "5.5.1", text);
}

/* A chunk of a transaction that is fine so far. */
static void
receive_chunk(struct session *session, uint64_t size, bool last)
{
	char text[64];
	bool settled = false;

	if (!session->chunking) {
		begin_content(session);
		session->chunking = true;
	}
	if (size > 0 && session->content.octets == 0)
		settled = content_fault(session);
	if (session->over || !take_chunk(session, size, &session->content))
		return;
	if (settled) {
		session->chunk_failed = true;
		return;
	}
	if (last) {
		finish_message(session);
	} else if (content_too_big(&session->content)) {
		session->chunk_failed = true;
		session_reply(session, 552, "5.3.4", "message too big");
	} else {
		snprintf(text, sizeof text, "%llu octets received", (unsigned long long)size);
		session_reply(session, 250, "2.0.0", text);
	}
}

void
mail_bdat(struct session *session, char *arguments)
{
	uint64_t size;
	bool last;

	if (!parse_chunk(session, arguments, &size, &last))
		return;
	if (!session_offers(session, OPTIONS_CHUNKING))
		refuse_chunk(session, size, 502, "CHUNKING is not offered");
	else if (!session->in_transaction)
		refuse_chunk(session, size, 503, "MAIL first");
	else if (session->chunk_failed)
		refuse_chunk(session, size, 503, "an earlier chunk was refused");
	else if (session->recipients == 0)
		refuse_chunk(session, size, 554, "no valid recipients");
	else
		receive_chunk(session, size, last);
}
