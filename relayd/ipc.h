/*
 * What relayd and a session say to each other: whole structs over a
 * SOCK_SEQPACKET pair, one a packet, their size checked on receipt.
 *
 *	relayd                          session
 *	IPC_SETTINGS  ────────────────►
 *	              ◄──────────────── IPC_REPORT READY
 *	IPC_JOB + fd  ────────────────►
 *	              ◄──────────────── IPC_REPORT RECIPIENT, for each
 *	              ◄──────────────── IPC_REPORT END
 *	IPC_STOP      ────────────────►
 *
 * A session that has said that it can takes further jobs before the end of the first;
 * it reports on them in their order.
 *
 * or FAILED (the smarthost's fault) or CLOSING (nobody's) at any time, after END
 * for a job in hand.  After either, a session answers a job that crosses it on
 * the way with END unsent, and exits when relayd closes the socket.
 *
 * relayd does not trust a session, which has talked to the network: it checks
 * every field again and makes all text printable.
 */
#ifndef RELAYD_IPC_H
#define RELAYD_IPC_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/settings.h"
#include "spool/envelope.h"
#include "spool/name.h"

#define IPC_WINDOW_MAX 100          /* jobs that a session may have */
#define IPC_WINDOW_OCTETS (1 << 20) /* of their content together */

enum ipc_kind { IPC_SETTINGS = 1, IPC_JOB, IPC_STOP, IPC_REPORT };

/* relayd → session, once.  Strings are NUL-terminated, "" if not set. */
struct ipc_settings {
	uint32_t kind;
	uint32_t port;
	uint32_t implicit_tls;
	uint32_t srv; /* host is a domain, and the DNS names its hosts, ports and TLS */
	uint32_t tls; /* enum settings_tls */
	uint32_t insecure_auth;
	uint32_t rewrite_from;
	uint32_t first_address;  /* how many addresses to pass over */
	uint32_t window;         /* 1: no several messages in flight */
	uint32_t ehlo, peer;     /* from REPORT_PEER of earlier sessions; 0: nothing is known */
	uint32_t recipients_max; /* that the smarthost takes in a transaction, 0: not known */
	uint64_t connect_timeout, command_timeout; /* microseconds */
	char hostname[256];
	char host[256];
	char user[512];
	char password[PATH_MAX + 16]; /* where it is, as in the settings; so is the token */
	char token[PATH_MAX + 16];
	char auth[512];
	char trust_file[PATH_MAX];
	uint32_t min_version; /* enum settings_tls_version */
	uint32_t pin_count;
	uint8_t pins[SETTINGS_PINS_MAX][SETTINGS_PIN_SIZE];
	char cert_file[PATH_MAX]; /* of our own, and its key */
	char key_file[PATH_MAX];
	char from[512]; /* an address */
};

/* relayd → session, with the open message file. */
struct ipc_job {
	uint32_t kind;
	uint32_t id;
	char name[NAME_LEN + 2];
	uint32_t finished_length;                      /* octets of the next field that are sent */
	uint8_t finished[ENVELOPE_RECIPIENTS_MAX / 8]; /* a bit each: not to be sent again */
};

/* How long the packet is: most messages have few recipients. */
#define IPC_JOB_SIZE_MIN offsetof(struct ipc_job, finished)
#define IPC_JOB_SIZE(job) (offsetof(struct ipc_job, finished) + (job)->finished_length)

struct ipc_stop {
	uint32_t kind;
};

enum ipc_report_type {
	REPORT_READY,     /* authenticated; text says with whom and how; value: flags below */
	REPORT_PEER,      /* what was found out about the smarthost; value: flags below;
			   * job: check value of its EHLO reply; recipient: how many a
			   * transaction may have, 0: not known */
	REPORT_RECIPIENT, /* job, recipient, outcome, code, text */
	REPORT_END,       /* job, how, code, text */
	REPORT_FAILED,    /* fault, code, text */
	REPORT_CLOSING,   /* text; code: of the reply that refused one more message on this
			   * connection, or 0 */
	REPORT_LOG,       /* value is the level */
	REPORT_TYPES,
};

/* flags in value for READY */
enum ipc_ready {
	READY_WINDOWED = 1, /* it takes several jobs at a time */
	READY_DSN = 2,      /* the smarthost offers DSN */
};
/* flags in value for PEER */
enum ipc_peer {
	PEER_CHUNKS = 1,    /* it discards a chunk that it refuses: BDAT may go ahead of replies */
	PEER_NO_CHUNKS = 2, /* it does not */
	PEER_LOCKSTEP = 4,  /* it loses what is sent ahead of its replies */
	PEER_STALLED = 8,   /* it stopped answering with commands ahead of its replies … */
	PEER_BROKE = 16,    /* … or the connection broke, or the replies were wrong */
	PEER_FLAGS = 32,
};
/* value for REPORT_RECIPIENT */
enum ipc_outcome {
	OUTCOME_DELIVERED,
	OUTCOME_DEFERRED,
	OUTCOME_REFUSED,
	OUTCOME_CONTENT_REFUSED, /* for what it says, or its size */
	OUTCOME_SENDER_REFUSED,
	OUTCOMES
};
/* value for REPORT_END */
enum ipc_end {
	END_COMPLETE,
	END_UNSENT, /* not sent: the connection broke, or was refused */
	END_STALE,  /* not sent: the connection had ended before, or it is our own fault */
	END_DOUBT,
	END_CORRUPT,
	ENDS,
};
/* value for REPORT_FAILED; during a pause only what stands further down counts */
enum ipc_fault {
	FAULT_CONNECTION,
	FAULT_FULL,     /* it takes no more connections */
	FAULT_RATE,     /* too fast, by a rate per second */
	FAULT_THROTTLE, /* too fast */
	FAULT_CREDENTIAL,
	FAULT_QUOTA,
	FAULTS
};

struct ipc_report {
	uint32_t kind;
	uint32_t type; /* enum ipc_report_type */
	uint32_t job;
	uint32_t recipient; /* index in the envelope */
	uint32_t value;
	uint32_t code; /* SMTP reply code, 0 if there is none */
	char text[512];
};

union ipc_packet {
	uint32_t kind;
	struct ipc_settings settings;
	struct ipc_job job;
	struct ipc_stop stop;
	struct ipc_report report;
};

/* Sends a packet, with a descriptor if fd >= 0.  0 or -1 with errno. */
int ipc_send(int socket, const void *packet, size_t size, int fd);

/* Receives a packet of one of the kinds above and of exactly its size, what is not sent
 * of a job being 0; a
 * descriptor that came with it is in *fd, else -1.  1; 0 at the end; -1 with errno
 * (EPROTO: malformed). */
int ipc_receive(int socket, union ipc_packet *packet, int *fd);

/* True if a string field is NUL-terminated. */
bool ipc_is_string(const char *field, size_t size);

#endif
