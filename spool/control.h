/*
 * The protocol between the commands (sendmail, mailq, spoolctl) and relayd, over
 * the stream socket RUNDIR/relayd.sock: one request a connection.
 *
 *	request:  one line:
 *	          list, show ID, retry ID|all, remove ID
 *	          select [!]I|R|S TEXT   makes due whose queue ID, a recipient or the
 *	                                 sender contains TEXT, or with ! does not
 *	          watch NAME             text is the outcomes of this message as they come,
 *	                                 until its first attempt is over
 *	          submit NAME LENGTH     followed by LENGTH octets: a message file, which is
 *	                                 durable in queue/ under NAME when the answer is ok
 *	answer:   "ok", text to be shown, and the line "end"; or "error EXITCODE TEXT";
 *	          or "busy"
 *
 * relayd knows the caller by SO_PEERCRED.
 */
#ifndef SPOOL_CONTROL_H
#define SPOOL_CONTROL_H

#include "base/buf.h"

#define CONTROL_SOCKET "relayd.sock"
#define CONTROL_END "end\n"
#define CONTROL_REQUEST_MAX 256 /* octets, with the line end */
#define CONTROL_BUSY 1          /* no exit code: try again */

/* Connects; -1 with errno (ENOENT, ECONNREFUSED: relayd is not running; EAGAIN: it does
 * not take connections).  The first waits for relayd to take it up, for a minute at most;
 * the second does not wait, and neither does what is done with its descriptor. */
int control_connect(const char *runtime_directory);
int control_connect_at_once(const char *runtime_directory);

/* Reads the answer and copies its text to out_fd, made printable.  Returns 0, or the
 * exit code that relayd's error or a broken connection stands for, or CONTROL_BUSY,
 * with error in words (one line, without line end). */
int control_answer(int fd, int out_fd, struct buf *error);

/* Sends a request and reads its answer likewise. */
int control_request(int fd, const char *request, int out_fd, struct buf *error);

/* The address of the socket; 0, or -1 with errno ENAMETOOLONG. */
struct sockaddr_un;
int control_address(const char *runtime_directory, struct sockaddr_un *address);

#endif
