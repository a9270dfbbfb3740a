/*
 * Where the header and the body of a MIME entity lie in content (RFC 2046 section
 * 5.1.1): a body ends before a boundary line of any multipart around it, and the line
 * end before that line belongs to it.
 */
#ifndef SENDMAIL_ENTITY_H
#define SENDMAIL_ENTITY_H

#include "sendmail/mime.h"
#include "sendmail/window.h"

#define ENTITY_DEPTH_MAX 50

/* Of the multiparts around an entity, the outermost first. */
struct boundaries {
	char text[ENTITY_DEPTH_MAX][MIME_BOUNDARY_SIZE];
	size_t count;
};

struct entity {
	struct header header;
	uint64_t start;
	uint64_t fields; /* behind a "From " line of a mailbox file */
	uint64_t body;
	bool separated; /* by an empty line from its body */
};

/* A range of content up to a boundary line. */
struct region {
	uint64_t start, end;
	struct scan scan; /* of this range */
	bool at_end;      /* no boundary line ended it, but the content */
	struct line boundary;
	size_t level; /* the index of its boundary */
	bool closes;  /* it is the last one of its multipart */
};

/* Both: 0, or -1 with errno and the spool's problem.  The header of a part is at most
 * 8 MB, as that of a message (ENOBUFS), and is to be freed in both cases. */
int entity_read(struct window *w, uint64_t start, const struct boundaries *outer, struct entity *e);
int region_find(struct window *w, uint64_t start, const struct boundaries *outer, struct region *r);

#endif
