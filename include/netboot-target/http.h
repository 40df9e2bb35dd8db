/*
 * http.h - what HTTP requests mean: routes, checks, ranges, content types and Digest access
 * authentication (RFC 9110, 9112, 7616). Pure: sockets, framing and the clock are the caller's.
 *
 * The caller's part, per request:
 *   http_request_begin(), _set_method(), _add_field() for each header field, _route();
 *   refused: answer with the refusal; else gather the body if the route takes one, call the
 *   route's `handle`, then http_response_select() for ranges and conditions, and send.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <netboot-target/util/buffer.h>
#include <netboot-target/util/random.h>

#define HTTP_TARGET_BYTES_LIMIT 2048u /* of path and query as they come */
#define HTTP_CAPTURE_LIMIT      4u

/* ── requests ────────────────────────────────────────────────────────────────────────────────── */

/* Boot: scripts and boot files for any client of the network. Status: what is served, and actions.
 */
enum http_listener { HTTP_LISTENER_BOOT = 1 << 0, HTTP_LISTENER_STATUS = 1 << 1 };

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_METHOD_OTHER };

struct http_request {
    enum http_listener listener;
    enum http_method method;
    char target[HTTP_TARGET_BYTES_LIMIT + 1]; /* as it came, for logs and Digest */
    char path[HTTP_TARGET_BYTES_LIMIT + 1];   /* decoded once; captures point into it */
    const char *query;                        /* behind '?', not decoded; "" without one */
    const char *captures[HTTP_CAPTURE_LIMIT]; /* what the route's wildcards stand for */
    unsigned capture_count;

    /* Header fields that matter, borrowed from the caller; NULL: not there. */
    const char *host, *range, *if_range, *authorization;
    const char *action; /* X-Netboot-Target */
    const char *content_length, *transfer_encoding;
    const char *repeated; /* the name of one of these that came twice, which nobody honest sends */

    /* Borrowed from the caller: addresses without ports. */
    const char *peer;  /* the client's */
    const char *local; /* ours that it reached */
    uint16_t local_port;

    const uint8_t *body; /* of a route that takes one */
    size_t body_bytes;

    bool target_too_long;
};

/* Begins a request; `target` is the request target of the request line. */
void http_request_begin(struct http_request *request, enum http_listener listener,
                        const char *target);
void http_request_set_method(struct http_request *request, const char *method);
/* Keeps `value` (not copied) if it matters. Names in any case (RFC 9110 §5.1). */
void http_request_add_field(struct http_request *request, const char *name, const char *value);

/* The value of `name` in a query or form ("a=1&b=two+words"), percent-decoded once, with its NUL.
 * -ENOENT: not there; -EBADMSG: badly encoded, or holds a NUL; -ENOSPC. */
int http_query_value(const char *query, const char *name, char *to, size_t size);

/* ── answers ─────────────────────────────────────────────────────────────────────────────────── */

enum http_sent {
    HTTP_SENT_BROKEN, /* the client broke off */
    HTTP_SENT_PART,   /* all that it asked for, but not to the end of `data` */
    HTTP_SENT_END,    /* with the last byte of `data` */
};

struct http_response {
    unsigned status; /* 200 unless set */
    const char *content_type;
    /* The whole representation. It stays where it is until `release` is called. */
    const void *data;
    uint64_t data_bytes;
    void (*release)(void *context); /* NULL: nothing to be done */
    void *release_context;
    /* Called once when the answer has left or cannot any more, maybe after `release`. NULL: nobody
     * wants to know. */
    void (*sent)(void *context, enum http_sent sent);
    void *sent_context;
    bool ranged;                         /* its bytes are stable: parts may be asked for */
    bool path_is_secret;                 /* whoever knows it gets this: not for the log */
    unsigned retry_after_seconds;        /* with 503: iPXE waits that long and asks again */
    const char *content_security_policy; /* NULL: none */
    char allow[24];                      /* with 405; "": none */
    char authenticate[320];              /* with 401: a Digest challenge; "": none */
    char authenticate_basic[64];         /* with 401: a Basic challenge; "": none */

    /* http_response_select(): the part to be sent */
    uint64_t offset_bytes, length_bytes;
    char content_range[80]; /* "": none */
};

/* Status 200 with nothing in it. */
void http_response_init(struct http_response *response);
/* Releases the data and begins anew. */
void http_response_done(struct http_response *response);
/* Takes the buffer's memory over; a failed buffer becomes status 500. */
void http_response_take(struct http_response *response, struct buffer *body,
                        const char *content_type);
/* A sentence as text/plain. `text` is copied. */
void http_response_text(struct http_response *response, unsigned status, const char *text);
/* The refusal for a person, with the status and fields it asks for. */
struct http_refusal;
void http_response_refuse(struct http_response *response, const struct http_refusal *refusal);
/* Decides what part is sent: 200 whole, 206 one range, 416. */
void http_response_select(struct http_response *response, const struct http_request *request);

/* ── routes ──────────────────────────────────────────────────────────────────────────────────── */

/*
 * A row of the route table. A pattern is matched segment by segment against the decoded path:
 * "*" stands for one segment, a last "**" for one or more; nothing else is special. No path ever
 * becomes a file name: a handler looks captures up in what it holds.
 */
struct http_route {
    unsigned listeners;      /* enum http_listener bits */
    enum http_method method; /* a GET row answers HEAD too */
    const char *pattern;
    bool takes_body;
    void (*handle)(void *context, const struct http_request *request,
                   struct http_response *response);
};

/* What one part of the daemon answers; several make a list, the first match counts. */
struct http_routes {
    const struct http_route *rows;
    unsigned count;
    void *context; /* for `handle` */
    struct http_routes *next;
};

/* Names that a request to the status listener may be sent to. IP addresses and localhost always
 * may: a page from elsewhere cannot make a browser say them (DNS rebinding needs a name). */
struct http_hosts {
    const char *const *names;
    unsigned count;
};

struct http_refusal {
    unsigned status;
    char allow[24];   /* 405: the Allow field, else "" */
    const char *text; /* a sentence for a person */
};

struct http_match {
    const struct http_route *route;
    void *context;
};

/*
 * Every check on what came, then the route. 0, or -EPROTO with the refusal. The status listener
 * answers to known hosts only, and its POST (an action) needs the field "X-Netboot-Target: 1",
 * which no web page can send to another origin without a permission that is never given.
 * `body_bytes_limit`: of a route that takes a body.
 */
int http_request_route(struct http_request *request, const struct http_routes *routes,
                       const struct http_hosts *hosts, uint64_t body_bytes_limit,
                       struct http_match *ret_match, struct http_refusal *ret_refusal);

/* A Host field, with or without port: an IP address, "localhost" or one of `hosts`. */
bool http_host_is_known(const char *host, const struct http_hosts *hosts);

/* ── ranges, content types ───────────────────────────────────────────────────────────────────── */

enum http_range_verdict {
    HTTP_RANGE_WHOLE, /* no range, several, or none that we know: send everything */
    HTTP_RANGE_PART,
    HTTP_RANGE_UNSATISFIABLE,
};

/* The one byte range of a Range field (RFC 9110 §14.1.2) on something of `size` bytes. */
enum http_range_verdict http_range_parse(const char *field, uint64_t size,
                                         uint64_t *ret_offset_bytes, uint64_t *ret_length_bytes);

/* By the ending of the name; "application/octet-stream" for any other. */
const char *http_content_type(const char *name);

/* ── Digest access authentication, RFC 7616 ──────────────────────────────────────────────────── */

enum http_digest_algorithm { HTTP_DIGEST_MD5, HTTP_DIGEST_SHA256 };

/*
 * Nonces are stateless: time, random bytes and an HMAC over them, the realm and the client's
 * address, so that any number of clients may ask in the same millisecond and none costs memory.
 * The price: within the window the same request of the same client may be replayed, so actions are
 * not protected by this alone.
 */
struct http_digest {
    const char *realm; /* printable ASCII without '"' and '\' */
    const char *user;
    const char *password;
    uint8_t key[32];    /* random, of this process */
    uint64_t window_ms; /* how long a nonce is good */
};

enum http_digest_verdict {
    HTTP_DIGEST_GRANTED,
    HTTP_DIGEST_MISSING,   /* no credentials: answer 401 with a challenge */
    HTTP_DIGEST_STALE,     /* right, but the nonce is too old: challenge with stale=true */
    HTTP_DIGEST_DENIED,    /* wrong user or password, or a nonce that is not ours: challenge */
    HTTP_DIGEST_MALFORMED, /* answer 400 */
};

/* A WWW-Authenticate value. Clients take the first one they know: send SHA-256 only to those known
 * to have it (iPXE knows MD5 alone). */
void http_digest_challenge(const struct http_digest *digest, enum http_digest_algorithm algorithm,
                           const char *client, bool stale, uint64_t now_ms,
                           struct random_source *random, struct buffer *to);
/* `request->authorization` against `digest`; `client`: its address without the port. */
enum http_digest_verdict http_digest_check(const struct http_digest *digest,
                                           const struct http_request *request, const char *client,
                                           uint64_t now_ms);

/* The same for Basic (RFC 7617), against user and password of `digest`: GRANTED, MISSING (no
 * credentials of this scheme), DENIED or MALFORMED. Everybody on the wire reads such a password. */
enum http_digest_verdict http_basic_check(const struct http_digest *digest,
                                          const struct http_request *request);
