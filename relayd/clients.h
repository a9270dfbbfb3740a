/*
 * Who is connected to the control socket.  A client may be slow or hostile: requests
 * are short and read without waiting; a short answer that does not fit into the
 * socket's buffer is lost, and so is what a watcher leaves unread beyond a limit.
 */
#ifndef RELAYD_CLIENTS_H
#define RELAYD_CLIENTS_H

#include "relayd/relayd.h"
#include "spool/selection.h"

struct client {
	struct watch watch; /* must be first */
	struct client *next;
	uid_t uid; /* SO_PEERCRED */
	struct buf request;
	char watching[NAME_LEN + 1]; /* the message whose outcomes it is told, or "" */
	struct buf out;              /* what a watcher has not taken yet */
	bool full;                   /* its socket is: epoll(7) tells when there is room */
	bool leaving;                /* it has been told all, and ends when out is empty */
};

/* A short answer, or a part of one. */
void client_answer(const struct client *c, const char *text);

/* "error CODE …" */
void client_refuse(const struct client *c, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Root and relayd's own user. */
bool client_is_administrator(const struct client *c);

/* control.c: runs the request in line, which it may change.  True if the client stays. */
bool control_run(struct relayd *r, struct client *c, char *line);

/* Listings of the queue, in forked children: relayd never waits for a client. */

/* Answers with the whole queue (e is NULL) or with one message. */
void listing_start(struct relayd *r, const struct client *c, const struct index_entry *e);

/* Makes the selected messages due as soon as a child has found them. */
void selection_start(struct relayd *r, const struct client *c, const struct selection *s);

/* A child process has ended; was it one of these? */
bool listing_reap(struct relayd *r, pid_t pid);

#endif
