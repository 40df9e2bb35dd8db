/* status_actions.h - what a person may do through the status listener; docs/status.md says how. */
#pragma once
#include <netboot-target/http.h>

/* Handlers of routes; context: the server. */
void post_rearm(void *context, const struct http_request *request, struct http_response *response);
void post_rescan(void *context, const struct http_request *request, struct http_response *response);
void post_rescan_lun(void *context, const struct http_request *request,
                     struct http_response *response);
void post_serving(void *context, const struct http_request *request,
                  struct http_response *response);
void post_drop(void *context, const struct http_request *request, struct http_response *response);
void post_release(void *context, const struct http_request *request,
                  struct http_response *response);
void post_release_only(void *context, const struct http_request *request,
                       struct http_response *response);
