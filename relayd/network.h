/*
 * The network comes back: what that ends are the pauses of smarthosts that could not be
 * reached without it.
 */
#ifndef RELAYD_NETWORK_H
#define RELAYD_NETWORK_H

struct relayd;

/* The end of a turn: shortens pauses if the network has changed, and watches it as long as
 * there is a smarthost for which that could matter. */
void network_settle(struct relayd *r);
void network_close(struct relayd *r);

#endif
