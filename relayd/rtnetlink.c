/*
 * What is not of interest is what every interface has for itself, or what only this host
 * can reach: interfaces of containers come and go.
 */
#include "relayd/rtnetlink.h"

#include <linux/rtnetlink.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

static bool
is_address(const char *data, size_t len)
{
	struct ifaddrmsg m;

	if (len < sizeof(m))
		return false;
	memcpy(&m, data, sizeof(m));
	return m.ifa_scope < RT_SCOPE_LINK &&
	       (m.ifa_flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED)) == 0;
}

/* Every interface has its own route to fe80::/64. */
static bool
is_to_link_local(const struct rtmsg *m, const char *data, size_t len)
{
	struct rtattr a;

	while (m->rtm_family == AF_INET6 && len >= sizeof(a)) {
		memcpy(&a, data, sizeof(a));
		if (a.rta_len < sizeof(a) || a.rta_len > len)
			return false;
		if (a.rta_type == RTA_DST && a.rta_len >= sizeof(a) + 2)
			return (uint8_t)data[sizeof(a)] == 0xfe &&
			       ((uint8_t)data[sizeof(a) + 1] & 0xc0) == 0x80;
		if (RTA_ALIGN(a.rta_len) >= len)
			return false;
		data += RTA_ALIGN(a.rta_len);
		len -= RTA_ALIGN(a.rta_len);
	}
	return false;
}

static bool
is_route(const char *data, size_t len)
{
	struct rtmsg m;

	if (len < NLMSG_ALIGN(sizeof(m)))
		return false;
	memcpy(&m, data, sizeof(m));
	return m.rtm_type == RTN_UNICAST && m.rtm_table != RT_TABLE_LOCAL &&
	       (m.rtm_flags & (RTM_F_CLONED | RTNH_F_DEAD | RTNH_F_LINKDOWN)) == 0 &&
	       !is_to_link_local(&m, data + NLMSG_ALIGN(sizeof(m)), len - NLMSG_ALIGN(sizeof(m)));
}

bool
rtnetlink_has_appeared(const void *messages, size_t len)
{
	const char *data = messages;
	struct nlmsghdr h;

	while (len >= sizeof(h)) {
		size_t size;

		memcpy(&h, data, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len)
			return false;
		size = h.nlmsg_len - sizeof(h);
		if ((h.nlmsg_type == RTM_NEWADDR && is_address(data + sizeof(h), size)) ||
		    (h.nlmsg_type == RTM_NEWROUTE && is_route(data + sizeof(h), size)))
			return true;
		if (NLMSG_ALIGN(h.nlmsg_len) >= len)
			return false;
		data += NLMSG_ALIGN(h.nlmsg_len);
		len -= NLMSG_ALIGN(h.nlmsg_len);
	}
	return false;
}
