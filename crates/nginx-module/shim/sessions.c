/*
 * Requests that a key leads to one of the endpoints of their backend, and sessions, of which the client names the endpoint. The key is evaluated
 * when the request is sent on: variables that its location sets are in it.
 */

#include "sparrow.h"


/* What was chosen when the request was looked up stays where it has no key. */
ngx_int_t
sparrow_choose_endpoint(ngx_http_request_t *r, sparrow_ctx_t *ctx)
{
    ngx_str_t              key, named;
    sparrow_chosen_t       chosen;
    sparrow_loc_conf_t    *slcf;
    sparrow_main_conf_t   *smcf;
    sparrow_key_choice_t   choice;

    slcf = ngx_http_get_module_loc_conf(r, ngx_http_sparrow_module);
    if (slcf->key == NULL) {
        return NGX_OK;
    }

    ngx_str_null(&named);
    if (ngx_http_complex_value(r, slcf->key, &key) != NGX_OK
        || (slcf->named && ngx_http_complex_value(r, slcf->named, &named) != NGX_OK))
    {
        return NGX_ERROR;
    }

    choice.backend = sparrow_bytes(&ctx->backend);
    choice.key = sparrow_bytes(&key);
    choice.named = sparrow_bytes(&named);
    choice.chance = (uint64_t) ngx_random() << 33;
    choice.subset = slcf->subset == NGX_CONF_UNSET ? 0 : (size_t) slcf->subset;

    smcf = ngx_http_get_module_main_conf(r, ngx_http_sparrow_module);

    if (sparrow_choose_by_key(smcf->table, &choice, &chosen)) {
        ctx->tries = chosen.tries;
        ctx->has_named = chosen.has_named;
        ngx_memcpy(ctx->endpoints, chosen.endpoints, chosen.tries * sizeof(sparrow_endpoint_t));
    }

    /* Names of endpoints that were tried are in logs: they stay what they are. */
    ngx_str_null(&ctx->backend);

    return NGX_OK;
}


/* What the endpoint is called that was asked last. */
ngx_int_t
sparrow_endpoint_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                    *name;
    ngx_uint_t                 i;
    ngx_http_upstream_state_t *state;

    *v = ngx_http_variable_null_value;

    if (r->upstream_states == NULL) {
        return NGX_OK;
    }

    state = r->upstream_states->elts;
    for (i = r->upstream_states->nelts; i > 0; i--) {
        if (state[i - 1].peer) {
            break;
        }
    }

    if (i == 0) {
        return NGX_OK;
    }

    name = ngx_pnalloc(r->pool, SPARROW_ENDPOINT_NAME_LEN);
    if (name == NULL) {
        return NGX_ERROR;
    }

    if (sparrow_endpoint_name(sparrow_bytes(state[i - 1].peer), name)) {
        v->data = name;
        v->len = SPARROW_ENDPOINT_NAME_LEN;
    }

    return NGX_OK;
}


/* Whether the endpoint that the client named is one of its backend: `-`, or nothing. */
ngx_int_t
sparrow_known_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    sparrow_ctx_t  *ctx;

    *v = ngx_http_variable_null_value;

    ctx = sparrow_get_ctx(r);
    if (ctx && ctx->has_named) {
        v->data = (u_char *) "-";
        v->len = 1;
    }

    return NGX_OK;
}
