/* An upstream whose servers are those of the table: each request has its own, which was found when it was looked up. */

#include "sparrow.h"


static ngx_int_t
sparrow_get_peer(ngx_peer_connection_t *pc, void *data)
{
    sparrow_ctx_t  *ctx = data;

    /* `keepalive` runs around this, and then looks for a connection that it kept to the same address. */
    pc->cached = 0;
    pc->connection = NULL;
    pc->sockaddr = &ctx->sockaddr.sockaddr;
    pc->socklen = ctx->socklen;
    pc->name = &ctx->name;

    return NGX_OK;
}


/* There is no other server. nginx tries this one again only if a kept connection turned out to be closed. */
static void
sparrow_free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state)
{
    pc->tries = 0;
}


#if (NGX_HTTP_SSL || NGX_COMPAT)

/* Sessions of TLS are not kept. */
static ngx_int_t
sparrow_set_session(ngx_peer_connection_t *pc, void *data)
{
    return NGX_OK;
}


static void
sparrow_save_session(ngx_peer_connection_t *pc, void *data)
{
}

#endif


static ngx_int_t
sparrow_init_peer(ngx_http_request_t *r, ngx_http_upstream_srv_conf_t *us)
{
    sparrow_ctx_t  *ctx;

    ctx = sparrow_get_ctx(r);
    if (ctx == NULL || ctx->socklen == 0) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "sparrow: the upstream \"%V\" was asked for a request that the table does not forward",
                      &us->host);
        return NGX_ERROR;
    }

    /* The request is made. */
    sparrow_restore_target(r, ctx);

    r->upstream->peer.data = ctx;
    r->upstream->peer.get = sparrow_get_peer;
    r->upstream->peer.free = sparrow_free_peer;
    r->upstream->peer.tries = 1;
#if (NGX_HTTP_SSL || NGX_COMPAT)
    r->upstream->peer.set_session = sparrow_set_session;
    r->upstream->peer.save_session = sparrow_save_session;
#endif

    return NGX_OK;
}


static ngx_int_t
sparrow_init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    if (us->servers->nelts != 1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "the upstream \"%V\" has \"sparrow_backends\", beside which there is no \"server\"", &us->host);
        return NGX_ERROR;
    }

    us->peer.init = sparrow_init_peer;

    return NGX_OK;
}


/* sparrow_backends; */
char *
sparrow_backends(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_upstream_server_t    *server;
    ngx_http_upstream_srv_conf_t  *uscf;

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    /* Whatever balances or keeps connections wraps what is there before it. */
    if (uscf->peer.init_upstream) {
        return "must be the first directive of its upstream";
    }

    /* nginx wants a server in each upstream. This one is asked by nobody. */
    server = ngx_array_push(uscf->servers);
    if (server == NULL) {
        return NGX_CONF_ERROR;
    }
    ngx_memzero(server, sizeof(ngx_http_upstream_server_t));

    uscf->flags = NGX_HTTP_UPSTREAM_CREATE;
    uscf->peer.init_upstream = sparrow_init_upstream;

    return NGX_CONF_OK;
}
