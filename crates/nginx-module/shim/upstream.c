/*
 * An upstream whose servers are those of the table: each request has its own, which were found when it was looked up. The first is
 * tried, then another, as far as nginx allows (`proxy_next_upstream`): of a request that may not be sent twice only one that was not
 * sent yet.
 */

#include "sparrow.h"


static socklen_t
sparrow_set_address(sparrow_ctx_t *ctx, sparrow_endpoint_t *endpoint)
{
    ngx_memzero(&ctx->sockaddr, sizeof(ngx_sockaddr_t));

#if (NGX_HAVE_INET6)
    if (endpoint->family == 6) {
        ctx->sockaddr.sockaddr_in6.sin6_family = AF_INET6;
        ctx->sockaddr.sockaddr_in6.sin6_port = htons(endpoint->port);
        ngx_memcpy(&ctx->sockaddr.sockaddr_in6.sin6_addr, endpoint->address, 16);
        return sizeof(struct sockaddr_in6);
    }
#endif

    ctx->sockaddr.sockaddr_in.sin_family = AF_INET;
    ctx->sockaddr.sockaddr_in.sin_port = htons(endpoint->port);
    ngx_memcpy(&ctx->sockaddr.sockaddr_in.sin_addr, endpoint->address, 4);

    return sizeof(struct sockaddr_in);
}


/* What nginx says of an address, which it works out in general terms for most of a microsecond. */
static size_t
sparrow_name_address(sparrow_ctx_t *ctx, sparrow_endpoint_t *endpoint, socklen_t socklen, u_char *name)
{
    u_char    *p, *digit, digits[5];
    uint32_t   number;
    ngx_uint_t i;

    if (endpoint->family != 4) {
        return ngx_sock_ntop(&ctx->sockaddr.sockaddr, socklen, name, NGX_SOCKADDR_STRLEN, 1);
    }

    p = name;
    for (i = 0; i < 5; i++) {
        number = i < 4 ? endpoint->address[i] : endpoint->port;
        digit = digits + sizeof(digits);
        do {
            *--digit = (u_char) ('0' + number % 10);
            number /= 10;
        } while (number);

        p = ngx_cpymem(p, digit, digits + sizeof(digits) - digit);
        if (i < 4) {
            *p++ = i < 3 ? '.' : ':';
        }
    }

    return p - name;
}


static ngx_int_t
sparrow_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_str_t            *name;
    sparrow_ctx_t        *ctx = data;
    sparrow_main_conf_t  *smcf;

    pc->cached = 0;
    pc->connection = NULL;
    pc->socklen = sparrow_set_address(ctx, &ctx->endpoints[ctx->current]);
    pc->sockaddr = &ctx->sockaddr.sockaddr;

    /* Each try has a name of its own: logs have those of all. */
    name = &ctx->names[ctx->current];
    if (name->data == NULL) {
        name->data = ctx->current ? ngx_pnalloc(ctx->request->pool, NGX_SOCKADDR_STRLEN) : ctx->first_name;
        if (name->data == NULL) {
            return NGX_ERROR;
        }
        name->len = sparrow_name_address(ctx, &ctx->endpoints[ctx->current], pc->socklen, name->data);
    }
    pc->name = name;

    /* Where there is no other, nothing depends on how many it has. */
    if (ctx->tries > 1 && !ctx->busy) {
        smcf = ngx_http_get_module_main_conf(ctx->request, ngx_http_sparrow_module);
        sparrow_endpoint_begin(smcf->table, &ctx->endpoints[ctx->current]);
        ctx->busy = 1;
    }

    return ctx->connections ? sparrow_take_connection(pc, ctx) : NGX_OK;
}


/* Takes note of what came of a try, if there is another endpoint that could get the next request. */
static void
sparrow_note(ngx_peer_connection_t *pc, sparrow_ctx_t *ctx, int failed)
{
    sparrow_main_conf_t  *smcf;

    if (ctx->tries < 2) {
        return;
    }

    smcf = ngx_http_get_module_main_conf(ctx->request, ngx_http_sparrow_module);

    if (sparrow_endpoint_note(smcf->table, &ctx->endpoints[ctx->current], failed)) {
        ngx_log_error(NGX_LOG_WARN, pc->log, 0,
                      "sparrow: the endpoint %V failed three times in a row and gets no requests for 10 s, as far as there are "
                      "others; requests go to these", &ctx->names[ctx->current]);
    }
}


/* What came of a try says whether the endpoint gets further requests, and which gets this one if it is sent again. */
static void
sparrow_judge_try(ngx_peer_connection_t *pc, sparrow_ctx_t *ctx, ngx_uint_t state)
{
    ngx_connection_t     *c = pc->connection;
    sparrow_main_conf_t  *smcf;

    if (ctx->busy) {
        smcf = ngx_http_get_module_main_conf(ctx->request, ngx_http_sparrow_module);
        sparrow_endpoint_end(smcf->table, &ctx->endpoints[ctx->current]);
        ctx->busy = 0;
    }

    if (pc->tries) {
        pc->tries--;
    }

    if (!(state & NGX_PEER_FAILED)) {
        /* A client that went away says nothing about the endpoint. */
        if (ctx->request->upstream->headers_in.status_n) {
            sparrow_note(pc, ctx, 0);
        }
        return;
    }

    /*
     * A kept connection that turned out to be closed does not either. nginx does not count it as a try, and the same endpoint gets
     * the request over another connection.
     */
    if (pc->cached && c && !c->read->timedout && !c->write->timedout) {
        return;
    }

    sparrow_note(pc, ctx, 1);

    if (ctx->current + 1 < ctx->tries) {
        ctx->current++;
    }
}


static void
sparrow_free_peer(ngx_peer_connection_t *pc, void *data, ngx_uint_t state)
{
    sparrow_ctx_t  *ctx = data;

    /* First, while the endpoint whose connection it is is still the one that is tried. */
    if (ctx->connections) {
        sparrow_keep_connection(pc, ctx, state);
    }
    sparrow_judge_try(pc, ctx, state);
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
    sparrow_ctx_t       *ctx;
    sparrow_srv_conf_t  *sscf;

    ctx = sparrow_get_ctx(r);
    if (ctx == NULL || ctx->tries == 0) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "sparrow: the upstream \"%V\" was asked for a request that the table does not forward",
                      &us->host);
        return NGX_ERROR;
    }

    /* The request is made. */
    sparrow_restore_target(r, ctx);

    if (ctx->backend.len && sparrow_choose_endpoint(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->request = r;
    ctx->current = 0;
    sscf = ngx_http_conf_upstream_srv_conf(us, ngx_http_sparrow_module);
    ctx->connections = sscf->connections;
    if (ctx->connections && sparrow_set_tls_identity(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    r->upstream->peer.data = ctx;
    r->upstream->peer.get = sparrow_get_peer;
    r->upstream->peer.free = sparrow_free_peer;
    r->upstream->peer.tries = ctx->tries;
#if (NGX_HTTP_SSL || NGX_COMPAT)
    r->upstream->peer.set_session = sparrow_set_session;
    r->upstream->peer.save_session = sparrow_save_session;
#endif

    return NGX_OK;
}


static ngx_int_t
sparrow_init_upstream(ngx_conf_t *cf, ngx_http_upstream_srv_conf_t *us)
{
    sparrow_srv_conf_t  *sscf;

    if (us->servers->nelts != 1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "the upstream \"%V\" has \"sparrow_backends\", beside which there is no \"server\"", &us->host);
        return NGX_ERROR;
    }

    us->peer.init = sparrow_init_peer;

    sscf = ngx_http_conf_upstream_srv_conf(us, ngx_http_sparrow_module);

    return sscf->connections ? sparrow_init_connections(cf, sscf->connections) : NGX_OK;
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
