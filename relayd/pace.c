/*
 * How much a smarthost gets ahead of its replies: several messages (a window), the
 * commands of one message, or one command.  Each connection begins with a window of
 * one message, which grows while replies come back clean.  A server that cannot do
 * what it offers shows it by a stall, a wrong reply or a broken connection with
 * commands ahead of its replies; so does a network that fails, so it takes some
 * of that until a server gets less for as long as relayd lives.
 */
#include "base/clock.h"
#include "base/log.h"
#include "relayd/relayd.h"

#define TROUBLES_MAX 3  /* then it is the server */
#define CLEAN_ENOUGH 10 /* messages after which a stall may be the network's … */
#define CLEAN_LONG 100  /* … and troubles are forgotten */

unsigned
pace_window(const struct smarthost *h)
{
	return h->pace.window == 0 ? 1 : h->pace.window;
}

void
pace_clean(struct smarthost *h)
{
	unsigned window = pace_window(h);

	/* by one for each message: it doubles with each round trip */
	if (window < h->settings->window)
		h->pace.window = window + 1;
	if (h->pace.clean < CLEAN_LONG)
		h->pace.clean++;
	else
		h->pace.troubles = 0;
}

void
pace_refused(struct smarthost *h)
{
	h->pace.window = (pace_window(h) + 1) / 2;
}

void
pace_broken(struct smarthost *h)
{
	h->pace.window = 1;
}

/* One step down: no windows, then nothing ahead. */
static void
pace_lower(struct smarthost *h)
{
	struct pace *p = &h->pace;
	bool chunks = (p->peer & PEER_CHUNKS) != 0;

	p->troubles = 0;
	p->peer = (p->peer & ~(unsigned)PEER_CHUNKS) | PEER_NO_CHUNKS |
		  (chunks ? 0U : (unsigned)PEER_LOCKSTEP);
	log_warn("smarthost=%s cannot do what it offers: from now on %s", h->name,
	    chunks ? "one message at a time" : "one command at a time");
}

void
pace_learn(
    struct smarthost *h, int64_t ready_at, uint32_t ehlo, unsigned peer, unsigned recipients_max)
{
	struct pace *p = &h->pace;
	unsigned known = peer & (PEER_CHUNKS | PEER_NO_CHUNKS | PEER_LOCKSTEP);

	if (ehlo != p->ehlo)
		*p = (struct pace){ .ehlo = ehlo, .peer = known };
	p->peer |= known;
	/* what was refused once stays refused */
	if ((p->peer & PEER_NO_CHUNKS) != 0)
		p->peer &= ~(unsigned)PEER_CHUNKS;
	if (recipients_max != 0)
		p->recipients_max = recipients_max;
	/* what cuts several sessions is one trouble */
	if ((peer & (PEER_STALLED | PEER_BROKE)) == 0 || (p->peer & PEER_LOCKSTEP) != 0 ||
	    ready_at < p->trouble_at)
		return;
	p->trouble_at = clock_boot();
	p->troubles++;
	if (p->troubles == TROUBLES_MAX || ((peer & PEER_STALLED) && p->clean < CLEAN_ENOUGH))
		pace_lower(h);
	p->clean = 0;
}
