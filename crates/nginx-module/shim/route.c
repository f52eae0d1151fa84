/*
 * A request is looked up after the directives of its server, and goes on in the location that the table names:
 *
 *   SERVER_REWRITE   what `r->uri` has is remembered, and the name of a location put in its place
 *   FIND_CONFIG      nginx finds the location
 *   REWRITE          `r->uri` is again what it was, before the location's own directives see it
 *
 * No name of a location begins with a slash, and every path of a client does: nobody reaches one by asking for it. It costs no
 * internal redirect, after which nginx would forget what it knows of the request.
 */

#include "sparrow.h"


sparrow_bytes_t
sparrow_bytes(ngx_str_t *str)
{
    sparrow_bytes_t  bytes = { str->data, str->len };

    return bytes;
}


ngx_int_t
sparrow_copy(ngx_pool_t *pool, ngx_str_t *str, sparrow_bytes_t bytes)
{
    str->len = bytes.len;
    str->data = (u_char *) "";

    if (bytes.len == 0) {
        return NGX_OK;
    }

    str->data = ngx_pnalloc(pool, bytes.len);
    if (str->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(str->data, bytes.data, bytes.len);

    return NGX_OK;
}


/* Moves bytes behind those that were moved before. */
static u_char *
sparrow_move(u_char *p, ngx_str_t *str, sparrow_bytes_t bytes)
{
    str->len = bytes.len;
    str->data = p;

    return ngx_cpymem(p, bytes.data, bytes.len);
}


/* The texts of a request that has a route, for its access log and its headers; and of its location and target, where they are asked for. */
static ngx_int_t
sparrow_set_texts(ngx_http_request_t *r, sparrow_main_conf_t *smcf, sparrow_decision_t *decision, sparrow_ctx_t *ctx)
{
    u_char     *p;
    size_t      len;
    ngx_str_t   route, prefix;
    ngx_flag_t  has_target;

    /* Else nginx asks for what the client sent by itself. */
    has_target = ctx && decision->target.len
                 && (decision->target.data != r->unparsed_uri.data || !r->valid_unparsed_uri);

    len = decision->route.len + decision->prefix.len + (ctx ? decision->location.len + decision->backend.len : 0)
          + (has_target ? decision->target.len : 0);
    if (len == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (ctx) {
        p = sparrow_move(p, &ctx->location, decision->location);
        p = sparrow_move(p, &ctx->backend, decision->backend);
    }

    if (has_target) {
        p = sparrow_move(p, &ctx->target, decision->target);
    }

    if (decision->route.len) {
        p = sparrow_move(p, &route, decision->route);
        sparrow_set_variable(r, smcf->indexes.route, &route);
    }

    if (decision->prefix.len) {
        sparrow_move(p, &prefix, decision->prefix);
        sparrow_set_variable(r, smcf->indexes.prefix, &prefix);
    }

    return NGX_OK;
}


static sparrow_answer_t *
sparrow_copy_answer(ngx_pool_t *pool, sparrow_decision_t *decision)
{
    sparrow_answer_t  *answer;

    answer = ngx_palloc(pool, sizeof(sparrow_answer_t));
    if (answer == NULL
        || sparrow_copy(pool, &answer->text, decision->text) != NGX_OK
        || sparrow_copy(pool, &answer->content_type, decision->content_type) != NGX_OK)
    {
        return NULL;
    }

    answer->status = decision->status;

    return answer;
}


/* The same that `return` does. */
static ngx_int_t
sparrow_answer(ngx_http_request_t *r, sparrow_answer_t *answer)
{
    ngx_http_complex_value_t  value;

    if (answer == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* nginx, or `error_page`, makes the body. */
    if (answer->status >= NGX_HTTP_BAD_REQUEST && answer->text.len == 0) {
        return answer->status;
    }

    ngx_memzero(&value, sizeof(ngx_http_complex_value_t));
    value.value = answer->text;

    return ngx_http_send_response(r, answer->status, answer->content_type.len ? &answer->content_type : NULL, &value);
}


/* Puts the name of the location in the place of the path, until it was found. */
static ngx_int_t
sparrow_enter(ngx_http_request_t *r, sparrow_main_conf_t *smcf, sparrow_decision_t *decision)
{
    sparrow_ctx_t  *ctx;

    ctx = sparrow_add_ctx(r);
    if (ctx == NULL || sparrow_set_texts(r, smcf, decision, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    if (decision->content_type.len) {
        ctx->answer = sparrow_copy_answer(r->pool, decision);
        if (ctx->answer == NULL) {
            return NGX_ERROR;
        }
    }

    ctx->tries = decision->tries;
    ngx_memcpy(ctx->endpoints, decision->endpoints, decision->tries * sizeof(sparrow_endpoint_t));

    ctx->uri = r->uri;
    r->uri = ctx->location;

    return NGX_OK;
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


/* How the client sent the request: a proxy in front may have taken TLS off. */
static ngx_int_t
sparrow_is_https(ngx_http_request_t *r, sparrow_main_conf_t *smcf, uint8_t tls, uint8_t *https)
{
    ngx_str_t  scheme;

    *https = tls;
    if (smcf->scheme == NULL) {
        return NGX_OK;
    }

    if (ngx_http_complex_value(r, smcf->scheme, &scheme) != NGX_OK) {
        return NGX_ERROR;
    }

    *https = scheme.len == 5 && ngx_strncmp(scheme.data, "https", 5) == 0;

    return NGX_OK;
}


/* The first half of its id, which names the session that begins with it: so that the next requests of that have the same number. */
static ngx_int_t
sparrow_number(ngx_http_request_t *r, sparrow_main_conf_t *smcf, uint64_t *number)
{
    ngx_uint_t                  i;
    ngx_int_t                   byte;
    ngx_http_variable_value_t  *id;

    id = ngx_http_get_indexed_variable(r, smcf->indexes.request_id);
    if (id == NULL || id->not_found || id->len < 2 * sizeof(uint64_t)) {
        return NGX_ERROR;
    }

    *number = 0;
    for (i = 0; i < sizeof(uint64_t); i++) {
        byte = ngx_hextoi(&id->data[2 * i], 2);
        if (byte == NGX_ERROR) {
            return NGX_ERROR;
        }

        *number = *number << 8 | (uint64_t) byte;
    }

    return NGX_OK;
}


ngx_int_t
sparrow_server_rewrite_handler(ngx_http_request_t *r)
{
    sparrow_request_t     request;
    sparrow_decision_t    decision;
    sparrow_srv_conf_t   *sscf;
    sparrow_main_conf_t  *smcf;

    sscf = ngx_http_get_module_srv_conf(r, ngx_http_sparrow_module);
    /* What nginx asks for by itself, a page of an error for one, was told where to go. */
    if (!sscf->route || r != r->main || r->internal) {
        return NGX_DECLINED;
    }

    /* Whatever takes it apart could take another part for the host. */
    if (r->headers_in.host && !sparrow_is_host(sparrow_bytes(&r->headers_in.host->value))) {
        return NGX_HTTP_BAD_REQUEST;
    }

    smcf = ngx_http_get_module_main_conf(r, ngx_http_sparrow_module);

    /* The answer says that it is the last one of its connection. HTTP/2 has a frame for that, which nginx sends when it ends. */
    if (sparrow_table_is_draining(smcf->table)) {
        r->keepalive = 0;
    }

    request.request = r;
    request.method = sparrow_bytes(&r->method_name);
    request.host = sparrow_bytes(&r->headers_in.server);
    request.path = sparrow_bytes(&r->uri);
    request.query = sparrow_bytes(&r->args);
    request.target = sparrow_bytes(&r->unparsed_uri);
    request.server_name = sparrow_server_name(r);
    request.http_port = (uint16_t) smcf->http_port;
    request.https_port = (uint16_t) smcf->https_port;
    request.listener = (uint8_t) sscf->listener;
    ngx_memcpy(request.tls_class, sscf->tls_class, SPARROW_TLS_CLASS_LEN);
#if (NGX_HTTP_SSL || NGX_COMPAT)
    request.tls = r->connection->ssl != NULL;
#else
    request.tls = 0;
#endif
    if (sparrow_number(r, smcf, &request.chance) != NGX_OK
        || sparrow_is_https(r, smcf, request.tls, &request.https) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    sparrow_table_find(smcf->table, &request, &decision);

    if (decision.complaint.len) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "sparrow: %*s", decision.complaint.len,
                      decision.complaint.data);
    }

    if (decision.location.len) {
        return sparrow_enter(r, smcf, &decision) == NGX_OK ? NGX_DECLINED : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (sparrow_set_texts(r, smcf, &decision, NULL) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return sparrow_answer(r, sparrow_copy_answer(r->pool, &decision));
}


/*
 * `proxy_pass` and `grpc_pass` without a path ask for what nginx says that the client sent. So the target stands there until the request is
 * made (`sparrow_init_peer`), and `$request_uri`, which says the same to logs and headers, is evaluated before. In variables,
 * `proxy_pass` could take a target, but would take it apart, and look its upstream up by name, for each request.
 */
static ngx_int_t
sparrow_replace_target(ngx_http_request_t *r, sparrow_ctx_t *ctx)
{
    sparrow_main_conf_t  *smcf;

    smcf = ngx_http_get_module_main_conf(r, ngx_http_sparrow_module);

    if (ngx_http_get_indexed_variable(r, smcf->indexes.request_uri) == NULL) {
        return NGX_ERROR;
    }

    ctx->unparsed_uri = r->unparsed_uri;
    ctx->valid_unparsed_uri = r->valid_unparsed_uri;
    r->unparsed_uri = ctx->target;
    r->valid_unparsed_uri = 1;

    return NGX_OK;
}


void
sparrow_restore_target(ngx_http_request_t *r, sparrow_ctx_t *ctx)
{
    if (r == r->main && ctx->unparsed_uri.data) {
        r->unparsed_uri = ctx->unparsed_uri;
        r->valid_unparsed_uri = ctx->valid_unparsed_uri;
        ngx_str_null(&ctx->unparsed_uri);
    }
}


ngx_int_t
sparrow_rewrite_handler(ngx_http_request_t *r)
{
    sparrow_ctx_t             *ctx;
    ngx_http_core_loc_conf_t  *clcf;

    ctx = sparrow_get_ctx(r);
    if (ctx == NULL || r != r->main) {
        return NGX_DECLINED;
    }

    /* The location has failed before it sent the request on. */
    sparrow_restore_target(r, ctx);

    if (ctx->uri.data == NULL) {
        return NGX_DECLINED;
    }

    /* Or it has failed before this phase, since a body is too large, and nginx goes on elsewhere, perhaps with another path. */
    if (r->uri.data == ctx->location.data) {
        r->uri = ctx->uri;
    }
    ngx_str_null(&ctx->uri);

    if (r->internal) {
        return NGX_DECLINED;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    if (!clcf->exact_match || clcf->name.len != ctx->location.len
        || ngx_memcmp(clcf->name.data, ctx->location.data, ctx->location.len) != 0)
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "sparrow: the request is answered 500: its server has no location \"%V\", of which the table speaks",
                      &ctx->location);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->answer) {
        return sparrow_answer(r, ctx->answer);
    }

    if (ctx->target.len && sparrow_replace_target(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DECLINED;
}
