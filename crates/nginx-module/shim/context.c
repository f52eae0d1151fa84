/*
 * What is remembered of a request from phase to phase. nginx forgets what modules remember when it goes on in a named location, as
 * `error_page` has it do: so it is found by the request's memory too.
 */

#include "sparrow.h"


/* It is never asked to clean: it is what the context is found by. */
static void
sparrow_cleanup(void *data)
{
}


sparrow_ctx_t *
sparrow_add_ctx(ngx_http_request_t *r)
{
    sparrow_ctx_t       *ctx;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(sparrow_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(sparrow_ctx_t));
    cln->handler = sparrow_cleanup;

    ngx_http_set_ctx(r, ctx, ngx_http_sparrow_module);

    return ctx;
}


/* That of the request of the client, whose memory its subrequests share. */
sparrow_ctx_t *
sparrow_get_ctx(ngx_http_request_t *r)
{
    sparrow_ctx_t       *ctx;
    ngx_pool_cleanup_t  *cln;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sparrow_module);
    if (ctx || (r == r->main && !r->internal)) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == sparrow_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}
