/*
 * Each request that came to a server that routes by the table is counted when it has ended, by the object whose rule it had. The counts are
 * in a memory of the supervisor, which reads them. Without it nothing is counted, and all is served.
 */

#include "sparrow.h"


static void
sparrow_close_counts(void *data)
{
    sparrow_counts_close(data);
}


/* sparrow_counts PATH; */
char *
sparrow_open_counts(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    size_t                len;
    u_char                message[NGX_MAX_CONF_ERRSTR];
    ngx_str_t            *value;
    sparrow_bytes_t       path;
    ngx_pool_cleanup_t   *cln;
    sparrow_main_conf_t  *smcf = conf;

    if (smcf->counts) {
        return "is duplicate";
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    path = sparrow_bytes(&value[1]);
    len = sizeof(message) / 2;

    smcf->counts = sparrow_counts_open(path, message, &len);
    if (smcf->counts == NULL) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0, "requests are served and not counted: the counts \"%V\" cannot be used: %*s",
                           &value[1], len, message);
        return NGX_CONF_OK;
    }

    cln->handler = sparrow_close_counts;
    cln->data = smcf->counts;

    return NGX_CONF_OK;
}


/* How often another endpoint was asked. What comes between, of no endpoint, stands for a redirect within nginx. */
static uint64_t
sparrow_retries(ngx_http_request_t *r)
{
    uint64_t                    tries;
    ngx_uint_t                  i;
    ngx_http_upstream_state_t  *state;

    if (r->upstream_states == NULL) {
        return 0;
    }

    tries = 0;
    state = r->upstream_states->elts;
    for (i = 0; i < r->upstream_states->nelts; i++) {
        tries += state[i].peer != NULL;
    }

    return tries ? tries - 1 : 0;
}


/* As `$request_time`. */
static uint64_t
sparrow_duration(ngx_http_request_t *r)
{
    ngx_time_t      *now;
    ngx_msec_int_t   ms;

    now = ngx_timeofday();
    ms = (ngx_msec_int_t) ((now->sec - r->start_sec) * 1000 + (now->msec - r->start_msec));

    return (uint64_t) ngx_max(ms, 0);
}


static ngx_int_t
sparrow_log_handler(ngx_http_request_t *r)
{
    sparrow_counted_t           counted;
    sparrow_srv_conf_t         *sscf;
    sparrow_main_conf_t        *smcf;
    ngx_http_variable_value_t  *route;

    smcf = ngx_http_get_module_main_conf(r, ngx_http_sparrow_module);
    sscf = ngx_http_get_module_srv_conf(r, ngx_http_sparrow_module);

    if (smcf->counts == NULL || !sscf->route || r != r->main) {
        return NGX_OK;
    }

    ngx_memzero(&counted, sizeof(sparrow_counted_t));

    /* Whoever found a route has set it. */
    route = &r->variables[smcf->indexes.route];
    if (route->valid && !route->not_found) {
        counted.route.data = route->data;
        counted.route.len = route->len;
    }

    counted.status = (uint16_t) (r->err_status ? r->err_status : r->headers_out.status);
    counted.duration_ms = sparrow_duration(r);
    counted.sent_bytes = (uint64_t) ngx_max(r->connection->sent, 0);
    counted.received_bytes = (uint64_t) ngx_max(r->request_length, 0);
    counted.retries = sparrow_retries(r);

    sparrow_counts_add(smcf->counts, &counted);

    return NGX_OK;
}


ngx_int_t
sparrow_init_counts(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *handler;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    handler = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (handler == NULL) {
        return NGX_ERROR;
    }

    *handler = sparrow_log_handler;

    return NGX_OK;
}
