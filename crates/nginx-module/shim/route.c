/* A request is looked up in the rewrite phase of its location: it is answered there, or what is found is kept for `proxy_pass`. */

#include "sparrow.h"


static sparrow_bytes_t
sparrow_bytes(ngx_str_t *str)
{
    sparrow_bytes_t  bytes = { str->data, str->len };

    return bytes;
}


static ngx_int_t
sparrow_copy(ngx_pool_t *pool, ngx_str_t *str, sparrow_bytes_t bytes)
{
    str->len = bytes.len;
    str->data = ngx_pnalloc(pool, bytes.len);
    if (str->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(str->data, bytes.data, bytes.len);

    return NGX_OK;
}


static void
sparrow_set_address(sparrow_ctx_t *ctx, sparrow_decision_t *decision)
{
    ngx_memzero(&ctx->sockaddr, sizeof(ngx_sockaddr_t));

#if (NGX_HAVE_INET6)
    if (decision->family == 6) {
        ctx->socklen = sizeof(struct sockaddr_in6);
        ctx->sockaddr.sockaddr_in6.sin6_family = AF_INET6;
        ctx->sockaddr.sockaddr_in6.sin6_port = htons(decision->port);
        ngx_memcpy(&ctx->sockaddr.sockaddr_in6.sin6_addr, decision->address, 16);
        return;
    }
#endif

    ctx->socklen = sizeof(struct sockaddr_in);
    ctx->sockaddr.sockaddr_in.sin_family = AF_INET;
    ctx->sockaddr.sockaddr_in.sin_port = htons(decision->port);
    ngx_memcpy(&ctx->sockaddr.sockaddr_in.sin_addr, decision->address, 4);
}


/* Keeps where the request goes, for its variables and its peer. */
static ngx_int_t
sparrow_keep(ngx_http_request_t *r, sparrow_decision_t *decision)
{
    sparrow_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sparrow_module);
    if (ctx == NULL) {
        ctx = ngx_pcalloc(r->pool, sizeof(sparrow_ctx_t));
        if (ctx == NULL) {
            return NGX_ERROR;
        }
        ngx_http_set_ctx(r, ctx, ngx_http_sparrow_module);
    }

    sparrow_set_address(ctx, decision);

    ctx->name.data = ngx_pnalloc(r->pool, NGX_SOCKADDR_STRLEN);
    if (ctx->name.data == NULL) {
        return NGX_ERROR;
    }
    ctx->name.len = ngx_sock_ntop(&ctx->sockaddr.sockaddr, ctx->socklen, ctx->name.data, NGX_SOCKADDR_STRLEN, 1);

    if (sparrow_copy(r->pool, &ctx->upstream, decision->upstream) != NGX_OK) {
        return NGX_ERROR;
    }

    return sparrow_copy(r->pool, &ctx->target, decision->target);
}


/* The same that `return` does. */
static ngx_int_t
sparrow_answer(ngx_http_request_t *r, sparrow_decision_t *decision)
{
    ngx_http_complex_value_t  value;

    /* nginx, or `error_page`, makes the body. */
    if (decision->status >= NGX_HTTP_BAD_REQUEST) {
        return decision->status;
    }

    ngx_memzero(&value, sizeof(ngx_http_complex_value_t));
    if (sparrow_copy(r->pool, &value.value, decision->location) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_send_response(r, decision->status, NULL, &value);
}


int
sparrow_header(ngx_http_request_t *r, sparrow_bytes_t name, size_t number, sparrow_bytes_t *value)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        header = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (header[i].key.len == name.len
                && ngx_strncasecmp(header[i].key.data, (u_char *) name.data, name.len) == 0
                && number-- == 0)
            {
                *value = sparrow_bytes(&header[i].value);
                return 1;
            }
        }
    }

    return 0;
}


ngx_int_t
sparrow_rewrite_handler(ngx_http_request_t *r)
{
    sparrow_request_t     request;
    sparrow_decision_t    decision;
    sparrow_loc_conf_t   *slcf;
    sparrow_main_conf_t  *smcf;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_sparrow_module);
    if (!slcf->route) {
        return NGX_DECLINED;
    }

    smcf = ngx_http_get_module_main_conf(r, ngx_http_sparrow_module);

    request.request = r;
    request.method = sparrow_bytes(&r->method_name);
    request.host = sparrow_bytes(&r->headers_in.server);
    request.path = sparrow_bytes(&r->uri);
    request.query = sparrow_bytes(&r->args);
    request.target = sparrow_bytes(&r->unparsed_uri);
    /* Its 31 bits are the upper ones: they decide. */
    request.chance = (uint64_t) ngx_random() << 33;
    request.http_port = (uint16_t) smcf->http_port;
    request.https_port = (uint16_t) smcf->https_port;
    request.listener = (uint8_t) slcf->listener;
#if (NGX_HTTP_SSL || NGX_COMPAT)
    request.https = r->connection->ssl != NULL;
#else
    request.https = 0;
#endif

    ngx_memzero(&decision, sizeof(sparrow_decision_t));
    sparrow_table_find(smcf->table, &request, &decision);

    if (decision.complaint.len) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "sparrow: %*s", decision.complaint.len,
                      decision.complaint.data);
    }

    if (decision.status) {
        return sparrow_answer(r, &decision);
    }

    if (sparrow_keep(r, &decision) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DECLINED;
}
