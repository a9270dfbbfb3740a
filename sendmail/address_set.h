/*
 * Addresses that were seen: the case of the domain does not distinguish them, that
 * of the local part does (RFC 5321 section 2.4).
 */
#ifndef SENDMAIL_ADDRESS_SET_H
#define SENDMAIL_ADDRESS_SET_H

struct address_set {
	void *root; /* tsearch(3) */
};

/* 1 if it is new (it is copied), 0 if it is in the set, -1 without memory. */
int address_set_add(struct address_set *set, const char *address);
void address_set_remove(struct address_set *set, const char *address);
void address_set_free(struct address_set *set);

#endif
