/* The module as nginx knows it: its directives and its place among the phases. */

#include "sparrow.h"


static void *
sparrow_create_main_conf(ngx_conf_t *cf)
{
    sparrow_main_conf_t  *smcf;

    smcf = ngx_pcalloc(cf->pool, sizeof(sparrow_main_conf_t));
    if (smcf == NULL) {
        return NULL;
    }

    smcf->http_port = 80;
    smcf->https_port = 443;

    return smcf;
}


static char *
sparrow_init_main_conf(ngx_conf_t *cf, void *conf)
{
    sparrow_main_conf_t  *smcf = conf;

    if ((smcf->routes || smcf->certificates) && smcf->table == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%s\" needs \"sparrow_table\" in the http block",
                           smcf->routes ? "sparrow_route" : "sparrow_certificates");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
sparrow_create_srv_conf(ngx_conf_t *cf)
{
    /* It routes not by the table. */
    return ngx_pcalloc(cf->pool, sizeof(sparrow_srv_conf_t));
}


static void *
sparrow_create_loc_conf(ngx_conf_t *cf)
{
    sparrow_loc_conf_t  *slcf;

    /* It remembers no passwords, and its requests have no keys. */
    slcf = ngx_pcalloc(cf->pool, sizeof(sparrow_loc_conf_t));
    if (slcf) {
        slcf->subset = NGX_CONF_UNSET;
    }

    return slcf;
}


/*
 * Of a location, the blocks of `if` in it have what it has, since nothing in them can name other passwords or keys. A location within it,
 * or `limit_except`, may: it has nothing of that.
 */
static char *
sparrow_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    sparrow_loc_conf_t        *prev = parent;
    sparrow_loc_conf_t        *conf = child;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->noname && !clcf->lmt_excpt) {
        conf->passwords = prev->passwords;
        conf->key = prev->key;
        conf->named = prev->named;
        conf->subset = prev->subset;
    }

    return NGX_CONF_OK;
}


static void
sparrow_close_table(void *data)
{
    sparrow_table_close(data);
}


/* sparrow_table PATH; */
static char *
sparrow_table(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    size_t                len;
    u_char                message[NGX_MAX_CONF_ERRSTR];
    ngx_str_t            *value;
    sparrow_bytes_t       path;
    ngx_pool_cleanup_t   *cln;
    sparrow_main_conf_t  *smcf = conf;

    if (smcf->table) {
        return "is duplicate";
    }

    /* First, so that a table that was opened is closed with the configuration, whatever fails. */
    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    path.data = value[1].data;
    path.len = value[1].len;
    len = sizeof(message) / 2;

    smcf->table = sparrow_table_open(path, message, &len);
    if (smcf->table == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "the table \"%V\" cannot be used: %*s", &value[1], len, message);
        return NGX_CONF_ERROR;
    }

    cln->handler = sparrow_close_table;
    cln->data = smcf->table;

    return NGX_CONF_OK;
}


/* sparrow_public_ports HTTP HTTPS; */
static char *
sparrow_public_ports(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_str_t            *value;
    sparrow_main_conf_t  *smcf = conf;

    value = cf->args->elts;
    smcf->http_port = ngx_atoi(value[1].data, value[1].len);
    smcf->https_port = ngx_atoi(value[2].data, value[2].len);

    if (smcf->http_port < 1 || smcf->http_port > 65535 || smcf->https_port < 1 || smcf->https_port > 65535) {
        return "takes two numbers from 1 to 65535";
    }

    return NGX_CONF_OK;
}


/* sparrow_route [LISTENER]; */
static char *
sparrow_route(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_int_t             listener;
    ngx_str_t            *value;
    sparrow_srv_conf_t   *sscf = conf;
    sparrow_main_conf_t  *smcf;

    if (sscf->route) {
        return "is duplicate";
    }

    listener = 0;
    if (cf->args->nelts == 2) {
        value = cf->args->elts;
        listener = ngx_atoi(value[1].data, value[1].len);
        if (listener == NGX_ERROR || listener > 63) {
            return "has a listener that is no number from 0 to 63";
        }
    }

    smcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sparrow_module);
    smcf->routes++;

    sscf->listener = (ngx_uint_t) listener;
    sscf->route = 1;

    return NGX_CONF_OK;
}


static ngx_int_t
sparrow_postconfiguration(ngx_conf_t *cf)
{
    ngx_array_t                *handlers;
    ngx_http_handler_pt        *handler;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    handlers = &cmcf->phases[NGX_HTTP_SERVER_REWRITE_PHASE].handlers;
    if (ngx_array_push(handlers) == NULL) {
        return NGX_ERROR;
    }

    /* The first one runs last: a server's own directives see the path that the client sent. */
    handler = handlers->elts;
    ngx_memmove(&handler[1], &handler[0], (handlers->nelts - 1) * sizeof(ngx_http_handler_pt));
    handler[0] = sparrow_server_rewrite_handler;

    handler = ngx_array_push(&cmcf->phases[NGX_HTTP_REWRITE_PHASE].handlers);
    if (handler == NULL) {
        return NGX_ERROR;
    }

    /* The last one that is added runs first: a location's own directives see it again. */
    *handler = sparrow_rewrite_handler;

    if (sparrow_init_request_id(cf) != NGX_OK || sparrow_init_counts(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (sparrow_init_passwords(cf) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"sparrow_remember_passwords\" does not find nginx's basic auth");
        return NGX_ERROR;
    }

    return sparrow_init_certificates(cf);
}


static ngx_command_t  sparrow_commands[] = {

    { ngx_string("sparrow_table"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      sparrow_table,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sparrow_counts"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      sparrow_open_counts,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sparrow_public_ports"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      sparrow_public_ports,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sparrow_scheme"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(sparrow_main_conf_t, scheme),
      NULL },

    { ngx_string("sparrow_told_host"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(sparrow_main_conf_t, told_host),
      NULL },

    { ngx_string("sparrow_own_address"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(sparrow_main_conf_t, own_address),
      NULL },

    { ngx_string("sparrow_route"),
      NGX_HTTP_SRV_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      sparrow_route,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sparrow_certificates"),
      NGX_HTTP_SRV_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      sparrow_certificates,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sparrow_remember_passwords"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      sparrow_remember_passwords,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    /* What the requests of the location have in common that get the same endpoint. */
    { ngx_string("sparrow_balancing_key"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(sparrow_loc_conf_t, key),
      NULL },

    /* Among so many endpoints the requests of a key are spread. */
    { ngx_string("sparrow_balancing_subset"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(sparrow_loc_conf_t, subset),
      NULL },

    /* What the client says that its endpoint is called. */
    { ngx_string("sparrow_balancing_endpoint"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(sparrow_loc_conf_t, named),
      NULL },

    { ngx_string("sparrow_backends"),
      NGX_HTTP_UPS_CONF|NGX_CONF_NOARGS,
      sparrow_backends,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sparrow_keep_connections"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE3|NGX_CONF_TAKE4,
      sparrow_keep_connections,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  sparrow_module_ctx = {
    sparrow_add_variables,                 /* preconfiguration */
    sparrow_postconfiguration,             /* postconfiguration */

    sparrow_create_main_conf,              /* create main configuration */
    sparrow_init_main_conf,                /* init main configuration */

    sparrow_create_srv_conf,               /* create server configuration */
    NULL,                                  /* merge server configuration */

    sparrow_create_loc_conf,               /* create location configuration */
    sparrow_merge_loc_conf                 /* merge location configuration */
};


ngx_module_t  ngx_http_sparrow_module = {
    NGX_MODULE_V1,
    &sparrow_module_ctx,                   /* module context */
    sparrow_commands,                      /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};
