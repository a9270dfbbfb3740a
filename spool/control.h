/*
 * The protocol between the commands (sendmail, mailq, spoolctl) and relayd, over
 * the stream socket RUNDIR/relayd.sock: one request a connection.
 *
 *	request:  one line, "list", "show ID", "retry ID|all" or "remove ID"
 *	answer:   "ok", text to be shown, and the line "end"; or "error EXITCODE TEXT"
 *
 * relayd knows the caller by SO_PEERCRED.
 */
#ifndef SPOOL_CONTROL_H
#define SPOOL_CONTROL_H

#include "base/buf.h"

#define CONTROL_SOCKET "relayd.sock"
#define CONTROL_END "end\n"
#define CONTROL_REQUEST_MAX 256 /* octets, with the line end */

/* Connects; -1 with errno (ENOENT, ECONNREFUSED: relayd is not running). */
int control_connect(const char *runtime_directory);

/* Sends a request and copies the text of the answer to out_fd, made printable.
 * Returns 0, or the exit code that relayd's error or a broken connection stands
 * for, with error in words (one line, without line end). */
int control_request(int fd, const char *request, int out_fd, struct buf *error);

/* The address of the socket; 0, or -1 with errno ENAMETOOLONG. */
struct sockaddr_un;
int control_address(const char *runtime_directory, struct sockaddr_un *address);

#endif
