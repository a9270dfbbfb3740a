/*
 * If relayd is gone, nobody is there to know: a report that cannot be sent is no error.
 */
#include "relayd/session/report.h"

#include <stdio.h>

void
report_send(struct ipc_report *r, const char *text)
{
	r->kind = IPC_REPORT;
	snprintf(r->text, sizeof(r->text), "%s", text);
	ipc_send(REPORT_SOCKET, r, sizeof(*r), -1);
}

void
report_log(void *context, enum log_level level, const char *line)
{
	struct ipc_report r = { .type = REPORT_LOG, .value = level };

	(void)context;
	report_send(&r, line);
}

void
report_end(uint32_t job, enum ipc_end end, const char *text)
{
	struct ipc_report r = { .type = REPORT_END, .job = job, .value = end };

	report_send(&r, text);
}

void
report_failed(const struct conversation *c)
{
	struct ipc_report r = { .type = REPORT_FAILED, .value = c->fault, .code = c->code };

	report_send(&r, c->problem);
}

void
report_outcomes(uint32_t job, const struct transaction *t)
{
	for (size_t i = 0; i < t->message->envelope.recipient_count; i++) {
		const struct outcome *o = &t->outcomes[i];
		struct ipc_report r = { .type = REPORT_RECIPIENT,
			.job = job,
			.recipient = (uint32_t)i,
			.value = o->value,
			.code = o->code };

		if (o->wanted && o->known)
			report_send(&r, o->text == NULL ? "" : o->text);
	}
}

void
report_peer(const struct conversation *c)
{
	struct ipc_report r = { .type = REPORT_PEER,
		.job = c->can.check,
		.value = c->peer,
		.recipient = c->recipients_max };

	report_send(&r, "");
}
