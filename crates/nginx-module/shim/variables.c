/* What nginx.conf can say of a route and of the table. */

#include "sparrow.h"


/* What the table says of a request is set when it is found: where nothing was, these are empty. */
static ngx_int_t
sparrow_empty_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v, uintptr_t data)
{
    *v = ngx_http_variable_null_value;

    return NGX_OK;
}


void
sparrow_set_variable(ngx_http_request_t *r, ngx_int_t index, ngx_str_t *text)
{
    ngx_http_variable_value_t  *v = &r->variables[index];

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = text->len;
    v->data = text->data;
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

    /* Locations that are not the table's set them themselves. */
    { ngx_string("sparrow_prefix"), NULL, sparrow_empty_variable, 0, NGX_HTTP_VAR_CHANGEABLE, 0 },

    { ngx_string("sparrow_route"), NULL, sparrow_empty_variable, 0, NGX_HTTP_VAR_CHANGEABLE, 0 },

    { ngx_string("sparrow_host"), NULL, sparrow_host_variable, 0, NGX_HTTP_VAR_CHANGEABLE, 0 },

    { ngx_string("sparrow_port"), NULL, sparrow_port_variable, 0, NGX_HTTP_VAR_CHANGEABLE, 0 },

    { ngx_string("sparrow_upgrade"), NULL, sparrow_upgrade_variable, 0, NGX_HTTP_VAR_CHANGEABLE, 0 },

    { ngx_string("sparrow_connection"), NULL, sparrow_connection_variable, 0, NGX_HTTP_VAR_CHANGEABLE, 0 },

    { ngx_string("sparrow_escaped_request_uri"), NULL, sparrow_escaped_target_variable, 0, NGX_HTTP_VAR_CHANGEABLE, 0 },

    { ngx_string("sparrow_endpoint"), NULL, sparrow_endpoint_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_endpoint_is_known"), NULL, sparrow_known_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_table_revision"), NULL, sparrow_table_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_table_fault"), NULL, sparrow_table_variable, 1, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_module_version"), NULL, sparrow_version_variable, 0, 0, 0 },

    { ngx_string("sparrow_set_cookie_1"), NULL, sparrow_set_cookie_variable, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_set_cookie_2"), NULL, sparrow_set_cookie_variable, 1, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_set_cookie_3"), NULL, sparrow_set_cookie_variable, 2, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_set_cookie_4"), NULL, sparrow_set_cookie_variable, 3, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_set_cookie_5"), NULL, sparrow_set_cookie_variable, 4, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_set_cookie_6"), NULL, sparrow_set_cookie_variable, 5, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_set_cookie_7"), NULL, sparrow_set_cookie_variable, 6, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("sparrow_set_cookie_8"), NULL, sparrow_set_cookie_variable, 7, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
sparrow_add_variables(ngx_conf_t *cf)
{
    ngx_uint_t            i;
    sparrow_indexes_t    *indexes;
    ngx_http_variable_t  *var, *added;
    sparrow_main_conf_t  *smcf;

    for (var = sparrow_variables; var->name.len; var++) {
        added = ngx_http_add_variable(cf, &var->name, var->flags);
        if (added == NULL) {
            return NGX_ERROR;
        }

        added->get_handler = var->get_handler;
        added->data = var->data;
    }

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sparrow_module);
    indexes = &smcf->indexes;

    struct {
        ngx_str_t   name;
        ngx_int_t  *index;
    } indexed[] = {
        { ngx_string("sparrow_prefix"), &indexes->prefix },
        { ngx_string("sparrow_route"), &indexes->route },
        { ngx_string("sparrow_host"), &indexes->host },
        { ngx_string("sparrow_upgrade"), &indexes->upgrade },
        { ngx_string("request_uri"), &indexes->request_uri },
        { ngx_string("server_addr"), &indexes->server_addr },
        { ngx_string("http_upgrade"), &indexes->http_upgrade },
        { ngx_string("request_id"), &indexes->request_id }
    };

    for (i = 0; i < sizeof(indexed) / sizeof(indexed[0]); i++) {
        *indexed[i].index = ngx_http_get_variable_index(cf, &indexed[i].name);
        if (*indexed[i].index == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
