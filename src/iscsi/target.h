/* target.h - iSCSI names, RFC 7143 §4.2.7. What the room shares of targets is in node.h. */
#pragma once
#include <stdbool.h>

#include <netboot-target/iscsi.h>

/* Lower case. -ENAMETOOLONG, or -EINVAL for blanks and control bytes. Initiators' names are taken
 * as lenient as this; many are not quite valid. */
int iscsi_name_normalize(const char *name, char normal[ISCSI_NAME_BYTES]);
/* iqn., eui. or naa. as the RFC defines them, in normal form. */
bool iscsi_name_is_valid(const char *normal);
