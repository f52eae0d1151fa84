/* What nginx.conf can say of a route and of the table. */

#include "sparrow.h"


/* A part of what was found for the request; not found where none was. */
static ngx_int_t
sparrow_ctx_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t offset)
{
    ngx_str_t      *str;
    sparrow_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_sparrow_module);
    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    str = (ngx_str_t *) ((u_char *) ctx + offset);

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = str->len;
    v->data = str->data;

    return NGX_OK;
}


/* The revision by which this worker routes its next request, or, with `data`, why that is not the newest. */
static ngx_int_t
sparrow_table_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    uint64_t              revision;
    ngx_str_t             text;
    sparrow_bytes_t       fault;
    sparrow_main_conf_t  *smcf;

    smcf = ngx_http_get_module_main_conf(r, ngx_http_sparrow_module);
    if (smcf->table == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    revision = sparrow_table_revision(smcf->table, &fault);

    text.data = ngx_pnalloc(r->pool, data ? fault.len : NGX_INT64_LEN);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    if (data) {
        text.len = fault.len;
        ngx_memcpy(text.data, fault.data, fault.len);

    } else {
        text.len = ngx_sprintf(text.data, "%uL", revision) - text.data;
    }

    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;
    v->len = text.len;
    v->data = text.data;

    return NGX_OK;
}


static ngx_int_t
sparrow_version_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = sizeof(SPARROW_VERSION) - 1;
    v->data = (u_char *) SPARROW_VERSION;

    return NGX_OK;
}


static ngx_http_variable_t  sparrow_variables[] = {

    { ngx_string("sparrow_upstream"), NULL, sparrow_ctx_variable,
      offsetof(sparrow_ctx_t, upstream), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_target"), NULL, sparrow_ctx_variable,
      offsetof(sparrow_ctx_t, target), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_table_revision"), NULL, sparrow_table_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_table_fault"), NULL, sparrow_table_variable, 1, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_module_version"), NULL, sparrow_version_variable, 0, 0, 0 },

      ngx_http_null_variable
};


ngx_int_t
sparrow_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *added;

    for (var = sparrow_variables; var->name.len; var++) {
        added = ngx_http_add_variable(cf, &var->name, var->flags);
        if (added == NULL) {
            return NGX_ERROR;
        }

        added->get_handler = var->get_handler;
        added->data = var->data;
    }

    return NGX_OK;
}
