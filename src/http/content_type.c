/* content_type.c - media types by the ending of a name. UEFI HTTP boot takes an image only by its
 * type or its ending. */
#include <string.h>
#include <strings.h>

#include <netboot-target/http.h>
#include <netboot-target/util/array.h>

static const struct {
    const char *ending;
    const char *type;
} types[] = {
    {".efi",  "application/efi"          },
    {".iso",  "application/vnd.efi-iso"  },
    {".img",  "application/vnd.efi-img"  },
    {".ipxe", "text/plain; charset=utf-8"},
    {".txt",  "text/plain; charset=utf-8"},
    {".cfg",  "text/plain; charset=utf-8"},
    {".html", "text/html; charset=utf-8" },
    {".json", "application/json"         },
};

const char *http_content_type(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        size_t ending = strlen(types[i].ending);
        if (length > ending && !strcasecmp(name + length - ending, types[i].ending))
            return types[i].type;
    }
    return "application/octet-stream";
}
